"""The journeys: every event there is, stored as it arrives and joined to its purchase.

Nothing in an event may make this fail: a journey that misses an event is worse than one that shows it badly.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from gateway.facts import ERASED, Facts, Occurrence, forgotten, merge
from gateway.repository import journeys
from gateway.repository.journeys import StoredEvent
from keyturn import erasing
from keyturn.database import Transaction
from keyturn.events import BY_WIRE, Envelope, OperatorActed, Unreadable

WAKEUP = "journeys"
SEALED = "x1."  # how every sealed value begins


async def record(envelope: Envelope, tx: Transaction) -> None:
    """Stores one event in its journey."""
    named = uuid(envelope.subject)
    if named is None:
        await _record_unnamed(envelope, tx)
    else:
        await _record_named(envelope, named, tx)
    tx.wake(WAKEUP)


async def _record_unnamed(envelope: Envelope, tx: Transaction) -> None:
    """A fact of a provider: it belongs where an event that names it as its cause belongs, or waits for that one."""
    await journeys.one_at_a_time(tx, envelope.id)
    purchase = await journeys.purchase_of_effect(tx, envelope.id)
    facts = await journeys.lock(tx, purchase) if purchase else None
    event, cause = stored(envelope), uuid(envelope.causationid)
    if purchase is None:
        await journeys.add_event(tx, event, cause=cause)
        return
    await journeys.go_on(tx, purchase, event, cause=cause, facts=facts or {})
    await _joined(tx, purchase, event, facts or {})


async def _record_named(envelope: Envelope, purchase: UUID, tx: Transaction) -> None:
    """An event about a purchase; where billing says so, the provider's fact that caused it comes in before it."""
    cause = uuid(envelope.causationid)
    joins = cause if envelope.publisher == "billing" else None
    if joins:
        await journeys.one_at_a_time(tx, joins)
    # What an operator did to something else than a purchase opens no journey.
    facts = await journeys.lock(tx, purchase, create=envelope.type != OperatorActed.wire)
    fact = await journeys.adopt(tx, joins, purchase) if joins and facts is not None else None
    if fact:
        await _joined(tx, purchase, fact, facts or {})
    if facts is None:
        await journeys.add_event(tx, stored(envelope), cause=cause)
    else:
        event, facts = stored(envelope), merge(facts, _occurrence(envelope))
        if ERASED in facts and not envelope.type.startswith("customer."):
            event, facts = replace(event, data={}), forgotten(facts)
        await journeys.go_on(tx, purchase, event, cause=cause, facts=facts)


async def _joined(tx: Transaction, purchase: UUID, fact: StoredEvent, facts: Facts) -> None:
    """A provider's fact has come in. Of a customer who was forgotten, its webhook may tell again."""
    await journeys.add_refs(tx, purchase, _refs(fact.data))
    if ERASED in facts:
        await erasing.once_more(tx, purchase)


def _occurrence(envelope: Envelope) -> Occurrence:
    """The event for the fold, which trusts the fields of types it knows: without any where they do not fit."""
    data = envelope.data
    try:
        if kind := BY_WIRE.get(envelope.type):
            envelope.open(kind)
    except Unreadable:
        data = {}
    return Occurrence(envelope.id, envelope.type, envelope.time, _storable(data))


def stored(envelope: Envelope) -> StoredEvent:
    """What is kept of an event."""
    return StoredEvent(
        id=0,
        event_id=envelope.id,
        type=_text(envelope.type),
        publisher=_text(envelope.publisher),
        subject=_text(envelope.subject),
        time=envelope.time,
        data=_storable(envelope.data),
    )


def _refs(data: Mapping[str, Any]) -> list[str]:
    refs = data.get("refs")
    return [ref for ref in refs.values() if isinstance(ref, str) and len(ref) < 256] if isinstance(refs, dict) else []


def _storable(value: Any) -> Any:
    """No ciphertext, since nobody here can open it, and nothing that PostgreSQL refuses."""
    if isinstance(value, str):
        return "(sealed)" if value.startswith(SEALED) else _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {_text(str(name)): _storable(part) for name, part in value.items()}
    return [_storable(part) for part in value] if isinstance(value, list) else value


def _text(value: str) -> str:
    """PostgreSQL stores neither NUL nor half a surrogate pair."""
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()


def uuid(value: str | None) -> UUID | None:
    """The id in this text, if it is one as we write them: a purchase has one address, not several."""
    try:
        found = UUID(value or "")
    except ValueError:
        return None
    return found if str(found) == value else None
