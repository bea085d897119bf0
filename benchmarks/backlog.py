"""The parts of the flow with a long history and a backlog beside the same without: intake, hop, relay and handler.

The long history is a million rows in the tables that each part uses. The backlog stands where it is most in the way: in
front of the handler 300,000 events in its queue; in front of the relay, and of the intake whose broker is away, as many
rows in the outbox. Measured is how fast it drains, not how long one waits that came last.
"""

import asyncio
import contextlib
import secrets
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import events, handler, hop, intake, receivers, servers, table
from benchmarks.brokers import RabbitMQ, VirtualHost, another, virtual_host
from benchmarks.budgets import Row
from benchmarks.events import Meter, Spent
from benchmarks.history import LONG, MESSAGES, ROWS, SHORT, settled, superuser
from benchmarks.receivers import Contender
from benchmarks.relay import commit
from keyturn.bus import connect_bus
from keyturn.clock import SystemClock
from keyturn.database import Database, migrate
from keyturn.relay import Relay
from keyturn.service import collect_less_garbage
from sandbox.ports import free_port
from sandbox.postgres import Postgres
from support.history import fill

ROUNDS = 4
ENOUGH = 10_000  # waits where there is no backlog, for a second or two
REQUESTS, EVENTS = 5_000, 4_000
FIRST = "SELECT coalesce(min(id), 9000000000) FROM outbox WHERE published IS NULL"
LEFT = "SELECT count(*) FROM (SELECT FROM outbox WHERE published IS NULL ORDER BY id LIMIT $1) AS first"
HEADINGS = ("", LONG, SHORT, "ratio")


@dataclass(frozen=True)
class World:
    name: str
    handled: Database  # whose queue is `waiting`'s
    sending: Database
    hearing: Database
    relayed: Database
    waiting: VirtualHost
    moving: VirtualHost  # what is sent here is taken at once
    gateway: Contender


@contextlib.contextmanager
def world(
    name: str, scratch: Path, postgres: Postgres, broker: RabbitMQ, *, rows: int = 0, messages: int = ENOUGH
) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        waiting, moving = (stack.enter_context(virtual_host(broker)) for _ in range(2))
        taking = f"gateway_{secrets.token_hex(4)}"
        url = postgres.create_databases((taking,))[taking]
        made = uvloop.run(_make(postgres, waiting, url, rows=rows, messages=messages))
        uvloop.run(events.bind(moving))
        print(f"{name}: made in {time.monotonic() - began:.0f} s")
        away = f"amqp://nobody@127.0.0.1:{free_port()}/"
        gateway = stack.enter_context(receivers.gateway(scratch, postgres, name, away, REQUESTS, taking))
        yield World(name, *made, waiting, moving, gateway)


async def _make(
    postgres: Postgres, waiting: VirtualHost, gateway: str, *, rows: int, messages: int
) -> tuple[Database, Database, Database, Database]:
    handled, sending, hearing, relayed = [
        await events.database(postgres, service)
        for service in (events.HANDLER, events.PUBLISHER, events.HANDLER, events.PUBLISHER)
    ]
    await migrate(gateway, "gateway")
    await events.bind(waiting)
    filling = [handler.fill(waiting, messages)]
    if rows:
        filling += [
            fill(superuser(postgres, one.dsn), one.service, rows, only=("outbox", "inbox"), waiting=())
            for one in (handled, sending, hearing)
        ]
        filling.append(fill(superuser(postgres, relayed.dsn), relayed.service, rows, only=("outbox",)))
        filling.append(fill(superuser(postgres, gateway), "gateway", rows, only=("outbox", "webhooks")))
    await asyncio.gather(*filling)
    await settled(postgres)
    for one in (handled, sending, hearing, relayed):
        await one.close()  # opened anew in each round's own loop
    return handled, sending, hearing, relayed


def measure(it: World) -> dict[str, float]:
    taken = intake.once(it.gateway, 64)
    between = uvloop.run(_hop(it))
    relayed = uvloop.run(_relay(it))
    handled = uvloop.run(_handle(it))
    return {
        "intake, CPU us each": taken.cpu,
        "intake, requests/s": taken.rate,
        "commit to handler, p50 ms": between.p50,
        "relay, CPU us each": relayed.cpu,
        "relay drains, events/s": relayed.rate,
        "handler, CPU us each": handled.cpu,
        "handler, events/s": handled.rate,
    }


async def _hop(it: World) -> hop.Hop:
    databases = {events.PUBLISHER: _opened(it.sending), events.HANDLER: _opened(it.hearing)}
    found = await hop.between(databases, it.moving)
    for database in databases.values():
        await database.close()
    return found


async def _relay(it: World) -> Spent:
    """From its beginning on, and then stopped: what it leaves is for the next round."""
    database = _opened(it.relayed)
    if (await database.run("count", LEFT, ENOUGH))[0][0] < ENOUGH:
        await commit(database, ENOUGH)
    bus = connect_bus(it.moving.url(events.PUBLISHER), service=events.PUBLISHER, replica="bench")
    await bus.connect()
    relay = Relay(database, bus)
    running = asyncio.create_task(relay._run())  # noqa: SLF001 - `stop` would publish for seconds
    began = await _reached(database, 1 + await _first(database))
    meter = Meter()
    spent = meter.spent(await _reached(database, began + EVENTS) - began)
    running.cancel()
    await asyncio.wait([running])
    await bus.close()
    await database.close()
    await events.purge(it.moving)
    return spent


async def _reached(database: Database, first: int) -> int:
    """The first that is not published, once it is this one or a later one."""

    async def passed() -> bool:
        return await _first(database) >= first

    await events.until(passed)
    return await _first(database)


async def _first(database: Database) -> int:
    return int((await database.run("look", FIRST))[0][0])


async def _handle(it: World) -> Spent:
    database = _opened(it.handled)
    spent = await handler.drain(database, it.waiting, EVENTS)
    await database.close()
    await handler.fill(it.waiting, EVENTS)
    return spent


def _opened(one: Database) -> Database:
    return Database(one.dsn, service=one.service, clock=SystemClock())


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    collect_less_garbage()  # as every service does
    with contextlib.ExitStack() as stack:
        theirs = stack.enter_context(servers.postgres(scratch / "old"))
        other = stack.enter_context(another())
        worlds = [
            stack.enter_context(world(LONG, scratch, theirs, other, rows=ROWS, messages=MESSAGES)),
            stack.enter_context(world(SHORT, scratch, postgres, broker)),
        ]
        rounds: dict[str, list[dict[str, float]]] = {one.name: [] for one in worlds}
        for _ in range(ROUNDS):
            worlds.reverse()  # neither is always the second
            for one in worlds:
                rounds[one.name].append(measure(one))
    found = {
        name: {what: statistics.median(one[what] for one in several) for what in several[0]}
        for name, several in rounds.items()
    }
    pairs = {what: (found[LONG][what], found[SHORT][what]) for what in found[LONG]}
    lines = [[what, f"{one:,.4g}", f"{other:,.4g}", table.ratio(one, other)] for what, (one, other) in pairs.items()]
    table.show(f"{ROWS:,} rows and {MESSAGES:,} waiting, median of {ROUNDS}", HEADINGS, lines)
    return [_row(what, *pair) for what, pair in pairs.items()]


def _row(what: str, long: float, short: float) -> Row:
    if what.endswith("/s"):
        return Row(7, what, long, "least", 0.9, SHORT, short)
    return Row(7, what, long, "most", 1.1, SHORT, short)
