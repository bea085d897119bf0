"""Customers' credit: every amount that was given or used, and in each currency the sum, kept by whoever adds one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_

from billing.tables import credit_balances, credit_entries
from keyturn.database import Transaction
from keyturn.events import uuid7

LOCK = "SELECT balance FROM credit_balances WHERE customer_id = $1 AND currency = $2 FOR UPDATE"
ADD = """
INSERT INTO credits (id, customer_id, currency, amount, source, reason, purchase_id, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (source) DO NOTHING RETURNING 1
"""
MORE = """
INSERT INTO credit_balances (customer_id, currency, balance) VALUES ($1, $2, $3)
ON CONFLICT (customer_id, currency) DO UPDATE SET balance = credit_balances.balance + excluded.balance
"""
LESS = "UPDATE credit_balances SET balance = balance + $3 WHERE customer_id = $1 AND currency = $2"
Position = tuple[datetime, UUID]


async def lock_balance(tx: Transaction, customer_id: UUID, currency: str) -> int:
    """Until the commit nobody else uses it. Taken after the purchase's lock, and before an invoice has its number."""
    return sum(row.balance for row in await tx.run(LOCK, customer_id, currency))


async def add_credit(
    tx: Transaction,
    customer_id: UUID,
    currency: str,
    amount: int,
    *,
    source: str,
    reason: str | None,
    purchase_id: UUID | None,
) -> bool:
    """False where this source was booked before. Less than nothing is used; a constraint lets no sum fall below 0."""
    if not await tx.run(ADD, uuid7(), customer_id, currency, amount, source, reason, purchase_id, tx.now):
        return False
    await tx.run(MORE if amount > 0 else LESS, customer_id, currency, amount)
    return True


async def balances_of(tx: Transaction, customer_id: UUID) -> dict[str, int]:
    """By currency."""
    statement = select(credit_balances).where(credit_balances.c.customer_id == customer_id)
    found = await tx.session.execute(statement.order_by(credit_balances.c.currency))
    return {row.currency: row.balance for row in found}


async def list_credits(tx: Transaction, customer_id: UUID, *, after: Position | None, limit: int) -> Sequence[Any]:
    """Newest first."""
    place = credit_entries.c.at, credit_entries.c.id
    statement = select(credit_entries).where(credit_entries.c.customer_id == customer_id)
    if after:
        statement = statement.where(tuple_(*place) < after)
    return list(await tx.session.execute(statement.order_by(*(column.desc() for column in place)).limit(limit)))
