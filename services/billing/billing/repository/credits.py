"""Customers' credit: every amount that was given or used, and in each currency the sum, kept by whoever adds one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_

from billing.domain import Purchase
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
LESS = """
UPDATE credit_balances SET balance = balance + $3, left_since = CASE WHEN balance + $3 > 0 THEN left_since END
WHERE customer_id = $1 AND currency = $2
"""
# Held before anybody looks: of two last subscriptions that end at once, the second to hold sees that the first is over.
HOLD = "SELECT currency, left_since FROM credit_balances WHERE customer_id = $1 ORDER BY currency FOR UPDATE"
MARK = """
UPDATE credit_balances SET left_since = CASE WHEN balance > 0 AND NOT EXISTS (
  SELECT FROM purchases JOIN subscriptions ON subscriptions.purchase_id = purchases.id
  WHERE purchases.customer_id = $1 AND subscriptions.state <> 'ended') THEN coalesce(left_since, $2) END
WHERE customer_id = $1 RETURNING currency, balance, left_since
"""
# What was paid for a period, with money and with credit, for it and for changes of plan within it; less what went back.
LEFT_OF_PERIOD = """
WITH paid AS (
  SELECT payments.id, payments.amount FROM payments LEFT JOIN plan_changes AS change ON change.id = payments.change_id
  WHERE payments.purchase_id = $1 AND payments.state = 'matched' AND coalesce(payments.period, change.period) = $2)
SELECT (SELECT coalesce(sum(amount), 0) FROM paid)
  + (SELECT coalesce(sum(credited), 0) FROM invoices
     WHERE purchase_id = $1 AND kind = 'invoice' AND payment_id IN (SELECT id FROM paid))
  - (SELECT coalesce(sum(amount), 0) FROM refunds WHERE NOT failed AND payment_id IN (SELECT id FROM paid))
  - (SELECT coalesce(sum(deducted), 0) FROM disputes WHERE state = 'lost' AND payment_id IN (SELECT id FROM paid))
  - (SELECT coalesce(sum(credit), 0) FROM refund_requests WHERE payment_id IN (SELECT id FROM paid))
  - (SELECT coalesce(sum(unused - cost + tax_added), 0) FROM plan_changes
     WHERE purchase_id = $1 AND period = $2 AND state = 'done' AND unused > cost)
  - (SELECT coalesce(sum(amount), 0) FROM credits WHERE customer_id = $3 AND source LIKE $4) AS amount
"""
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


async def mark_left(tx: Transaction, customer_id: UUID) -> dict[str, int]:
    """Notes of which credit nothing is left that could use it. Gives that of which this is new, by currency."""
    await tx.session.flush()
    before = {row.currency: row.left_since for row in await tx.run(HOLD, customer_id)}
    now = await tx.run(MARK, customer_id, tx.now) if before else []
    return {row.currency: row.balance for row in now if row.left_since and not before.get(row.currency)}


async def credit_by_source(tx: Transaction, source: str) -> Any:
    """None: it was booked never."""
    found = await tx.session.execute(select(credit_entries).where(credit_entries.c.source == source))
    return found.one_or_none()


async def left_of_period(tx: Transaction, purchase: Purchase, period: int) -> int:
    """How much more could go back of what was paid for it. Below nothing: so much went back too much."""
    taken = f"back-{purchase.id}-{period}-%"
    rows = await tx.run(LEFT_OF_PERIOD, purchase.id, period, purchase.customer_id, taken)
    return int(rows[0].amount)


async def balances_of(tx: Transaction, customer_id: UUID) -> dict[str, int]:
    """By currency."""
    return {row.currency: row.balance for row in await credit_of(tx, customer_id)}


async def credit_of(tx: Transaction, customer_id: UUID) -> Sequence[Any]:
    """What a customer has in each currency, and since when it is left over."""
    statement = select(credit_balances).where(credit_balances.c.customer_id == customer_id)
    return list(await tx.session.execute(statement.order_by(credit_balances.c.currency)))


async def list_credits(tx: Transaction, customer_id: UUID, *, after: Position | None, limit: int) -> Sequence[Any]:
    """Newest first."""
    place = credit_entries.c.at, credit_entries.c.id
    statement = select(credit_entries).where(credit_entries.c.customer_id == customer_id)
    if after:
        statement = statement.where(tuple_(*place) < after)
    return list(await tx.session.execute(statement.order_by(*(column.desc() for column in place)).limit(limit)))
