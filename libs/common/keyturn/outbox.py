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


INSERT = """
INSERT INTO outbox (event_id, subject, wire, time, body, exchange, routing_key, traceparent, cause, created, due)
SELECT event_id, subject, wire, time, body, exchange, routing_key, traceparent, cause, created, created
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::timestamptz[]) WITH ORDINALITY
  AS new(event_id, subject, wire, time, body, exchange, routing_key, traceparent, cause, created, place)
ORDER BY place
"""


def columns(rows: Sequence[OutboxRow]) -> tuple[list[object], ...]:
    """The parameters of `INSERT`: one list for each column, whether one row is written or a thousand."""
    return tuple(map(list, zip(*rows, strict=True))) if rows else ([],) * len(OutboxRow._fields)
