"""The outbox relay: how fast it drains a backlog, against publishing without a database; and what it costs writers.

The limit is the same client library, publishing the same messages with as many outstanding. Writers are a process of
their own that commits one event after the other, sixteen at once, alone and while the relay publishes what they write.
"""

import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aio_pika
import uvloop

from benchmarks import events, servers, table
from benchmarks.brokers import RabbitMQ, VirtualHost, virtual_host
from benchmarks.budgets import Row
from benchmarks.events import Meter, Spent
from keyturn.bus import connect_bus
from keyturn.bus.topology import EVENTS_EXCHANGE
from keyturn.clock import SystemClock
from keyturn.database import Database
from keyturn.leader import IN_FLIGHT
from keyturn.outbox import INSERT, columns, event_row
from keyturn.relay import Relay
from keyturn.service import collect_less_garbage
from sandbox.postgres import Postgres

BACKLOG, WRITES, WRITERS, ROUNDS = 6_000, 3_000, 16, 3
UNPUBLISHED = "SELECT EXISTS (SELECT FROM outbox WHERE published IS NULL)"
HEADINGS = ("", "drains/s", "CPU us each", "ours:it")
LIMIT, LOWER, OURS = "aio-pika, no database", "aiormq, no database", "Keyturn's relay"


async def library(vhost: VirtualHost) -> Spent:
    made = [events.paid() for _ in range(BACKLOG)]
    async with await aio_pika.connect(vhost.url(events.PUBLISHER)) as connection:
        exchange = await (await connection.channel()).get_exchange(EVENTS_EXCHANGE, ensure=False)
        meter = Meter()
        wires = [(event.wire, events.wire(event, events.PUBLISHER)) for event in made]
        await events.all_of(wires, lambda one: exchange.publish(one[1], one[0]), IN_FLIGHT)
        return meter.spent(BACKLOG)


async def lower(vhost: VirtualHost) -> Spent:
    """The library under aio-pika, without waiting for each frame to be written."""
    made = [events.paid() for _ in range(BACKLOG)]
    async with await aio_pika.connect(vhost.url(events.PUBLISHER)) as connection:
        channel = await (await connection.channel()).get_underlay_channel()
        meter = Meter()
        wires = [(event.wire, events.wire(event, events.PUBLISHER)) for event in made]

        async def publish(one: tuple[str, aio_pika.Message]) -> None:
            key, message = one
            body, how = message.body, message.properties
            await channel.basic_publish(
                body, exchange=EVENTS_EXCHANGE, routing_key=key, properties=how, mandatory=True, wait=False
            )

        await events.all_of(wires, publish, IN_FLIGHT)
        return meter.spent(BACKLOG)


async def relay(postgres: Postgres, vhost: VirtualHost) -> Spent:
    database = await events.database(postgres, events.PUBLISHER)
    bus = connect_bus(vhost.url(events.PUBLISHER), service=events.PUBLISHER, replica="bench")
    await bus.connect()
    it = Relay(database, bus)
    await it.start()
    await commit(database, 1)
    await events.until(lambda: _published(database))  # it leads, and everything is open
    await commit(database, BACKLOG)
    meter = Meter()
    database.wakeups.wake("outbox")
    await events.until(lambda: _published(database))
    spent = meter.spent(BACKLOG)
    await it.stop()
    await bus.close()
    await database.close()
    return spent


async def commit(database: Database, count: int) -> None:
    async with database.transaction("backlog") as tx:
        rows = [event_row(events.paid(), events.PUBLISHER, tx.now) for _ in range(count)]
        await tx.run(INSERT, *columns(rows))


async def _published(database: Database) -> bool:
    async with database.transaction("look") as tx:
        return not (await tx.run(UNPUBLISHED))[0][0]


async def writers(postgres: Postgres, vhost: VirtualHost, *, with_relay: bool) -> float:
    """Commits a second."""
    database = await events.database(postgres, events.PUBLISHER)
    bus = connect_bus(vhost.url(events.PUBLISHER), service=events.PUBLISHER, replica="bench")
    it = Relay(database, bus)
    database.wakeups.start()
    if with_relay:
        await bus.connect()
        await it.start()
    program = [servers.python(), "-m", "benchmarks.relay", database.dsn]
    process = await asyncio.create_subprocess_exec(*program, cwd=servers.ROOT, stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    await it.stop()
    await bus.close()
    await database.close()
    return float(said)


async def write(url: str) -> None:
    """What the writers' process does."""
    database = Database(url, service=events.PUBLISHER, clock=SystemClock(), pool_size=WRITERS)
    database.wakeups.start()

    async def commit_one(event: events.PurchasePaid) -> None:
        async with database.transaction("write") as tx:
            tx.publish(event)

    await events.all_of([events.paid() for _ in range(WRITERS * 10)], commit_one, WRITERS)
    made = [events.paid() for _ in range(WRITES)]
    meter = Meter()
    await events.all_of(made, commit_one, WRITERS)
    print(meter.spent(WRITES).rate)
    await database.close()


async def _run(postgres: Postgres, vhost: VirtualHost) -> list[Row]:
    await events.bind(vhost)
    contenders: dict[str, Callable[[], Awaitable[Spent]]] = {
        LIMIT: lambda: library(vhost),
        LOWER: lambda: lower(vhost),
        OURS: lambda: relay(postgres, vhost),
    }
    found: dict[str, list[Spent]] = {name: [] for name in contenders}
    alone, beside = [], []
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            found[name].append(await run())
            await events.purge(vhost)
        alone.append(await writers(postgres, vhost, with_relay=False))
        beside.append(await writers(postgres, vhost, with_relay=True))
        await events.purge(vhost)
    medians = {name: events.median(rounds) for name, rounds in found.items()}
    lines = [
        [name, f"{it.rate:,.0f}", f"{it.cpu:.0f}", table.ratio(medians[OURS].rate, it.rate)]
        for name, it in medians.items()
    ]
    table.show(f"outbox relay, backlog of {BACKLOG:,}, median of {ROUNDS}", HEADINGS, lines)
    slowed, unhindered = statistics.median(beside), statistics.median(alone)
    return [
        Row(3, "outbox relay drains, events/s", medians[OURS].rate, "least", 0.85, LIMIT, medians[LIMIT].rate),
        Row(3, "writers beside it, commits/s", slowed, "least", 0.9, "without a relay", unhindered),
    ]


def main(_scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    collect_less_garbage()  # as every service does; the limit gains by it too
    with virtual_host(broker) as vhost:
        return uvloop.run(_run(postgres, vhost))


if __name__ == "__main__":
    collect_less_garbage()
    uvloop.run(write(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)
