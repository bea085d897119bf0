"""Handling events: inbox row, effect and outbox row in one transaction, with 32 deliveries in hand.

The limit is bare asyncpg that runs the same statements for as many events, without a broker; what the client library
takes to hand over and acknowledge them is measured as well.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import uvloop

from benchmarks import events, table
from benchmarks.brokers import RabbitMQ, VirtualHost, virtual_host
from benchmarks.budgets import Row
from benchmarks.events import EFFECT, Meter, Spent
from keyturn.bus import connect_bus
from keyturn.bus.topology import EVENTS_EXCHANGE, events_queue
from keyturn.database import Database, Transaction
from keyturn.events import PurchasePaid
from keyturn.handling import Consumer
from keyturn.inbox import FIRST
from keyturn.outbox import INSERT, columns, event_row
from keyturn.service import collect_less_garbage
from sandbox.postgres import Postgres

EVENTS, PREFETCH, POOL, ROUNDS = 3_000, 32, 10, 3
HEADINGS = ("", "events/s", "CPU us each", "ours:it")
LIMIT, HANDED, OURS = "asyncpg, same statements", "aio-pika, acknowledged only", "Keyturn's handler"


async def bare(postgres: Postgres, _vhost: VirtualHost) -> Spent:
    database = await events.database(postgres, events.HANDLER)
    pool = await asyncpg.create_pool(database.dsn, min_size=POOL, max_size=POOL)

    async def handle(event: PurchasePaid) -> None:
        async with pool.acquire() as connection, connection.transaction():
            now = database.clock.now()
            if await connection.fetch(FIRST, events.HANDLER, event.id, now):
                await connection.fetch(EFFECT, event.subject)
                await connection.fetch(INSERT, *columns([event_row(event, events.HANDLER, now)]))

    made = [events.paid() for _ in range(EVENTS)]
    await events.all_of(made[:PREFETCH], handle, PREFETCH)
    meter = Meter()
    await events.all_of(made, handle, PREFETCH)
    spent = meter.spent(EVENTS)
    await pool.close()
    await database.close()
    return spent


async def handed_over(_postgres: Postgres, vhost: VirtualHost) -> Spent:
    await fill(vhost)
    left, done = EVENTS, asyncio.Event()
    async with await aio_pika.connect(vhost.url(events.HANDLER)) as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(events_queue(events.HANDLER), durable=True, passive=True)

        async def heard(message: Any) -> None:
            nonlocal left
            await message.ack()
            left -= 1
            if not left:
                done.set()

        meter = Meter()
        await queue.consume(heard)
        await done.wait()
        return meter.spent(EVENTS)


async def ours(postgres: Postgres, vhost: VirtualHost) -> Spent:
    await fill(vhost)
    database = await events.database(postgres, events.HANDLER)
    spent = await drain(database, vhost, EVENTS)
    await database.close()
    return spent


async def drain(database: Database, vhost: VirtualHost, count: int) -> Spent:
    """So many of what waits in the queue."""
    left, done = count, asyncio.Event()

    def handled() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    async def handle(event: PurchasePaid, tx: Transaction) -> None:
        await tx.run(EFFECT, event.subject)
        tx.publish(event)
        tx.on_commit(handled)

    bus = connect_bus(vhost.url(events.HANDLER), service=events.HANDLER, replica="bench")
    await bus.connect()
    consumer = Consumer(database, bus, {PurchasePaid: handle}, prefetch=PREFETCH)
    meter = Meter()
    await consumer.start()
    await done.wait()
    spent = meter.spent(count)
    await consumer.stop()
    await bus.close()
    return spent


async def fill(vhost: VirtualHost, count: int = EVENTS) -> None:
    async with await aio_pika.connect(vhost.url(events.PUBLISHER)) as connection:
        exchange = await (await connection.channel()).get_exchange(EVENTS_EXCHANGE, ensure=False)
        made = (events.paid() for _ in range(count))
        await events.all_of(made, lambda event: exchange.publish(events.wire(event, events.PUBLISHER), event.wire), 200)


async def _run(postgres: Postgres, vhost: VirtualHost) -> list[Row]:
    await events.bind(vhost)
    contenders: dict[str, Callable[[Postgres, VirtualHost], Awaitable[Spent]]] = {
        LIMIT: bare,
        HANDED: handed_over,
        OURS: ours,
    }
    found: dict[str, list[Spent]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            found[name].append(await run(postgres, vhost))
    medians = {name: events.median(rounds) for name, rounds in found.items()}
    lines = [
        [name, f"{it.rate:,.0f}", f"{it.cpu:.0f}", table.ratio(medians[OURS].rate, it.rate)]
        for name, it in medians.items()
    ]
    title = f"handler with inbox, effect and outbox, {PREFETCH} in hand, median of {ROUNDS}"
    table.show(title, HEADINGS, lines)
    what = f"handler, {PREFETCH} in hand, events/s"
    return [Row(4, what, medians[OURS].rate, "least", 0.6, LIMIT, medians[LIMIT].rate)]


def main(_scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    collect_less_garbage()  # as every service does; the limit gains by it too
    with virtual_host(broker) as vhost:
        return uvloop.run(_run(postgres, vhost))
