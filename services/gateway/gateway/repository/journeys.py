"""Journeys in the database. Whoever writes to a journey locks its row first, so within one journey the ids of events
grow in the order of commits, and a reader that goes on after the last id it saw misses nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from gateway import domain
from gateway.facts import Facts, Occurrence
from gateway.tables import JourneyEventRow, JourneyRefRow, JourneyRow
from keyturn.database import Transaction

EVENTS = JourneyEventRow
JOURNEYS = JourneyRow
REFS = JourneyRefRow
STATS_MOST = 100_000
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

    def occurrence(self) -> Occurrence:
        return Occurrence(self.event_id, self.type, self.time, self.data)


@dataclass(frozen=True)
class StoredJourney:
    """A journey and the id of its last event."""

    journey: domain.Journey
    last_event: int


async def one_at_a_time(tx: Transaction, event_id: UUID) -> None:
    """Until the commit, nobody else stores this event or one that names it as its cause."""
    await tx.session.execute(select(func.pg_advisory_xact_lock(event_id.int & (1 << 63) - 1)))


async def lock(tx: Transaction, purchase_id: UUID, *, create: bool = True) -> Facts | None:
    """The journey's facts, its row locked; a new journey where there is none and `create` says so."""
    if create:
        empty = {"status": "pending", "purchase_status": "pending", "facts": {}, "created": tx.now, "updated": tx.now}
        new = insert(JOURNEYS).values(purchase_id=purchase_id, **empty)
        await tx.session.execute(new.on_conflict_do_nothing())
    row = await tx.session.execute(select(JOURNEYS.facts).where(JOURNEYS.purchase_id == purchase_id).with_for_update())
    found = row.scalar_one_or_none()
    return None if found is None else {name: (tuple(stamp), value) for name, (stamp, value) in found.items()}


async def save(tx: Transaction, purchase_id: UUID, facts: Facts, last_event: int) -> None:
    """Writes a locked journey."""
    journey = domain.read(str(purchase_id), facts)
    values = {"status": journey.status, "purchase_status": journey.purchase_status, "domain": journey.domain}
    changed = update(JOURNEYS).where(JOURNEYS.purchase_id == purchase_id)
    await tx.session.execute(changed.values(facts=facts, last_event=last_event, updated=tx.now, **values))


async def add_event(tx: Transaction, event: StoredEvent, *, purchase_id: UUID | None, cause: UUID | None) -> int:
    """Stores one event and gives its place in the order; `event.id` is not used."""
    values = {"event_id": event.event_id, "type": event.type, "publisher": event.publisher, "subject": event.subject}
    values |= {"time": event.time, "data": event.data, "cause": cause, "purchase_id": purchase_id, "received": tx.now}
    added = insert(EVENTS).values(**values).on_conflict_do_nothing().returning(EVENTS.id)
    return int((await tx.session.execute(added)).scalar() or 0)


async def adopt(tx: Transaction, event_id: UUID, purchase_id: UUID) -> StoredEvent | None:
    """Joins a stored event that named no purchase to this one, as if it arrived now: a reader of the journey that has
    gone past its old place would never see it there."""
    place = func.nextval(func.pg_get_serial_sequence("journey_events", "id"))
    waiting = update(EVENTS).where(EVENTS.event_id == event_id, EVENTS.purchase_id.is_(None))
    found = await tx.session.execute(waiting.values(id=place, purchase_id=purchase_id).returning(*_SEEN))
    row = found.one_or_none()
    return StoredEvent(*row) if row else None


async def purchase_of_effect(tx: Transaction, cause: UUID) -> UUID | None:
    """The purchase of an event that names this one as its cause."""
    effect = select(EVENTS.purchase_id).where(EVENTS.cause == cause, EVENTS.purchase_id.is_not(None))
    return (await tx.session.execute(effect.limit(1))).scalar_one_or_none()


async def add_refs(tx: Transaction, purchase_id: UUID, refs: Iterable[str]) -> None:
    """From now on these ids of a provider lead to the purchase. The first purchase keeps an id."""
    rows = [{"ref": ref, "purchase_id": purchase_id} for ref in sorted(set(refs))]
    if rows:
        await tx.session.execute(insert(REFS).on_conflict_do_nothing(), rows)


async def find(tx: Transaction, purchase_id: UUID) -> StoredJourney | None:
    wanted = select(JOURNEYS.facts, JOURNEYS.last_event).where(JOURNEYS.purchase_id == purchase_id)
    row = (await tx.session.execute(wanted)).one_or_none()
    return StoredJourney(domain.read(str(purchase_id), row.facts), row.last_event) if row else None


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
    """How many journeys that began in this time are in which state, counting at most `STATS_MOST`."""
    recent = select(JOURNEYS.status, JOURNEYS.purchase_status).where(JOURNEYS.created > tx.now - since)
    counted = recent.limit(STATS_MOST).subquery()
    grouped = select(counted.c.status, counted.c.purchase_status, func.count()).group_by(text("1"), text("2"))
    totals: dict[str, dict[str, int]] = {"installs": {}, "purchases": {}}
    for status, purchase_status, count in await tx.session.execute(grouped):
        totals["installs"][status] = totals["installs"].get(status, 0) + count
        totals["purchases"][purchase_status] = totals["purchases"].get(purchase_status, 0) + count
    return totals
