"""An event that could not be handled: its bytes become a row of work, which waits or is dead.

What is dead is also shown in the broker's `<service>.dead` queue, by way of the outbox.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from keyturn.bus.message import Message
from keyturn.bus.topology import QUEUES_EXCHANGE, dead_queue
from keyturn.database import Transaction
from keyturn.events import Envelope, Unreadable
from keyturn.outbox import OutboxRow, dead_row
from keyturn.retry import Outcome, RetryPolicy, cause_of, judge
from keyturn.settling import entry

# Name space of the ids of these rows: one row for each event, whatever happens to it.
_ROWS = UUID("0a0d3a0e-1f7f-5c6c-8d0b-57a1b1f3f5d2")

# A row that is open already, or dead again for the same reason, was written before a crash kept us from acknowledging.
PARK = """
INSERT INTO work (id, kind, key, subject, payload, body, state, due, reason, attempts, cause, error, history,
                  traceparent, causationid, created, started, finished)
VALUES ($1, 'event', $2, $3, $4::text::jsonb, $5, $6, $7, $8, $9, $10, $11, $12::text::jsonb, $13, $2, $14, $14, $15)
ON CONFLICT (id) DO UPDATE SET
  state = excluded.state, due = excluded.due, reason = excluded.reason, attempts = excluded.attempts,
  cause = excluded.cause, error = excluded.error, history = excluded.history, started = excluded.started,
  finished = excluded.finished, fence = work.fence + 1
WHERE work.state <> 'open' AND NOT (work.state = 'dead' AND excluded.state = 'dead')
RETURNING id
"""


@dataclass(frozen=True)
class Parked:
    """One event that could not be handled. `key`: its id, or the digest of bytes that have none."""

    key: str
    wire: str
    body: bytes


async def park(tx: Transaction, service: str, message: Message, error: Exception, retry: RetryPolicy) -> None:
    """Write the row; and the visible copy, where the event is dead at once."""
    outcome = judge(error, attempt=1, now=tx.now, retry=retry)
    if not await write(tx, message, outcome):
        return
    if outcome.state == "dead":
        show_dead(tx, service, _parked(message), error)
    elif outcome.due:
        tx.wake_at("work", outcome.due)


async def write(tx: Transaction, message: Message, outcome: Outcome) -> bool:
    """The row alone. False: it stands there already."""
    return bool(await tx.run(PARK, *_parameters(message, outcome, tx.now)))


def _parked(message: Message) -> Parked:
    return Parked(key_of(message), message.type or "unreadable", message.body)


def _parameters(message: Message, outcome: Outcome, now: datetime) -> tuple[object, ...]:
    parked = _parked(message)
    return (
        row_id(parked.key),
        parked.key,
        message.subject or None,
        json.dumps({"wire": parked.wire, "published_by": message.source}),
        message.body,
        outcome.state,
        outcome.due,
        outcome.reason,
        1 if outcome.counts else 0,
        outcome.cause.group(parked.wire),
        outcome.cause.message,
        json.dumps([entry(outcome, 1, now)]),
        message.headers.get("traceparent"),
        now,
        now if outcome.state == "dead" else None,
    )


def row_id(key: str) -> UUID:
    return uuid5(_ROWS, key)


def key_of(message: Message) -> str:
    """The event's id where the bytes have one, else the bytes' own digest: a forged message id chooses no row."""
    try:
        return str(Envelope.from_bytes(message.body).id)
    except Unreadable:
        return hashlib.sha256(message.body).hexdigest()


def show_dead(tx: Transaction, service: str, parked: Parked, error: BaseException) -> None:
    """A copy for the broker's management pages. The row is the truth; this is where people look first."""
    cause = cause_of(error)
    text = f"{cause.group(parked.wire)}: {cause.message}"
    try:
        tx.put(dead_row(Envelope.from_bytes(parked.body), parked.body, service, text, tx.now))
    except Unreadable:
        tx.put(_unreadable_row(service, parked, text, tx.now))


def _unreadable_row(service: str, parked: Parked, cause: str, now: datetime) -> OutboxRow:
    return OutboxRow(
        event_id=row_id(parked.key),
        subject=parked.key,
        wire=parked.wire,
        time=now,
        body=parked.body,
        exchange=QUEUES_EXCHANGE,
        routing_key=dead_queue(service),
        traceparent=None,
        cause=cause,
        created=now,
    )
