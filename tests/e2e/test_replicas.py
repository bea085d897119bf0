"""Rule 11: a worker that lost its lease writes nothing and stops, however far it had come."""

import asyncio
import signal
from typing import Any

import pytest

from sandbox.ports import free_port
from support.waiting import wait_until
from support.whole import Whole

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("rabbitmq")]

IN_A_STEP = "provisioner.driver.ensure.before=sleep:3@1"  # each replica's first step takes long enough to be stopped in


async def test_rule_11_a_replica_that_was_stopped_past_its_lease_writes_nothing_more(processes: Whole) -> None:
    host, traces = processes.processes, processes.traces
    await host.stop("provisioner")
    both = {name: str(free_port()) for name in ("provisioner-1", "provisioner-2")}
    try:
        for name, port in both.items():
            more = {"PROVISIONER_PORT": port, "FAILPOINTS": IN_A_STEP}
            await host.start(name, processes.system.environment("provisioner") | more)
        bought = await processes.buy()
        frozen = await _worker_in_a_step(processes)
        host.signal(frozen, signal.SIGSTOP)
        await traces.free_leases("provisioner")  # its lease runs out, without our waiting for it
        done = "SELECT count(*) FROM installs WHERE state = 'setup_pending'"
        await wait_until(lambda: _is(traces.one("provisioner", done), 1), 30)
        before = await _written(processes)
        host.signal(frozen, signal.SIGCONT)
        await wait_until(lambda: b"lease_lost" in (host.folder / f"{frozen}.log").read_bytes(), 30)
        await processes.system.start("provisioner")  # the gateway asks here
        await processes.system.ready("provisioner")
        await processes.activate(bought)
        await processes.settled()
        assert await _written(processes) == before
        await processes.assert_exactly_once(bought)
    finally:
        await asyncio.gather(*(host.kill(name) for name in both))


async def _worker_in_a_step(system: Whole) -> str:
    """The replica that has begun a step, by the process that holds its lease."""
    sql = (
        "SELECT worker FROM work WHERE kind = 'job' AND leased_until IS NOT NULL AND EXISTS "
        "(SELECT FROM steps WHERE state = 'processing')"
    )
    found: list[Any] = []

    async def begun() -> bool:
        found[:] = await system.traces.rows("provisioner", sql)
        return bool(found)

    await wait_until(begun, 20)
    pid = int(found[0]["worker"].rpartition(":")[2])
    return next(name for name in ("provisioner-1", "provisioner-2") if system.processes.pid(name) == pid)


async def _written(system: Whole) -> list[Any]:
    """What the job has left: its steps with their attempts and moments."""
    sql = "SELECT name, state, attempts, started_at, ended_at FROM steps ORDER BY position"
    return [tuple(row) for row in await system.traces.rows("provisioner", sql)]


async def _is(found: Any, wanted: object) -> bool:
    return bool(await found == wanted)
