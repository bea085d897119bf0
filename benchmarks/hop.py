"""From the commit of an event to the first line of its handler, against the bare hop: published with a confirm by the
client library, to its consumer's callback, over the same queue."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import uvloop

from benchmarks import events
from benchmarks.brokers import RabbitMQ, VirtualHost, virtual_host
from benchmarks.budgets import Row
from keyturn.bus import connect_bus
from keyturn.bus.topology import EVENTS_EXCHANGE, events_queue
from keyturn.database import Database, Transaction
from keyturn.events import PurchasePaid
from keyturn.handling import Consumer
from keyturn.relay import Relay
from keyturn.service import collect_less_garbage
from sandbox.postgres import Postgres

EVENTS, PER_SECOND, ROUNDS = 300, 50, 3
BARE, OURS = "bare hop, aio-pika", "Keyturn"


@dataclass(frozen=True)
class Hop:
    p50: float
    p99: float


async def bare(_postgres: Postgres, vhost: VirtualHost) -> Hop:
    at: dict[str, float] = {}
    everything = await aio_pika.connect(vhost.url(events.HANDLER)), await aio_pika.connect(vhost.url(events.PUBLISHER))
    consuming = await everything[0].channel(publisher_confirms=False)
    await consuming.set_qos(prefetch_count=20)
    queue = await consuming.declare_queue(events_queue(events.HANDLER), durable=True, passive=True)

    async def heard(message: Any) -> None:
        at[message.correlation_id] = time.perf_counter()
        await message.ack()

    await queue.consume(heard)
    exchange = await (await everything[1].channel()).get_exchange(EVENTS_EXCHANGE, ensure=False)

    async def send(event: PurchasePaid) -> float:
        began = time.perf_counter()
        await exchange.publish(events.wire(event, events.PUBLISHER), event.wire)
        return began

    found = await _paced(send, at)
    for connection in everything:
        await connection.close()
    return found


async def ours(postgres: Postgres, vhost: VirtualHost) -> Hop:
    databases = {name: await events.database(postgres, name) for name in (events.PUBLISHER, events.HANDLER)}
    found = await between(databases, vhost)
    for database in databases.values():
        await database.close()
    return found


async def between(databases: dict[str, Database], vhost: VirtualHost) -> Hop:
    """From one service to another; each has its database."""
    at: dict[str, float] = {}

    async def handle(event: PurchasePaid, _tx: Transaction) -> None:
        at[event.subject] = time.perf_counter()

    buses = {name: connect_bus(vhost.url(name), service=name, replica="bench") for name in databases}
    for bus in buses.values():
        await bus.connect()
    publisher = databases[events.PUBLISHER]
    consumer = Consumer(databases[events.HANDLER], buses[events.HANDLER], {PurchasePaid: handle})
    relay = Relay(publisher, buses[events.PUBLISHER])
    await consumer.start()
    await relay.start()

    async def send(event: PurchasePaid) -> float:
        async with publisher.transaction("send") as tx:
            tx.publish(event)
            committed: list[float] = []
            tx.on_commit(lambda: committed.append(time.perf_counter()))
        return committed[0]

    found = await _paced(send, at)
    await consumer.stop()
    await relay.stop()
    for bus in buses.values():
        await bus.close()
    return found


async def _paced(send: Callable[[PurchasePaid], Awaitable[float]], at: dict[str, float]) -> Hop:
    """At a steady rate; the first ones open connections and prepare statements, and do not count."""
    sent: dict[str, float] = {}

    async def one(event: PurchasePaid) -> None:
        sent[event.subject] = await send(event)

    made = [events.paid() for _ in range(EVENTS + PER_SECOND)]
    begun, sending = time.perf_counter(), []
    for number, event in enumerate(made):
        await asyncio.sleep(begun + number / PER_SECOND - time.perf_counter())
        sending.append(asyncio.create_task(one(event)))
    await asyncio.gather(*sending)
    async with asyncio.timeout(60):
        while any(event.subject not in at for event in made):  # noqa: ASYNC110 - the last ones are on their way
            await asyncio.sleep(0.01)
    took = [(at[event.subject] - sent[event.subject]) * 1e3 for event in made[PER_SECOND:]]
    cuts = statistics.quantiles(took, n=100)
    return Hop(cuts[49], cuts[98])


async def _run(postgres: Postgres, vhost: VirtualHost) -> list[Row]:
    await events.bind(vhost)
    found: dict[str, list[Hop]] = {BARE: [], OURS: []}
    for _ in range(ROUNDS):
        for name, run in ((BARE, bare), (OURS, ours)):
            found[name].append(await run(postgres, vhost))
            await events.purge(vhost)
    medians = {name: _median(rounds) for name, rounds in found.items()}
    limit, mine = medians[BARE], medians[OURS]
    return [
        Row(2, "commit to handler, p50 ms", mine.p50, "most", 2, BARE, limit.p50),
        Row(2, "the same, p99 ms", mine.p99, "most", 3, BARE, limit.p99),
    ]


def _median(rounds: list[Hop]) -> Hop:
    return Hop(statistics.median(one.p50 for one in rounds), statistics.median(one.p99 for one in rounds))


def main(_scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    collect_less_garbage()  # as every service does; the limit gains by it too
    with virtual_host(broker) as vhost:
        return uvloop.run(_run(postgres, vhost))
