"""The outbox: what is to be published, written in the transaction that made it true.

Published by `keyturn.relay`. Rows stay for the retention time, so that a replay can publish them once more.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from keyturn.bus.message import MAX_BODY
from keyturn.bus.topology import EVENTS_EXCHANGE, QUEUES_EXCHANGE, dead_queue
from keyturn.events import Envelope, Event


class OutboxRow(NamedTuple):
    """One row to insert, its fields in the order of the insert's parameters."""

    event_id: UUID
    subject: str
    wire: str
    time: datetime
    body: bytes
    exchange: str
    routing_key: str
    traceparent: str | None
    cause: str | None
    created: datetime


def event_row(event: Event, service: str, now: datetime) -> OutboxRow:
    """The row that publishes `event`. Raises ValueError where it is larger than the bus takes."""
    body = event.to_bytes(service)
    if len(body) > MAX_BODY:
        raise ValueError(f"{event.wire} has {len(body)} bytes, more than {MAX_BODY}")
    return OutboxRow(
        event_id=event.id,
        subject=event.subject,
        wire=event.wire,
        time=event.time,
        body=body,
        exchange=EVENTS_EXCHANGE,
        routing_key=event.wire,
        traceparent=event.traceparent,
        cause=None,
        created=now,
    )


def dead_row(envelope: Envelope, body: bytes, service: str, cause: str, now: datetime) -> OutboxRow:
    """The row that shows a dead event in the broker's `<service>.dead` queue."""
    return OutboxRow(
        event_id=envelope.id,
        subject=envelope.subject,
        wire=envelope.type,
        time=envelope.time,
        body=body,
        exchange=QUEUES_EXCHANGE,
        routing_key=dead_queue(service),
        traceparent=envelope.traceparent,
        cause=cause,
        created=now,
    )


_FIELDS = {
    "event_id": "uuid",
    "subject": "text",
    "wire": "text",
    "time": "timestamptz",
    "body": "bytea",
    "exchange": "text",
    "routing_key": "text",
    "traceparent": "text",
    "cause": "text",
    "created": "timestamptz",
}


def insert(first: int = 1, only_if: str = "true") -> str:
    """The statement that writes rows, which are its parameters from `first` on."""
    names, types = ", ".join(_FIELDS), enumerate(_FIELDS.values(), first)
    return (
        f"INSERT INTO outbox ({names}, due) SELECT {names}, created "  # noqa: S608 - our own names
        f"FROM unnest({', '.join(f'${number}::{type_}[]' for number, type_ in types)}) WITH ORDINALITY "
        f"AS new({names}, place) WHERE {only_if} ORDER BY place"
    )


INSERT = insert()


def columns(rows: Sequence[OutboxRow]) -> tuple[list[object], ...]:
    """The parameters of `INSERT`: one list for each column, whether one row is written or a thousand."""
    return tuple(map(list, zip(*rows, strict=True))) if rows else ([],) * len(OutboxRow._fields)
