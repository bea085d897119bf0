"""DESIGN §6 rules 3, 6 and 16 at the consumer: one effect for each event, and a failed handler becomes work."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from keyturn.bus import Delivery, Message
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.database import Database, Transaction
from keyturn.errors import GiveUp, Retry, Unavailable, Wait
from keyturn.events import Envelope, Event, OperatorActed, PurchaseExpired
from keyturn.handling import Consumer, Handlers
from keyturn.relay import Relay
from keyturn.retry import DEFAULT
from keyturn.worker import Worker
from support.data_plane import METADATA, Wire, acted, expired, one

pytestmark = pytest.mark.servers

EFFECTS = "SELECT count(*) FROM effects"
STATE = "SELECT state FROM work WHERE kind = 'event'"


@pytest.fixture
async def database(database_url: Any, clock: MovableClock) -> AsyncIterator[Database]:
    made = Database(await database_url(METADATA), service="notifier", clock=clock)
    yield made
    await made.close()


def delivery(event: Event, *, source: str = "billing", redelivered: bool = False) -> Delivery:
    message = Message(
        id=str(event.id),
        type=event.wire,
        subject=event.subject,
        source=source,
        time=event.time,
        body=event.to_bytes(source),
        routing_key=event.wire,
    )
    return Delivery(message, redelivered=redelivered)


async def on_purchase_expired(event: PurchaseExpired, tx: Transaction) -> None:
    await tx.run("INSERT INTO effects (what, n) VALUES ($1, 1)", event.subject)
    tx.publish(acted(event.subject, 1))
    tx.schedule("mail", event.subject)


HANDLERS: Handlers = {PurchaseExpired: on_purchase_expired}


def consumer(database: Database, handlers: Handlers = HANDLERS) -> Consumer:
    return Consumer(database, Wire().bus, handlers)


async def test_rule_3_five_concurrent_copies_have_one_effect(database: Database) -> None:
    takes, copy = consumer(database), delivery(expired())
    assert await asyncio.gather(*(takes.deliver(copy) for _ in range(5))) == ["ack"] * 5
    assert await one(database, EFFECTS) == 1
    assert await one(database, "SELECT count(*) FROM outbox") == 1
    assert await one(database, "SELECT count(*) FROM work") == 1


async def test_rule_3_redelivery_changes_nothing(database: Database) -> None:
    takes, event = consumer(database), expired()
    await takes.deliver(delivery(event))
    await takes.deliver(delivery(event, redelivered=True))
    assert await one(database, EFFECTS) == 1


async def test_what_a_handler_publishes_names_its_event_as_the_cause(database: Database) -> None:
    event = expired()
    await consumer(database).deliver(delivery(event))
    body = json.loads(await one(database, "SELECT convert_from(body, 'UTF8') FROM outbox"))
    assert body["causationid"] == str(event.id)
    assert await one(database, "SELECT causationid FROM work WHERE kind = 'mail'") == str(event.id)


class Handles:
    """A handler that fails as often as told, with what it was told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.since: list[Any] = []

    async def __call__(self, event: Any, tx: Transaction) -> None:
        await on_purchase_expired(event, tx)
        self.since.append(tx.waiting_since)
        if self.errors:
            raise self.errors.pop(0)


async def test_rule_6_a_failed_handler_leaves_nothing_but_work_which_handles_the_event_later(
    database: Database, wait_until: Any, clock: MovableClock
) -> None:
    waits = Wait("not_visible", "no such purchase yet", until=clock.now() + timedelta(minutes=1))
    handler = Handles(Retry("first"), waits)
    handlers: Handlers = {PurchaseExpired: handler}
    assert await consumer(database, handlers).deliver(delivery(expired())) == "ack"
    assert await one(database, EFFECTS) == 0
    assert await one(database, STATE) == "open"
    worker: Worker[None] = Worker(database, {}, None, handlers=handlers)
    await worker.start()
    clock.move(timedelta(seconds=1))
    await wait_until(lambda: _reason(database, "not_visible"))
    clock.move(timedelta(minutes=1))
    await wait_until(lambda: _state(database, "done"))
    await worker.stop()
    assert await one(database, EFFECTS) == 1
    assert handler.since[0] < handler.since[1] == handler.since[2]


async def _reason(database: Database, wanted: str) -> bool:
    return bool(await one(database, "SELECT reason FROM work WHERE kind = 'event'") == wanted)


async def _state(database: Database, wanted: str) -> bool:
    return bool(await one(database, STATE) == wanted)


async def test_a_crash_before_the_acknowledgement_leaves_one_row_of_work(database: Database) -> None:
    takes = consumer(database, {PurchaseExpired: Handles(Retry("x"), Retry("x"))})
    event = expired()
    await takes.deliver(delivery(event))
    await takes.deliver(delivery(event, redelivered=True))
    assert await one(database, "SELECT count(*) FROM work WHERE kind = 'event'") == 1


async def test_what_died_is_shown_in_the_dead_queue_with_its_cause(database: Database, wait_until: Any) -> None:
    event = expired()
    await consumer(database, {PurchaseExpired: Handles(GiveUp("never"))}).deliver(delivery(event))
    assert await one(database, STATE) == "dead"
    broker = MemoryBroker()
    bus = broker.bus("notifier")
    await bus.connect()
    relay = Relay(database, bus)
    await relay.start()
    await wait_until(lambda: broker.dead["notifier"])
    await relay.stop()
    shown = broker.dead["notifier"][0]
    assert shown.id == str(event.id)
    assert shown.headers["keyturn-cause"].startswith("purchase.expired.v1 GiveUp at test_handling.")


BAD: dict[str, Any] = {
    "unreadable": lambda good: replace(good, body=b"\xff{"),
    "unknown type": lambda good: replace(good, body=good.body.replace(b"purchase.expired.v1", b"purchase.lost.v9")),
    "published by billing": lambda _good: delivery(expired(), source="gateway").message,
    "but gateway sent it": lambda good: replace(good, source="gateway"),
    "nothing here handles": lambda _good: delivery(acted("s", 1)).message,
}


@pytest.mark.parametrize("reason", BAD)
async def test_what_is_no_event_for_us_is_dead_at_once_with_the_reason(database: Database, reason: str) -> None:
    message = BAD[reason](delivery(expired()).message)
    takes = consumer(database)
    for _ in range(2):
        assert await takes.deliver(Delivery(message, redelivered=False)) == "ack"
    assert reason in await one(database, "SELECT error FROM work WHERE state = 'dead'")
    assert await one(database, "SELECT count(*) FROM work") == 1
    assert await one(database, "SELECT count(*) FROM outbox WHERE routing_key = 'notifier.dead'") == 1


async def test_a_copy_moved_back_from_the_dead_is_handled(database: Database) -> None:
    good = delivery(expired()).message
    takes = consumer(database, {PurchaseExpired: Handles(GiveUp("not today"))})
    await takes.deliver(Delivery(good, redelivered=False))
    assert await takes.deliver(Delivery(replace(good, source="notifier"), redelivered=False)) == "ack"
    assert await one(database, EFFECTS) == 1
    assert await one(database, STATE) == "resolved"


async def test_an_event_that_kills_the_process_again_and_again_is_taken_off_the_bus_and_tried_at_growing_intervals(
    database: Database,
) -> None:
    class Killed(BaseException):
        pass

    async def die(_event: PurchaseExpired, _tx: Transaction) -> None:
        raise Killed

    takes, again = consumer(database, {PurchaseExpired: die}), delivery(expired(), redelivered=True)
    for _ in range(5):
        with pytest.raises(Killed):
            await takes.deliver(again)
    assert await takes.deliver(again) == "ack"
    assert "process died" in await one(database, "SELECT error FROM work WHERE state = 'open' AND due > created")


async def test_whoever_takes_every_event_gets_unknown_types_and_never_gives_one_up(database: Database) -> None:
    seen: list[str] = []

    async def on_any(envelope: Envelope, _tx: Transaction) -> None:
        seen.append(envelope.type)
        raise RuntimeError

    good = delivery(expired()).message
    unknown = replace(good, body=good.body.replace(b"purchase.expired.v1", b"purchase.lost.v9"))
    takes = consumer(database, {Envelope: on_any})
    await takes.deliver(Delivery(unknown, redelivered=False))
    assert seen == ["purchase.lost.v9"]
    assert await one(database, STATE) == "open"


async def test_while_the_database_is_away_the_consumer_pauses_and_loses_nothing(
    database: Database, clock: MovableClock, wait_until: Any
) -> None:
    broker = MemoryBroker()
    publisher, bus = broker.bus("billing"), broker.bus("notifier")
    await publisher.connect()
    await bus.connect()
    flaky = Flaky(database.url, service="notifier", clock=clock)
    takes = Consumer(flaky, bus, HANDLERS)
    await takes.start()
    flaky.away = True
    sent = [delivery(expired(str(uuid4()))).message for _ in range(3)]
    for message in sent:
        await publisher.publish(message)
    await wait_until(lambda: flaky.refused)
    flaky.away = False
    await wait_until(lambda: _effects(database, 3))
    await takes.stop()
    await flaky.close()
    assert await one(database, "SELECT count(*) FROM work WHERE kind = 'event'") == 0


async def _effects(database: Database, wanted: int) -> bool:
    return bool(await one(database, EFFECTS) == wanted)


class Flaky(Database):
    """A database that can be told to be away."""

    away = False
    refused = 0

    def transaction(self, name: str, **options: Any) -> Any:
        if self.away:
            self.refused += 1
            raise Unavailable("away")
        return super().transaction(name, **options)

    async def ping(self) -> None:
        if self.away:
            raise Unavailable("away")
        await super().ping()


async def test_an_event_of_any_publisher_is_taken_from_each(database: Database) -> None:
    seen: list[str] = []

    async def on_operator_acted(event: OperatorActed, _tx: Transaction) -> None:
        seen.append(event.subject)

    takes = consumer(database, {OperatorActed: on_operator_acted})
    for source in ("billing", "gateway"):
        await takes.deliver(delivery(acted(source, 1), source=source))
    assert seen == ["billing", "gateway"]


async def test_rule_16_an_event_that_always_takes_too_long_dies_like_any_other_and_stops_none(
    database: Database, clock: MovableClock
) -> None:
    async def on_purchase_expired(event: PurchaseExpired, tx: Transaction) -> None:
        if event.subject == "slow":
            await tx.run("SET LOCAL statement_timeout = 1")
            await tx.run("SELECT pg_sleep(60)")
        await tx.run("INSERT INTO effects (what, n) VALUES ($1, 1)", event.subject)

    handlers: Handlers = {PurchaseExpired: on_purchase_expired}
    takes = consumer(database, handlers)
    assert await takes.deliver(delivery(expired("slow"))) == "ack"
    assert await takes.deliver(delivery(expired("quick"))) == "ack"
    assert await one(database, EFFECTS) == 1
    worker: Worker[None] = Worker(database, {}, None, handlers=handlers)
    for _ in range(DEFAULT.attempts):
        clock.move(timedelta(hours=1))
        await worker._claim()
        await asyncio.gather(*worker._running)
    assert await one(database, STATE) == "dead"
    assert await one(database, "SELECT cause LIKE '% TooSlow at %' FROM work WHERE kind = 'event'")
