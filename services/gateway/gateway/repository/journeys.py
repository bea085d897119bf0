"""Journeys in the database. Whoever writes to a journey locks its row first, so within one journey the ids of events
grow in the order of commits, and a reader that goes on after the last id it saw misses nothing."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text

from gateway import domain
from gateway.facts import Facts
from gateway.tables import JourneyEventRow, JourneyRefRow, JourneyRow
from keyturn.database import Transaction

EVENTS = JourneyEventRow
JOURNEYS = JourneyRow
REFS = JourneyRefRow
STATS_MOST = 100_000
UNPAID = frozenset({"pending", "failed", "expired"})  # states of a purchase
_SEEN = (
    EVENTS.id, EVENTS.event_id, EVENTS.type, EVENTS.publisher, EVENTS.subject, EVENTS.time, EVENTS.data,
    EVENTS.received,
)  # fmt: skip


@dataclass(frozen=True)
class StoredEvent:
    """One event of a journey as a reader sees it."""

    id: int
    event_id: UUID
    type: str
    publisher: str
    subject: str
    time: datetime  # when it happened, as its publisher says
    data: Mapping[str, Any]
    received: datetime | None = None  # when it arrived here; None: it is arriving


@dataclass(frozen=True)
class StoredJourney:
    """A journey and the id of its last event."""

    journey: domain.Journey
    last_event: int


# Writing is plain SQL: every event of the whole system passes here.
LOCK = "SELECT facts FROM journeys WHERE purchase_id = $1 FOR UPDATE"
CREATE = """
INSERT INTO journeys (purchase_id, status, purchase_status, facts, created, updated)
VALUES ($1, 'pending', 'pending', '{}', $2, $2) ON CONFLICT DO NOTHING
"""
ADD_EVENT = """
INSERT INTO journey_events (event_id, purchase_id, type, publisher, subject, time, cause, data, received)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id
"""
GO_ON = f"""
WITH added AS ({ADD_EVENT})
UPDATE journeys SET status = $10, purchase_status = $11, domain = $12, facts = $13, last_event = added.id, updated = $9
FROM added WHERE purchase_id = $2
"""  # noqa: S608 - our own text
ADOPT = """
UPDATE journey_events SET id = nextval(pg_get_serial_sequence('journey_events', 'id')), purchase_id = $2
WHERE event_id = $1 AND purchase_id IS NULL
RETURNING id, event_id, type, publisher, subject, time, data, received
"""
EFFECT = "SELECT purchase_id FROM journey_events WHERE cause = $1 AND purchase_id IS NOT NULL LIMIT 1"
ADD_REFS = (
    "INSERT INTO journey_refs (ref, purchase_id) SELECT ref, $2 FROM unnest($1::text[]) AS ref ON CONFLICT DO NOTHING"
)


async def one_at_a_time(tx: Transaction, event_id: UUID) -> None:
    """Until the commit, nobody else stores this event or one that names it as its cause."""
    await tx.run("SELECT pg_advisory_xact_lock($1)", event_id.int & (1 << 63) - 1)


async def lock(tx: Transaction, purchase_id: UUID, *, create: bool = True) -> Facts | None:
    """The journey's facts, its row locked; a new journey where there is none and `create` says so."""
    found = await tx.run(LOCK, purchase_id)
    if create and not found:
        await tx.run(CREATE, purchase_id, tx.now)
        found = await tx.run(LOCK, purchase_id)
    return {name: (tuple(stamp), value) for name, (stamp, value) in found[0].facts.items()} if found else None


async def add_event(tx: Transaction, event: StoredEvent, *, cause: UUID | None) -> None:
    """Stores an event that belongs to no journey yet; `event.id` is not used."""
    await tx.run(ADD_EVENT, *_columns(tx, event, None, cause))


async def go_on(tx: Transaction, purchase_id: UUID, event: StoredEvent, *, cause: UUID | None, facts: Facts) -> None:
    """Stores the next event of a locked journey, and what that is with it; one that is stored changes nothing."""
    journey = domain.read(str(purchase_id), facts)
    reading = journey.status, journey.purchase_status, journey.domain
    await tx.run(GO_ON, *_columns(tx, event, purchase_id, cause), *reading, json.dumps(facts))


def _columns(tx: Transaction, event: StoredEvent, purchase_id: UUID | None, cause: UUID | None) -> tuple[object, ...]:
    said = event.type, event.publisher, event.subject, event.time
    return event.event_id, purchase_id, *said, cause, json.dumps(event.data), tx.now


async def adopt(tx: Transaction, event_id: UUID, purchase_id: UUID) -> StoredEvent | None:
    """Joins a stored event that named no purchase to this one, as if it arrived now: a reader of the journey that has
    gone past its old place would never see it there."""
    found = await tx.run(ADOPT, event_id, purchase_id)
    return StoredEvent(*found[0]) if found else None


async def purchase_of_effect(tx: Transaction, cause: UUID) -> UUID | None:
    """The purchase of an event that names this one as its cause."""
    found = await tx.run(EFFECT, cause)
    return found[0].purchase_id if found else None


async def add_refs(tx: Transaction, purchase_id: UUID, refs: Iterable[str]) -> None:
    """From now on these ids of a provider lead to the purchase. The first purchase keeps an id."""
    if found := sorted(set(refs)):
        await tx.run(ADD_REFS, found, purchase_id)


async def find(tx: Transaction, purchase_id: UUID) -> StoredJourney | None:
    wanted = select(JOURNEYS.facts, JOURNEYS.last_event).where(JOURNEYS.purchase_id == purchase_id)
    row = (await tx.session.execute(wanted)).one_or_none()
    return StoredJourney(domain.read(str(purchase_id), row.facts), row.last_event) if row else None


async def find_all(tx: Transaction, purchase_ids: Sequence[UUID]) -> dict[UUID, domain.Journey]:
    """Those of them that have a journey."""
    wanted = select(JOURNEYS.purchase_id, JOURNEYS.facts).where(JOURNEYS.purchase_id.in_(purchase_ids))
    rows = await tx.session.execute(wanted)
    return {row.purchase_id: domain.read(str(row.purchase_id), row.facts) for row in rows}


async def find_ref(tx: Transaction, ref: str) -> UUID | None:
    return (await tx.session.execute(select(REFS.purchase_id).where(REFS.ref == ref))).scalar_one_or_none()


async def events_after(tx: Transaction, purchase_id: UUID, after: int, most: int) -> Sequence[StoredEvent]:
    """The next events of one journey, in order."""
    wanted = select(*_SEEN).where(EVENTS.purchase_id == purchase_id, EVENTS.id > after)
    rows = await tx.session.execute(wanted.order_by(EVENTS.id).limit(most))
    return [StoredEvent(*row) for row in rows]


_LAST = select(JOURNEYS.purchase_id, JOURNEYS.last_event).where(
    JOURNEYS.purchase_id.in_(bindparam("ids", expanding=True))
)


async def last_events(tx: Transaction, purchases: Iterable[UUID]) -> dict[UUID, int]:
    """How far each of these journeys has come."""
    rows = await tx.session.execute(_LAST, {"ids": list(purchases)})
    return {row.purchase_id: row.last_event for row in rows}


async def stats(tx: Transaction, since: timedelta) -> dict[str, dict[str, int]]:
    """How many purchases that were opened in this time are in which state, and how many installs that they gave or are
    to give, counting the newest `STATS_MOST` at most. What nobody paid has no install."""
    recent = select(JOURNEYS.status, JOURNEYS.purchase_status).where(JOURNEYS.created > tx.now - since)
    counted = recent.order_by(JOURNEYS.created.desc()).limit(STATS_MOST).subquery()
    grouped = select(counted.c.status, counted.c.purchase_status, func.count()).group_by(text("1"), text("2"))
    totals: dict[str, dict[str, int]] = {"installs": {}, "purchases": {}}
    for status, purchase_status, count in await tx.session.execute(grouped):
        if status != "pending" or purchase_status not in UNPAID:
            totals["installs"][status] = totals["installs"].get(status, 0) + count
        totals["purchases"][purchase_status] = totals["purchases"].get(purchase_status, 0) + count
    return totals
