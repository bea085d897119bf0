"""Payment to InstallReady with a long history beside a short one: a million rows of everything in the databases, and
300,000 events waiting in the queue of a subscriber that is away.

Two whole systems, each with a PostgreSQL and a broker of its own, so that what one of them holds slows the other down
no more than any neighbour would. They are measured in turn, and run alike but for what they hold.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import asyncpg
import uvloop

from benchmarks import events, ready, servers, table, usage
from benchmarks.brokers import RabbitMQ, another, virtual_host
from benchmarks.budgets import Row
from benchmarks.ready import Chain, Figures
from benchmarks.system import databases, running
from keyturn.bus.topology import EVENTS_EXCHANGE
from keyturn.database import migrate
from keyturn.events import InstallReady, PurchasePaid
from sandbox.postgres import Postgres
from support.broker import VirtualHost
from support.history import fill

ROWS = int(os.environ.get("ROWS", "1000000"))
MESSAGES = int(os.environ.get("MESSAGES", "300000"))
ROUNDS = 4
SHORT, LONG = "a short history", "a long history"
QUEUE = "crm.events"  # a subscriber's, with the policy of docs/integrators.md but for its length
POLICY = {"max-length": 1_000_000, "overflow": "drop-head", "delivery-limit": 1_000_000}
HEADINGS = ("", "p50 ms", "p99 ms", "syncs each", "CPU ms each", "burst/s", "CPU ms each")


@dataclass(frozen=True)
class World:
    name: str
    chain: Chain
    postgres: Postgres


@contextlib.asynccontextmanager
async def world(
    name: str, folder: Path, postgres: Postgres, broker: RabbitMQ, *, rows: int = 0, messages: int = 0
) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        vhost = stack.enter_context(virtual_host(broker))
        await subscribe(broker, vhost)
        if rows:
            began = time.monotonic()
            filling = [_past(postgres, *each, rows) for each in databases(folder, postgres).items()]
            await asyncio.gather(publish(vhost, QUEUE, messages), *filling)
            size = await settled(postgres)
            print(f"{rows:,} rows of everything, {messages:,} messages: {time.monotonic() - began:.0f} s, {size}")
        system = await stack.enter_async_context(running(folder, postgres, vhost))
        yield World(name, await stack.enter_async_context(ready.ours(system, vhost)), postgres)


async def _past(postgres: Postgres, service: str, url: str, rows: int) -> None:
    await migrate(url, service)
    await fill(superuser(postgres, url), service, rows, waiting=())


def superuser(postgres: Postgres, url: str) -> str:
    """The same database, as one who may do everything to it."""
    return f"{postgres.url.rpartition('/')[0]}/{url.rpartition('/')[2]}"


async def settled(postgres: Postgres) -> str:
    """What was written is on disk: nobody has to write it while something is measured. Says how large all is."""
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute("CHECKPOINT")
        return str(await connection.fetchval("SELECT pg_size_pretty(sum(pg_database_size(oid))) FROM pg_database"))
    finally:
        await connection.close()


async def subscribe(broker: RabbitMQ, vhost: VirtualHost) -> None:
    broker.set_policy(vhost, "crm", rf"^{QUEUE}$", POLICY)
    async with await aio_pika.connect(vhost.admin_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        for wire in (PurchasePaid.wire, InstallReady.wire):
            await queue.bind(EVENTS_EXCHANGE, wire)


async def publish(vhost: VirtualHost, queue: str, count: int) -> None:
    """So many events into one queue, past the exchange."""
    async with await aio_pika.connect(vhost.admin_url) as connection:
        exchange = (await connection.channel()).default_exchange
        user = vhost.admin.partition(":")[0]
        one = events.wire(events.paid(), user)
        await events.all_of(range(count), lambda _: exchange.publish(one, queue), 500)


async def _run(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    async with contextlib.AsyncExitStack() as stack:
        theirs = stack.enter_context(servers.postgres(scratch / "old"))
        other = stack.enter_context(another())
        filled = world(LONG, scratch / "long", theirs, other, rows=ROWS, messages=MESSAGES)
        worlds = [
            await stack.enter_async_context(filled),
            await stack.enter_async_context(world(SHORT, scratch / "short", postgres, broker)),
        ]
        everybody = [process for one in worlds for process in one.chain.processes]
        for one in worlds:
            await ready.burst(one.chain, await one.chain.payments(ready.BURST))
        found: dict[str, list[Figures]] = {one.name: [] for one in worlds}
        for _ in range(ROUNDS):
            worlds.reverse()  # neither is always the second
            for one in worlds:
                usage.until_quiet(everybody)
                found[one.name].append(await ready.measure(one.chain, one.postgres))
    medians = {name: ready.median(rounds) for name, rounds in found.items()}
    table.show(f"payment to ready, median of {ROUNDS}", HEADINGS, [_line(*item) for item in medians.items()])
    for name, rounds in found.items():
        print(name, "p50:", *(f"{one.p50:.1f}" for one in rounds), "burst/s:", *(f"{one.burst:.1f}" for one in rounds))
    return _rows(medians[LONG], medians[SHORT])


def _line(name: str, it: Figures) -> list[str]:
    alone = [f"{it.p50:.1f}", f"{it.p99:.1f}", f"{it.syncs:.1f}", f"{it.cpu:.1f}"]
    return [name, *alone, f"{it.burst:.1f}", f"{it.burst_cpu:.1f}"]


def _rows(long: Figures, short: Figures) -> list[Row]:
    return [
        Row(7, "payment to InstallReady, alone, p50 ms", long.p50, "most", 1.1, SHORT, short.p50),
        Row(7, "the same, CPU ms each", long.cpu, "most", 1.1, SHORT, short.cpu),
        Row(7, "the same in a burst, payments/s", long.burst, "least", 0.9, SHORT, short.burst),
        Row(7, "the same in a burst, CPU ms each", long.burst_cpu, "most", 1.1, SHORT, short.burst_cpu),
    ]


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    return uvloop.run(_run(scratch, postgres, broker))
