"""The subscriptions that providers collect by themselves."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from billing.collecting import Collected
from billing.repository.rows import of_purchase, remember
from billing.tables import collected, payments
from keyturn.database import Transaction

COLLECTED = "SELECT * FROM collected WHERE purchase_id = $1"


async def collected_of(tx: Transaction, purchase_id: UUID) -> Collected | None:
    """Whoever changes it holds its purchase's lock."""
    return await of_purchase(tx, Collected, COLLECTED, purchase_id)


async def purchase_collected_by(tx: Transaction, provider: str, provider_id: str) -> UUID | None:
    statement = select(collected.c.purchase_id)
    found: UUID | None = await tx.session.scalar(
        statement.where(collected.c.provider == provider, collected.c.provider_id == provider_id)
    )
    return found


async def unknown_keys(tx: Transaction, provider: str, keys: Iterable[str]) -> set[str]:
    """Of payments, those that are recorded nowhere."""
    wanted = set(keys)
    statement = select(payments.c.payment_key)
    known = await tx.session.scalars(
        statement.where(payments.c.provider == provider, payments.c.payment_key.in_(wanted))
    )
    return wanted - set(known)


async def take_looks_at_collected(tx: Transaction, until: datetime, limit: int) -> list[UUID]:
    """Those of which a provider may know more than we do, longest due first. Nobody takes them again before `until`:
    the look under way settles when the next one is due."""
    look = collected.c.next_look_at
    due = select(collected.c.purchase_id).where(look <= tx.now).order_by(look).limit(limit)
    taken = update(collected).where(collected.c.purchase_id.in_(due.with_for_update(skip_locked=True)))
    statement = taken.values(next_look_at=until).returning(collected.c.purchase_id)
    return [row[0] for row in await tx.session.execute(statement)]


def add(tx: Transaction, row: Collected) -> None:
    tx.session.add(row)
    remember(tx, row)
