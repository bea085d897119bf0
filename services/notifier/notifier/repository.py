"""Every query of the notifier."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import literal, select, update
from sqlalchemy.dialects.postgresql import insert

from keyturn.database import Transaction
from keyturn.events import EntitlementChanged, PurchaseOpened, uuid7
from notifier.domain import Outcome, State, Template
from notifier.tables import Attempt, Contact, Message

__all__ = ["Attempt", "Contact", "Message"]


# What every mail needs is plain SQL.
SAVE_CONTACT = """
INSERT INTO contacts (purchase_id, version, email, name, locale, timezone, product, store_name)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (purchase_id) DO UPDATE SET version = $2, email = $3, name = $4, locale = $5, timezone = $6, product = $7,
  store_name = $8
WHERE contacts.version < $2
"""
PENDING = "SELECT id FROM messages WHERE purchase_id = $1 AND state = 'pending' ORDER BY id LIMIT $2"
NEWEST_LINK = "SELECT max(link_number) FROM messages WHERE purchase_id = $1"
END_ATTEMPT = """
UPDATE attempts SET outcome = $2, code = $3, reply = $4, ended = $5 WHERE message_id = $1 AND outcome IS NULL
"""


# A version that no entitlement reaches: nothing that comes later brings the contact back.
FORGOTTEN = 2**31 - 1
FORGET = (
    f"""INSERT INTO contacts (purchase_id, version, email, product) VALUES ($1, {FORGOTTEN}, '', '')
    ON CONFLICT (purchase_id) DO UPDATE SET version = excluded.version, email = '', name = NULL, locale = NULL,
      timezone = NULL, store_name = NULL""",  # noqa: S608 - our own number
    "UPDATE messages SET recipient = NULL, details = '{}', token = NULL, credentials = NULL WHERE purchase_id = $1",
    "UPDATE attempts SET reply = NULL WHERE message_id IN (SELECT id FROM messages WHERE purchase_id = $1)",
)
UNSENT = """
UPDATE messages SET state = 'failed', code = 'erased', reason = 'its customer was forgotten', finished = $2
WHERE purchase_id = $1 AND state = 'pending'
"""


async def forget(tx: Transaction, purchase_id: UUID) -> None:
    """What is still to be sent never will be."""
    await tx.run(UNSENT, purchase_id, tx.now)
    for statement in FORGET:
        await tx.run(statement, purchase_id)


async def save_order(tx: Transaction, event: PurchaseOpened) -> None:
    """What the order says. An entitlement that came before keeps its newer address; the price is the order's."""
    price = {"amount": event.amount, "currency": event.currency}
    statement = insert(Contact).values(_contact(event, version=0) | price)
    await tx.session.execute(statement.on_conflict_do_update(index_elements=["purchase_id"], set_=price))


async def save_contact(tx: Transaction, event: EntitlementChanged) -> None:
    """What an entitlement says; an older one changes nothing."""
    await tx.run(SAVE_CONTACT, *_contact(event, version=event.version).values())


def _contact(event: PurchaseOpened | EntitlementChanged, *, version: int) -> dict[str, Any]:
    return {
        "purchase_id": UUID(event.subject),
        "version": version,
        "email": event.contact.email,
        "name": event.contact.name,
        "locale": event.contact.locale,
        "timezone": event.contact.timezone,
        "product": event.product,
        "store_name": event.parameters.get("store_name"),
    }


async def save_deletion(tx: Transaction, purchase_id: UUID, at: datetime | None) -> None:
    """When an install that is suspended for nonpayment is to be deleted."""
    await tx.session.execute(update(Contact).where(Contact.purchase_id == purchase_id).values(deletes_at=at))


async def deletion(tx: Transaction, purchase_id: UUID) -> datetime | None:
    return await tx.session.scalar(select(Contact.deletes_at).where(Contact.purchase_id == purchase_id))


async def contact(tx: Transaction, purchase_id: UUID) -> Contact | None:
    return await tx.session.get(Contact, purchase_id)


async def add_message(
    tx: Transaction,
    template: Template,
    fact: str,
    *,
    subject: str,
    purchase_id: UUID | None,
    details: Mapping[str, Any],
    **link: Any,
) -> UUID | None:
    """The new message's id, or None where this fact has been told: the unique constraint decides."""
    values: dict[str, Any] = {
        "id": uuid7(),
        "template": template,
        "fact": fact,
        "subject": subject,
        "purchase_id": purchase_id,
    }
    values |= {"details": dict(details), "created": tx.now, **link}
    statement = insert(Message).values(values).on_conflict_do_nothing().returning(Message.id)
    return (await tx.session.execute(statement)).scalar_one_or_none()


async def pending(tx: Transaction, purchase_id: UUID, limit: int = 100) -> Sequence[UUID]:
    """The messages of a purchase that are still to be sent."""
    return [row.id for row in await tx.run(PENDING, purchase_id, limit)]


async def message(tx: Transaction, message_id: UUID, *, lock: bool = False) -> Message | None:
    return await tx.session.get(Message, message_id, with_for_update=True if lock else None)


async def newest_link(tx: Transaction, purchase_id: UUID | None) -> int | None:
    """The number of the newest setup link that we heard of."""
    newest: int | None = (await tx.run(NEWEST_LINK, purchase_id))[0].max
    return newest


async def earlier_pending(tx: Transaction, of: Message, templates: Collection[Template]) -> bool:
    """Whether a message of these kinds that came before this one is still to be sent."""
    earlier = select(Message.id).where(
        Message.purchase_id == of.purchase_id,
        Message.state == "pending",
        Message.template.in_(templates),
        Message.id < of.id,
    )
    return (await tx.session.scalars(earlier.limit(1))).first() is not None


async def start_attempt(tx: Transaction, of: Message, recipient: str) -> int:
    """The number of the attempt that begins now."""
    of.attempts += 1
    of.recipient = recipient
    tx.session.add(Attempt(message_id=of.id, number=of.attempts, started=tx.now))
    return of.attempts


async def end_attempt(tx: Transaction, message_id: UUID, outcome: Outcome, code: str | None, reply: str | None) -> None:
    """Closes the attempt that has no outcome yet, if there is one."""
    await tx.run(END_ATTEMPT, message_id, outcome, code, reply, tx.now)


async def attempts(tx: Transaction, message_id: UUID, limit: int = 1000) -> Sequence[Attempt]:
    wanted = select(Attempt).where(Attempt.message_id == message_id).order_by(Attempt.number.desc()).limit(limit)
    return (await tx.session.scalars(wanted)).all()


async def messages(
    tx: Transaction, *, purchase_id: UUID | None, state: State | None, before: UUID | None, limit: int
) -> Sequence[Message]:
    """The newest first; ids are ordered by time. Each state has a statement of its own: their plans differ."""
    wanted = select(Message).order_by(Message.id.desc()).limit(limit)
    if purchase_id:
        wanted = wanted.where(Message.purchase_id == purchase_id)
    if state:
        wanted = wanted.where(Message.state == literal(state, literal_execute=True))
    if before:
        wanted = wanted.where(Message.id < before)
    return (await tx.session.scalars(wanted)).all()


def close(of: Message, state: State, now: datetime | None, code: str | None = None, reason: str | None = None) -> None:
    of.state, of.finished, of.code, of.reason = state, now, code, reason


def forget_sealed(of: Message) -> None:
    """What opens an install is not kept once its mail is sent, or never will be."""
    of.token = of.credentials = None
