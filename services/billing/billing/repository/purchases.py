"""Customers, purchases, checkouts, entitlements, and what was noticed about them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert as plain_insert
from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from billing.domain import Checkout, Customer, Entitlement, Payment, Purchase, PurchaseState
from billing.repository.rows import first, held, hold, objects, of_purchase, remember
from billing.tables import checkouts, customers, notices, payments, purchases
from keyturn.database import Transaction
from keyturn.events import Contact, uuid7

Position = tuple[datetime, UUID]  # of the last row of a page


async def customer_of(tx: Transaction, email: str, contact: Contact) -> Customer:
    """Found by the one spelling of the address, or made. The unique constraint decides between two at once."""
    known = contact.model_dump(include={"name", "locale", "timezone"})
    values = {"id": uuid7(), "email": email, "created_at": tx.now, **known}
    new = insert(customers).values(**values).on_conflict_do_nothing(index_elements=["email"])
    # Whoever forgets them waits for this purchase, or it for them: then the address is a new customer's.
    theirs = select(Customer).where(customers.c.email == email).with_for_update(read=True)
    found = None
    while found is None:
        await tx.session.execute(new)
        found = (await tx.session.scalars(theirs)).one_or_none()
    return found


async def add_purchase(tx: Transaction, purchase: Purchase) -> bool:
    """False where the id is taken: another request opened it, and has committed by the time this returns."""
    names = [column.name for column in purchases.c]
    statement = insert(purchases).values({name: getattr(purchase, name) for name in names})
    done = await tx.session.execute(statement.on_conflict_do_nothing().returning(purchases.c.id))
    return done.first() is not None


async def get_purchase(tx: Transaction, purchase_id: UUID) -> Purchase | None:
    return held_purchase(tx, purchase_id) or await first(tx, Purchase, ONE, purchase_id)


async def read_purchase(tx: Transaction, purchase_id: UUID) -> Purchase | None:
    """For a transaction that changes nothing: what belongs to it is read once, as with the lock."""
    return _held(tx, await get_purchase(tx, purchase_id))


ONE = "SELECT * FROM purchases WHERE id = $1"
LOCK = "SELECT * FROM purchases WHERE id = $1 FOR UPDATE"
LOCK_BY_REFS = """
SELECT purchases.* FROM checkouts JOIN purchases ON purchases.id = checkouts.purchase_id
WHERE checkouts.provider = $1 AND checkouts.provider_id = ANY($2::text[]) LIMIT 1 FOR UPDATE OF purchases
"""
CHECKOUTS = "SELECT * FROM checkouts WHERE purchase_id = $1 ORDER BY attempt"
ENTITLEMENT = "SELECT * FROM entitlements WHERE purchase_id = $1"


async def lock_purchase(tx: Transaction, purchase_id: UUID) -> Purchase | None:
    """Whoever changes money of a purchase holds its row, and takes it before any other: one at a time, no deadlock."""
    return held_purchase(tx, purchase_id) or _held(tx, await first(tx, Purchase, LOCK, purchase_id))


def held_purchase(tx: Transaction, purchase_id: UUID) -> Purchase | None:
    """Where this transaction has locked it already."""
    return held(tx, Purchase, purchase_id)


async def lock_purchase_by_refs(tx: Transaction, provider: str, refs: Iterable[str]) -> Purchase | None:
    """The same, by the provider's ids of its checkouts."""
    return _held(tx, await first(tx, Purchase, LOCK_BY_REFS, provider, list(refs)))


def _held(tx: Transaction, purchase: Purchase | None) -> Purchase | None:
    if purchase:
        hold(tx, purchase)
    return purchase


async def lock_purchase_of(tx: Transaction, payment: Payment) -> Purchase | None:
    """Locks the payment's purchase, then the payment, and reads both anew. None: it belongs to no purchase (yet)."""
    purchase = await lock_purchase(tx, payment.purchase_id) if payment.purchase_id else None
    await tx.session.refresh(payment, with_for_update=True)
    return purchase if purchase and payment.purchase_id == purchase.id else None


async def list_purchases(
    tx: Transaction, *, state: PurchaseState | None, email: str | None, after: Position | None, limit: int
) -> list[Purchase]:
    """Newest first."""
    statement = select(Purchase).order_by(purchases.c.opened_at.desc(), purchases.c.id.desc())
    if state:
        statement = statement.where(purchases.c.state == state)
    if email:
        customer = select(customers.c.id).where(customers.c.email == email).scalar_subquery()
        statement = statement.where(purchases.c.customer_id == customer)
    if after:
        statement = statement.where(tuple_(purchases.c.opened_at, purchases.c.id) < after)
    return list(await tx.session.scalars(statement.limit(limit)))


async def checkouts_of(tx: Transaction, purchase_id: UUID) -> list[Checkout]:
    return await objects(tx, Checkout, CHECKOUTS, purchase_id)


async def checkout_by_refs(tx: Transaction, provider: str, refs: Iterable[str]) -> Checkout | None:
    statement = select(Checkout).where(checkouts.c.provider == provider, checkouts.c.provider_id.in_(list(refs)))
    return (await tx.session.scalars(statement.limit(1).execution_options(populate_existing=True))).one_or_none()


async def purchases_to_look_at(tx: Transaction, limit: int) -> list[UUID]:
    """Purchases of which a provider may know more than we do, longest due first."""
    due = checkouts.c.next_look_at <= tx.now
    statement = select(checkouts.c.purchase_id).where(due).order_by(checkouts.c.next_look_at).limit(limit)
    return list(dict.fromkeys(await tx.session.scalars(statement)))


async def purchases_to_expire(tx: Transaction, before: datetime, limit: int) -> list[UUID]:
    """Purchases that nobody paid in time and that no look will close: their checkout was never opened. Where money
    is in review, an operator decides first."""
    looked_at = select(checkouts.c.id).where(
        checkouts.c.purchase_id == purchases.c.id, checkouts.c.next_look_at.is_not(None)
    )
    in_review = select(payments.c.id).where(payments.c.purchase_id == purchases.c.id, payments.c.state == "review")
    statement = select(purchases.c.id).where(
        purchases.c.state == "pending", purchases.c.expires_at <= before, ~looked_at.exists(), ~in_review.exists()
    )
    return list(await tx.session.scalars(statement.order_by(purchases.c.expires_at).limit(limit)))


async def put_off_looks(tx: Transaction, purchase_ids: Iterable[UUID], until: datetime) -> None:
    """Nobody schedules another look before `until`: the one under way settles when the next is due."""
    due = checkouts.c.purchase_id.in_(list(purchase_ids)), checkouts.c.next_look_at <= tx.now
    await tx.session.execute(update(checkouts).where(*due).values(next_look_at=until))


async def entitlement_of(tx: Transaction, purchase_id: UUID) -> Entitlement | None:
    return await of_purchase(tx, Entitlement, ENTITLEMENT, purchase_id)


def add_entitlement(tx: Transaction, entitlement: Entitlement) -> None:
    tx.session.add(entitlement)
    remember(tx, entitlement)


async def notice(tx: Transaction, purchase_id: UUID, kind: str, detail: dict[str, Any]) -> None:
    """Keeps what was told about a purchase and changed nothing."""
    values = {"id": uuid7(), "purchase_id": purchase_id, "kind": kind, "detail": detail, "recorded_at": tx.now}
    await tx.session.execute(plain_insert(notices).values(**values))


async def notices_of(tx: Transaction, purchase_id: UUID, limit: int = 100) -> list[dict[str, Any]]:
    columns = (notices.c.kind, notices.c.detail, notices.c.recorded_at)
    statement = select(*columns).where(notices.c.purchase_id == purchase_id).order_by(notices.c.recorded_at)
    return [dict(row._mapping) for row in await tx.session.execute(statement.limit(limit))]  # noqa: SLF001 - public API
