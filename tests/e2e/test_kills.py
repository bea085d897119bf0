"""`kill -9` of every service at every point of the way from the order to the running install (DESIGN §6, 2, 3, 8)."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import pytest

from keyturn import failpoints
from sandbox.postgres import SERVICES
from sandbox.shopper import Bought
from support import programs, recipes
from support.customers import Customer
from support.whole import Begin, Whole

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("rabbitmq"), pytest.mark.timeout(600)]

HIT_WITHIN = 60.0
AT_ONCE = 6  # customers

EVERY_MINUTE = frozenset({"reconcile", "watch", "dead_letters"})  # work that time brings about, not customers

# Names that are hit no more once the system has started, and why nothing hangs on a kill there.
ELSEWHERE = {"last_published": "the sandbox's own, where all run in one process"}


async def test_rules_2_3_and_8_killed_at_every_point_everything_paid_ends_up_active_once(
    begin: Begin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of points is printed; each one in it was died at."""
    blueprints = recipes.write(tmp_path / "blueprints", recipes.tiny())
    names, elsewhere = await _names_of_one_journey(begin, blueprints)
    async with begin("rabbitmq", BLUEPRINTS=blueprints) as system:
        customers = _Customers(system)
        async with asyncio.TaskGroup() as tasks:
            driving = tasks.create_task(customers.drive())
            armed = [name for name in names if name not in elsewhere]
            hits = await asyncio.gather(*(_kill(system, service, _armed(service, armed)) for service in SERVICES))
            customers.enough = True
            await driving
        killed = {name for names in hits for name in names}
        with capsys.disabled():
            _print_table(names, killed, elsewhere)
        assert not set(armed) - killed
        await system.settled()
        await _assert_everything_once(system, customers.bought)


async def _names_of_one_journey(begin: Begin, blueprints: str) -> tuple[list[str], dict[str, str]]:
    """In the order in which a journey comes by them; and those that only rarer upkeep comes by, with the reason."""
    failpoints.seen.clear()
    async with begin("memory", BLUEPRINTS=blueprints) as system:
        await Customer(system, "stripe").live()
        await system.settled()
        rare = dict(ELSEWHERE)
        for service in SERVICES:
            kinds = {
                row["kind"] for row in await system.traces.rows(service, "SELECT kind FROM work WHERE key = 'every'")
            }
            rare |= dict.fromkeys(kinds - EVERY_MINUTE, "upkeep, once an hour")
    names = list(failpoints.seen)
    return names, {name: why for name in names for kind, why in rare.items() if f".{kind}." in name}


class _Customers:
    """They come one after the other, several at once, for as long as services are killed."""

    def __init__(self, system: Whole) -> None:
        self._system = system
        self.enough = False
        self.bought: list[Bought] = []

    async def drive(self) -> None:
        await asyncio.gather(*(self._one_after_the_other(n % 2) for n in range(AT_ONCE)))

    async def _one_after_the_other(self, odd: int) -> None:
        while not self.enough:
            customer = Customer(self._system, ("stripe", "razorpay")[odd])
            self.bought.append(await customer.live())


async def _kill(system: Whole, service: str, names: Iterable[str]) -> list[str]:
    """Restart the service for each name, armed; gives those at which it died."""
    hit = []
    await system.system.host.stop(service)
    for name in names:
        if any(f".{kind}." in name for kind in EVERY_MINUTE):
            system.move(minutes=1)
        await system.system.start(service, FAILPOINTS=f"{name}=kill@1")
        try:
            await system.processes.ended(service, HIT_WITHIN)
        except pytest.fail.Exception:
            await system.processes.kill(service)
        else:
            hit.append(name)
        await system.traces.free_leases(service)
        system.move(seconds=2)  # so that what waits for another try does not wait long
    await system.system.start(service)
    return hit


async def _assert_everything_once(system: Whole, every: list[Bought]) -> None:
    assert every
    assert await system.traces.dead() == []
    books = system.system.stripe.books() + system.system.razorpay.books()
    assert Counter(entry.reference for entry in books) == Counter(bought.purchase_id for bought in every)
    assert await system.traces.one("billing", "SELECT count(*) FROM purchases") == len(every)
    assert (await system.ask("/api/orphans"))["items"] == []
    running = Counter(programs.below(system.system.folder / "installs").values())
    assert running == Counter(f"{bought.purchase_id}/app" for bought in every)
    for bought in every:
        await _assert_once(system, bought)


async def _assert_once(system: Whole, bought: Bought) -> None:
    wires = Counter(await system.journey(bought))
    once = ("purchase.opened", "purchase.paid", "install.ready", "setup_link.issued", "install.activated")
    assert {wire: wires[wire] for wire in once} == dict.fromkeys(once, 1)
    for table in ("payments", "entitlements"):
        sql = f"SELECT count(*) FROM {table} WHERE purchase_id = $1"
        assert await system.traces.one("billing", sql, UUID(bought.purchase_id)) == 1, table
    status = await system.shopper.status(bought)
    assert status["status"] == "active"
    assert await system.shopper.logs_in(status["url"], bought.email, system.password)
    # One mail for each fact. Between the mail server's answer and our commit nobody can know whether it was taken: then
    # it comes a second time under its one Message-ID, and mail stores show it once.
    assert len(system.mails(bought)) == len(set(system.mails(bought))) == 3


def _armed(service: str, names: list[str]) -> list[str]:
    """Names that one event comes by are kept apart: what kills its process again and again is taken for a poison."""
    mine = [name for name in names if _of(name) == service]
    return sorted(mine, key=lambda name: (name.endswith(".before_commit"), name.endswith(".after_commit")))


def _of(name: str) -> str:
    return name.partition(".")[0]


def _print_table(names: list[str], killed: set[str], elsewhere: dict[str, str]) -> None:
    for service in SERVICES:
        mine = [name for name in names if _of(name) == service]
        lines = [f"  {'killed' if name in killed else elsewhere.get(name, 'NOT HIT'):<20} {name}" for name in mine]
        head = f"\n{service}: killed at {len(killed & set(mine))} of {len(mine)} points"
        sys.stdout.write("\n".join([head, *lines, ""]))
