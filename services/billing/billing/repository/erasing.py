"""What is kept of a customer, what stands in the way of forgetting them, and forgetting them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from billing.domain import Customer
from billing.tables import customers
from keyturn.database import Transaction
from keyturn.erasing import Tables

# Left out is what proves something or opens a page.
PERSONAL: Tables = {
    "purchases": ("id = $1", ("request_hash",)),
    "checkouts": ("purchase_id = $1", ("url", "client")),
    "payments": ("purchase_id = $1", ()),
    "refunds": ("payment_id IN (SELECT id FROM payments WHERE purchase_id = $1)", ()),
    "refund_requests": ("purchase_id = $1", ()),
    "disputes": ("payment_id IN (SELECT id FROM payments WHERE purchase_id = $1)", ()),
    "redemptions": ("purchase_id = $1", ()),
    "entitlements": ("purchase_id = $1", ()),
    "subscriptions": ("purchase_id = $1", ()),
    "periods": ("purchase_id = $1", ()),
    "renewals": ("purchase_id = $1", ()),
    "notices": ("purchase_id = $1", ()),
    "invoices": ("purchase_id = $1", ()),
    "mandates": ("purchase_id = $1", ()),
    "charges": ("purchase_id = $1", ()),
    "plan_changes": ("purchase_id = $1", ()),
    "collected": ("purchase_id = $1", ()),
    "erasures": ("purchase_id = $1", ()),
    "erasure_reports": ("purchase_id = $1", ()),
}
OF_CUSTOMER: Tables = {
    "customers": ("id = $1", ()),
    "trials": ("customer_id = $1", ()),
    "credit_balances": ("customer_id = $1", ()),
    "credits": ("customer_id = $1", ()),
}

STANDING = """
WITH bought AS (SELECT id, state FROM purchases WHERE customer_id = $1),
paid AS (SELECT payments.id, purchase_id, payments.state FROM bought JOIN payments ON payments.purchase_id = bought.id)
SELECT purchase_id, what FROM (
  SELECT id AS purchase_id, 'pending' AS what FROM bought WHERE state = 'pending'
  UNION ALL
  SELECT bought.id, 'running' FROM bought JOIN entitlements ON entitlements.purchase_id = bought.id
  WHERE wanted <> 'ended'
  UNION ALL
  SELECT purchase_id, 'dispute' FROM paid JOIN disputes ON disputes.payment_id = paid.id
  WHERE disputes.state IN ('inquiry', 'open')
  UNION ALL
  SELECT paid.purchase_id, 'refund' FROM paid JOIN refund_requests ON refund_requests.payment_id = paid.id
  WHERE refund_requests.state = 'requested'
  UNION ALL
  SELECT purchase_id, 'review' FROM paid WHERE state = 'review') AS found
LIMIT $2
"""
KEEP_TRIAL = """
INSERT INTO used_trials (digest) SELECT $2::bytea FROM trials WHERE customer_id = $1 ON CONFLICT DO NOTHING
"""
FORGET = "UPDATE purchases SET erased_at = $2 WHERE customer_id = $1 AND erased_at IS NULL RETURNING 1"
TELL = """
INSERT INTO erasures (purchase_id, customer_id, asked)
SELECT id, customer_id, $2 FROM purchases
WHERE customer_id = $1 AND NOT EXISTS (SELECT FROM erasures WHERE purchase_id = purchases.id)
ORDER BY opened_at LIMIT $3
RETURNING purchase_id
"""
# What is left are amounts, dates, and the ids of payments.
CLEAR = (
    """UPDATE purchases SET contact = $2::text::jsonb, parameters = '{}', success_url = '', cancel_url = '',
      request_hash = '', buyer = jsonb_build_object('email', $2::text::jsonb->'email', 'country', buyer->'country')
      WHERE id = $1""",
    "UPDATE entitlements SET contact = $2::text::jsonb, parameters = '{}' WHERE purchase_id = $1",
)
CLOSE = ("UPDATE checkouts SET url = NULL, client = '{}' WHERE purchase_id = $1",)
# The law wants an invoice kept with its buyer, and for so long only. The customer is one who was forgotten.
FORGET_BUYERS = """
UPDATE invoices SET buyer = jsonb_build_object('email', $2::text, 'country', buyer->'country')
WHERE customer_id = $1 AND issued_at <= $3 AND buyer->>'email' <> $2
"""
NEXT_BUYER = """
SELECT issued_at FROM invoices WHERE customer_id = $1 AND issued_at > $2 ORDER BY issued_at LIMIT 1
"""
REPORT = """
INSERT INTO erasure_reports (purchase_id, service, at)
SELECT purchase_id, $2, $3 FROM erasures WHERE purchase_id = $1 ON CONFLICT DO NOTHING
"""
REPORTED = """
SELECT service, count(*) AS purchases, max(at) AS last FROM purchases
JOIN erasure_reports ON erasure_reports.purchase_id = purchases.id WHERE customer_id = $1 GROUP BY service
"""
COUNT = "SELECT count(*) AS purchases FROM purchases WHERE customer_id = $1"


async def lock_customer(tx: Transaction, customer_id: UUID) -> Customer | None:
    """Purchases that are opened meanwhile wait; what happens to those there are does not."""
    return await tx.session.get(Customer, customer_id, with_for_update={"key_share": True})


async def customers_to_erase(tx: Transaction, limit: int) -> list[Customer]:
    """Those who asked for it, the first of them first."""
    wanted = customers.c.erasure_wanted_at
    statement = select(Customer).where(wanted.is_not(None), customers.c.erased_at.is_(None))
    return list(await tx.session.scalars(statement.order_by(wanted, customers.c.id).limit(limit)))


async def standing(tx: Transaction, customer_id: UUID, limit: int) -> list[Any]:
    """Which purchases are not done with, and why."""
    return list(await tx.run(STANDING, customer_id, limit))


async def forget_purchases(tx: Transaction, customer_id: UUID) -> int:
    """From now on nothing is owed or given for them. How many they are."""
    await tx.session.flush()
    await tx.run(FORGET, customer_id, tx.now)
    return int((await tx.run(COUNT, customer_id))[0].purchases)


async def keep_trial(tx: Transaction, customer_id: UUID, digest: bytes) -> None:
    """Who has had one has had it, also once they are forgotten."""
    await tx.run(KEEP_TRIAL, customer_id, digest)


async def to_tell(tx: Transaction, customer_id: UUID, limit: int) -> list[UUID]:
    """The next purchases of which the others are to hear."""
    return [row.purchase_id for row in await tx.run(TELL, customer_id, tx.now, limit)]


async def clear(tx: Transaction, purchase_id: UUID, contact: str) -> None:
    for statement in CLEAR:
        await tx.run(statement, purchase_id, contact)
    for statement in CLOSE:
        await tx.run(statement, purchase_id)


async def report(tx: Transaction, purchase_id: UUID, service: str) -> None:
    await tx.run(REPORT, purchase_id, service, tx.now)


async def reports(tx: Transaction, customer_id: UUID) -> tuple[int, list[Any]]:
    """How many purchases there are, and of how many each service has erased everything."""
    total = int((await tx.run(COUNT, customer_id))[0].purchases)
    return total, list(await tx.run(REPORTED, customer_id))


async def forget_buyers(tx: Transaction, customer_id: UUID, email: str, until: datetime) -> datetime | None:
    """Of the invoices that were issued up to then. When the next one was."""
    await tx.run(FORGET_BUYERS, customer_id, email, until)
    later = await tx.run(NEXT_BUYER, customer_id, until)
    return later[0].issued_at if later else None
