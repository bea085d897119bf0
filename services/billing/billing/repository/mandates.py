"""Saved mandates, and what was charged to them."""

from uuid import UUID

from sqlalchemy import delete, func, select

from billing.mandates import Charge, Mandate
from billing.repository.rows import forget, of_purchase, open_of_purchase, remember
from billing.tables import charges, mandates
from keyturn.database import Transaction

MANDATE = "SELECT * FROM mandates WHERE purchase_id = $1"
OPEN_CHARGE = "SELECT * FROM charges WHERE purchase_id = $1 AND state = 'asked'"


async def mandate_of(tx: Transaction, purchase_id: UUID) -> Mandate | None:
    return await of_purchase(tx, Mandate, MANDATE, purchase_id)


async def take_mandate(tx: Transaction, purchase_id: UUID) -> Mandate | None:
    """It is no more."""
    known = await mandate_of(tx, purchase_id)
    if known:
        await tx.session.execute(delete(Mandate).where(mandates.c.purchase_id == purchase_id))
        forget(tx, Mandate, purchase_id)
    return known


async def open_charge(tx: Transaction, purchase_id: UUID) -> Charge | None:
    return await open_of_purchase(tx, Charge, OPEN_CHARGE, purchase_id, {"asked"})


async def charge_by_id(tx: Transaction, charge_id: UUID) -> Charge | None:
    return await tx.session.get(Charge, charge_id)


async def charges_of(tx: Transaction, purchase_id: UUID, limit: int = 100) -> list[Charge]:
    """The newest first."""
    statement = select(Charge).where(charges.c.purchase_id == purchase_id)
    return list(
        await tx.session.scalars(statement.order_by(charges.c.period.desc(), charges.c.attempt.desc()).limit(limit))
    )


async def failed_with(tx: Transaction, charge: Charge) -> int:
    """How often what this one charges has failed for the period."""
    await tx.session.flush()
    alike = charges.c.purchase_id == charge.purchase_id, charges.c.period == charge.period
    with_it = charges.c.method_id == charge.method_id, charges.c.state == "failed"
    return int(await tx.session.scalar(select(func.count()).select_from(charges).where(*alike, *with_it)) or 0)


def add(tx: Transaction, row: Mandate | Charge) -> None:
    tx.session.add(row)
    remember(tx, row)
