"""What came of it, counted from outside: providers' books, programs, mailbox, journeys; and in the databases only what
nobody outside can see. Each count is a list of what is wrong, so that an empty one is a good one."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from chaos.journeys import Journey
from chaos.world import World
from sandbox.books import Entry
from support import programs

Counts = dict[str, list[str]]

ONCE = ("purchase.opened", "purchase.paid", "install.activated")
JOURNEYS = "SELECT purchase_id::text, type, count(*) AS number FROM journey_events GROUP BY 1, 2"
WANTED = "SELECT purchase_id::text AS id, version FROM entitlements"
OBEYED = "SELECT id::text, version FROM installs"
SIGNS = ("worker_loop_failed", "work_task_failed", "background_task_failed", "delivery failed", "never retrieved")


async def count(world: World, journeys: Iterable[Journey], stuck: list[str], ended: list[str]) -> Counts:
    """`stuck`, `ended`: what was noticed on the way: customers who gave up waiting, processes that ended by themselves."""
    every = [journey for journey in journeys if journey.bought]
    lost, inverted = await world.watcher.compare(world.traces)
    books = [entry for bank in (world.system.stripe, world.system.razorpay) for entry in bank.books()]
    wires = {(row["purchase_id"], row["type"]): row["number"] for row in await world.traces.rows("gateway", JOURNEYS)}
    running = programs.below(world.system.folder / "installs")
    return {
        "lost": [*lost, *_unpaid(every, books), *[line async for line in _not_as_planned(world, every)]],
        "doubled": [*_paid_twice(every, books), *_told_twice(every, wires), *_mailed_twice(world, every)],
        "orphaned": [*_strays(every, running), *await _reported(world)],
        "stuck": stuck,
        "inverted": [*inverted, *await _behind(world)],
        "died": [*ended, *await world.traces.dead(), *_signs(world.replicas.forks.folder)],
    }


def _id(journey: Journey) -> str:
    assert journey.bought
    return journey.bought.purchase_id


def _unpaid(every: list[Journey], books: list[Entry]) -> Iterator[str]:
    known = {entry.reference for entry in books}
    yield from (f"{journey.plan} is in no book" for journey in every if _id(journey) not in known)


async def _not_as_planned(world: World, every: list[Journey]) -> AsyncIterator[str]:
    """Paid, and not what was paid for: or ended, and still there."""
    for journey in every:
        assert journey.bought
        status = await world.whole.shopper.status(journey.bought)
        inside = bool(status.get("url")) and await world.whole.shopper.logs_in(
            status["url"], journey.email, world.whole.password
        )
        if inside != (journey.ends == "active"):
            yield f"{journey.plan} is to be {journey.ends}, and is {status['status']}"


def _paid_twice(every: list[Journey], books: list[Entry]) -> Iterator[str]:
    paid = Counter(entry.reference for entry in books)
    yield from (f"{journey.plan} paid {paid[_id(journey)]} times" for journey in every if paid[_id(journey)] > 1)


def _told_twice(every: list[Journey], wires: dict[tuple[str, str], int]) -> Iterator[str]:
    for journey in every:
        for wire in ONCE:
            if (number := wires.get((_id(journey), f"{wire}.v1"), 0)) > 1:
                yield f"{journey.plan}: {number} times {wire}"
        if (number := wires.get((_id(journey), "install.suspended.v1"), 0)) > journey.suspensions:
            yield f"{journey.plan}: suspended {number} times"


def _mailed_twice(world: World, every: list[Journey]) -> Iterator[str]:
    """Under another Message-ID. Whether the answer to a mail was lost or its sending nobody can know: then it comes
    once more under the one it has, and mail stores show it once."""
    for journey in every:
        subjects = Counter(mail.subject for mail in world.system.mailbox.to(journey.email))
        most = max(1, journey.suspensions)
        yield from (f"{journey.plan}: {number} times {name}" for name, number in subjects.items() if number > most)


def _strays(every: list[Journey], running: dict[int, str]) -> Iterator[str]:
    wanted = Counter(f"{_id(journey)}/app" for journey in every if journey.ends == "active")
    found = Counter(running.values())
    yield from (f"{name} runs {number} times" for name, number in found.items() if number > wanted[name])


async def _reported(world: World) -> list[str]:
    return [str(item) for item in (await world.whole.ask("/api/orphans"))["items"]]


async def _behind(world: World) -> list[str]:
    """Installs that obey another version of their entitlement than billing's newest."""
    newest = {row["id"]: row["version"] for row in await world.traces.rows("billing", WANTED)}
    obeyed = {row["id"]: row["version"] for row in await world.traces.rows("provisioner", OBEYED)}
    return [
        f"{id_} obeys {obeyed.get(id_)} of {version}" for id_, version in newest.items() if obeyed.get(id_) != version
    ]


def _signs(folder: Path) -> Iterator[str]:
    """What a task writes that ends where it should not."""
    for log in sorted(folder.glob("*.log")):
        for line in log.read_text(errors="replace").splitlines():
            if any(sign in line for sign in SIGNS):
                yield f"{log.name}: {line[:300]}"
