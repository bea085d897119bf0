"""A compromised service may send anything under its own name: it must neither speak for another nor stop anybody."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import generate_latest

from gateway.handlers import on_any_event
from gateway.tables import Base
from keyturn.bus import Delivery, Message
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.database import Database, Transaction
from keyturn.dead_letters import reconcile
from keyturn.events import Envelope, PurchaseExpired
from keyturn.handling import Consumer, Handlers

pytestmark = pytest.mark.servers
NOW = datetime(2026, 11, 21, tzinfo=UTC)
WIRE = PurchaseExpired.wire


@pytest.fixture
async def database(database_url: Any, clock: MovableClock) -> AsyncIterator[Database]:
    made = Database(await database_url(Base.metadata), service="gateway", clock=clock)
    yield made
    await made.close()


async def on_purchase_expired(event: PurchaseExpired, tx: Transaction) -> None:
    raise AssertionError("a hostile event reached its handler")


JOURNEYS: Handlers = {Envelope: on_any_event}
CLOSED: Handlers = {PurchaseExpired: on_purchase_expired}


def document(**changed: Any) -> dict[str, Any]:
    plain = {"specversion": "1.0", "id": str(uuid4()), "source": "/billing", "type": WIRE, "subject": str(uuid4())}
    return plain | {"time": NOW.isoformat(), "data": {}} | changed


def message(body: bytes, **changed: Any) -> Message:
    plain = Message(id=str(uuid4()), type=WIRE, subject="s", source="billing", time=NOW, body=body, routing_key=WIRE)
    return replace(plain, **changed)


def sent(**changed: Any) -> Message:
    return message(json.dumps(document(**changed)).encode())


HOSTILE = {
    "no JSON": message(b"\xff\xfe"),
    "nothing": message(b""),
    "deep": message(b'{"data":' + b"[" * 50_000),
    "deep data": message(json.dumps(document()).encode().replace(b'"data": {}', b'"data": ' + b'{"a":' * 500 + b"1" + b"}" * 500)),
    "NUL in its type": sent(type="purchase.\0expired"),
    "NUL in its subject": sent(subject="a\0b"),
    "NUL in its data": sent(data={"a\0": "b\0", "refs": {"x": "\0"}}),
    "half a surrogate": message(json.dumps(document(subject="\ud800", data={"x": "\ud800"})).encode()),
    "infinite": message(json.dumps(document()).encode().replace(b'"data": {}', b'"data": {"x": 1e999, "y": NaN}')),
    "a long number": message(json.dumps(document()).encode().replace(b'"data": {}', b'"data": {"x": ' + b"9" * 5000 + b"}")),
    "NUL in its properties": replace(sent(), type="a\0b", subject="a\0b", headers={"traceparent": "\0"}),
    "surrogates in its properties": replace(sent(), type="\ud800", subject="\ud800"),
    "a year nobody stores": sent(time="9999-12-31T23:59:59+14:00"),
    "a null id": sent(id=None),
    "another's class": message(json.dumps(document(source="/notifier")).encode(), source="notifier"),
    "another's name": message(json.dumps(document(source="/billing")).encode(), source="notifier"),
    "NUL in its publisher": message(json.dumps(document()).encode(), source="bil\0ling"),
    "half a surrogate in its publisher": message(json.dumps(document()).encode(), source="\ud800"),
    "lines in its publisher": message(json.dumps(document()).encode(), source="billing\r\n\x1b[2J"),
    "NUL in the publisher of its body": sent(source="/bil\0ling"),
    "half a surrogate in the publisher of its body": message(json.dumps(document(source="/\ud800")).encode()),
    "a publisher without end": sent(source="/" + "b" * 100_000),
    "a type without end": sent(type="purchase." + "a" * 100_000 + ".v1"),
    "NUL in its id": replace(sent(), id="\0"),
    "nobody's": message(json.dumps(document()).encode(), source=""),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
async def test_rule_16_no_message_stops_the_journeys(database: Database, what: str) -> None:
    takes = Consumer(database, MemoryBroker().bus("gateway"), JOURNEYS)
    assert await takes.deliver(Delivery(HOSTILE[what], redelivered=False)) == "ack"
    assert await takes.deliver(Delivery(HOSTILE[what], redelivered=True)) == "ack"
    assert generate_latest()  # a stranger's text among the labels would end the metrics for ever


@pytest.mark.parametrize("what", HOSTILE)
async def test_rule_16_no_message_stops_a_consumer_or_reaches_a_handler_it_does_not_fit(
    database: Database, what: str
) -> None:
    takes = Consumer(database, MemoryBroker().bus("gateway"), CLOSED)
    assert await takes.deliver(Delivery(HOSTILE[what], redelivered=False)) == "ack"
    assert await takes.deliver(Delivery(HOSTILE[what], redelivered=True)) == "ack"


async def test_rule_16_no_message_in_the_dead_queue_keeps_the_others_from_their_rows(database: Database) -> None:
    broker = MemoryBroker()
    bus = broker.bus("gateway")
    await bus.connect()
    broker.dead["gateway"].extend(HOSTILE.values())
    await reconcile(database, bus)
    await bus.close()
    async with database.transaction("look") as tx:
        bodies = {bytes(row.body) for row in await tx.run("SELECT body FROM work WHERE state = 'dead'")}
    assert bodies >= {found.body for name, found in HOSTILE.items() if "its properties" in name or "its id" in name}


@pytest.mark.parametrize("what", ["another's class", "another's name", "nobody's"])
async def test_an_event_counts_only_from_the_service_that_its_class_names(database: Database, what: str) -> None:
    takes = Consumer(database, MemoryBroker().bus("gateway"), JOURNEYS)
    await takes.deliver(Delivery(HOSTILE[what], redelivered=False))
    async with database.transaction("look") as tx:
        assert (await tx.run("SELECT count(*) FROM journey_events"))[0][0] == 0
        assert (await tx.run("SELECT count(*) FROM work WHERE state = 'dead'"))[0][0] == 1
