"""`kill -9` of services at their commit points, while customers go through one flow."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from keyturn import failpoints
from sandbox.postgres import SERVICES
from support.flows import FLOWS, Customers, Flow
from support.waiting import wait_until
from support.whole import Whole

HIT_WITHIN = 60.0

# Of the sandbox's own, where all run in one process.
NOT_OURS = "last_published"


async def names_of(system: Whole) -> dict[str, list[str]]:
    """Each flow's names, in order of their first hits; `system` runs all services in this process."""
    upkeep = await _upkeep(system)
    customers = Customers(system)
    found: dict[str, list[str]] = {}
    for flow in FLOWS.values():
        await customers.prepare(flow, 2)
        await system.settled()
        failpoints.seen.clear()
        if flow.step:
            await customers.once(flow)
        elif flow.name == "start":
            async with system.without(*SERVICES):
                pass
        else:
            await _an_hour_later(system)
        await system.settled()
        passed = [name for name in failpoints.seen if NOT_OURS not in name]
        found[flow.name] = [name for name in passed if name.startswith(upkeep) == (flow.name == "upkeep")]
    return found


async def _upkeep(system: Whole) -> tuple[str, ...]:
    """How the names begin of work that time brings about, not customers."""
    kinds = [
        (service, row["kind"])
        for service in SERVICES
        for row in await system.traces.rows(service, "SELECT kind FROM work WHERE key = 'every'")
    ]
    return tuple(f"{service}.{part}{kind}." for service, kind in kinds for part in ("", "work."))


async def _an_hour_later(system: Whole) -> None:
    system.move(hours=1)
    due = "SELECT count(*) FROM work WHERE key = 'every' AND due <= $1"

    async def done() -> bool:
        return not any([await system.traces.one(service, due, system.system.clock.now()) for service in SERVICES])

    await wait_until(done, 30)


async def kill_at(system: Whole, customers: Customers, flow: Flow, names: list[str], seen: Path) -> set[str]:
    """Gives the names at which a service died. Other flows' names may have been passed by then: `seen` has them all."""
    of_each = {service: [name for name in names if name.startswith(f"{service}.")] for service in SERVICES}
    await customers.prepare(flow, max(map(len, of_each.values())))
    async with asyncio.TaskGroup() as tasks:
        driving = tasks.create_task(customers.drive(flow))
        hits = await asyncio.gather(*(_kill(system, flow, name, _apart(of_each[name]), seen) for name in SERVICES))
        customers.enough = True
        await driving
    return {name for names in hits for name in names}


async def _kill(system: Whole, flow: Flow, service: str, names: Iterable[str], seen: Path) -> list[str]:
    """Restart the service for each name, armed; gives those at which it died."""
    hit = []
    await system.system.host.stop(service)
    for name in names:
        if flow.name == "upkeep":
            system.move(hours=1)
        await system.system.start(service, FAILPOINTS=f"{name}=kill@1", FAILPOINTS_SEEN=str(seen))
        try:
            await system.processes.ended(service, HIT_WITHIN)
        except pytest.fail.Exception:
            await system.processes.kill(service)
        else:
            hit.append(name)
        await system.traces.free_leases(service)
        system.move(seconds=2)  # so that what waits for another try does not wait long
    await system.system.start(service, FAILPOINTS_SEEN=str(seen))
    return hit


def _apart(names: list[str]) -> list[str]:
    """Names that one event comes by are kept apart: what kills its process again and again is taken for a poison."""
    return sorted(names, key=lambda name: (name.endswith(".before_commit"), name.endswith(".after_commit")))
