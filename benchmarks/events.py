"""What the benchmarks of messaging share: events, a database for each contender, and the client library by itself."""

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import DeliveryMode
from sqlalchemy import Column, Integer, Table, Text

from benchmarks.brokers import VirtualHost
from keyturn.bus.topology import EVENTS_EXCHANGE, events_queue
from keyturn.clock import SystemClock
from keyturn.database import Database, new_metadata
from keyturn.events import PurchasePaid
from sandbox.postgres import Postgres

PUBLISHER, HANDLER = "billing", "gateway"  # whose rights at the broker fit
METADATA = new_metadata()
EFFECTS = Table("effects", METADATA, Column("what", Text, nullable=False), Column("n", Integer, nullable=False))
EFFECT = "INSERT INTO effects (what, n) VALUES ($1, 1)"


def paid(subject: str = "") -> PurchasePaid:
    """An event of the usual size, of a purchase of its own."""
    return PurchasePaid(
        subject=subject or str(uuid4()),
        time=datetime.now(UTC),
        customer_id=str(uuid4()),
        product="crm",
        plan="team",
        amount=4900,
        currency="EUR",
        provider="stripe",
        payment_id=str(uuid4()),
        payment_key="pi_" + secrets.token_hex(12),
        found_by="webhook",
    )


async def database(postgres: Postgres, service: str) -> Database:
    name = f"bench_{secrets.token_hex(4)}"
    made = Database(postgres.create_databases((name,))[name], service=service, clock=SystemClock())
    async with made.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    return made


async def bind(vhost: VirtualHost) -> None:
    """The handling service's queue takes our event, and no other queue does."""
    async with await aio_pika.connect(vhost.admin_url) as connection:
        queue = await (await connection.channel()).get_queue(events_queue(HANDLER), ensure=False)
        await queue.bind(EVENTS_EXCHANGE, PurchasePaid.wire)


async def purge(vhost: VirtualHost) -> None:
    async with await aio_pika.connect(vhost.admin_url) as connection:
        await (await (await connection.channel()).get_queue(events_queue(HANDLER), ensure=False)).purge()


def wire(event: PurchasePaid, user: str) -> aio_pika.Message:
    """With the properties that ours have."""
    own = {"ce-id": str(event.id), "ce-type": event.wire, "ce-source": f"/{PUBLISHER}"}
    return aio_pika.Message(
        event.to_bytes(PUBLISHER),
        content_type="application/cloudevents+json",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(event.id),
        type=event.wire,
        app_id=PUBLISHER,
        user_id=user,
        timestamp=event.time,
        correlation_id=event.subject,
        headers=own,
    )


async def all_of(work: Iterable[Any], do: Callable[[Any], Awaitable[object]], at_once: int) -> None:
    """Each of `work`, so many at once."""
    source = iter(work)

    async def one_after_the_other() -> None:
        for item in source:
            await do(item)

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


async def until(question: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        while not await question():  # noqa: ASYNC110 - a database is asked
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Spent:
    """What one round cost: events a second, and the process's own CPU time for each."""

    rate: float
    cpu: float


class Meter:
    """Counts from its making."""

    def __init__(self) -> None:
        self._began, self._used = time.perf_counter(), time.process_time()

    def spent(self, events: int) -> Spent:
        took, used = time.perf_counter() - self._began, time.process_time() - self._used
        return Spent(events / took, used / events * 1e6)


def median(rounds: Sequence[Spent]) -> Spent:
    return Spent(statistics.median(one.rate for one in rounds), statistics.median(one.cpu for one in rounds))
