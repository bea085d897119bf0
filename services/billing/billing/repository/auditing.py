"""What the daily audit goes through: entitlements by purchase, a page at a time."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from keyturn.database import Transaction

LAST = UUID(int=(1 << 128) - 1)
OVER = timedelta(days=1)  # behind the end of a period or the beginning of a change: somebody should have noticed

BOUND = "SELECT purchase_id FROM entitlements WHERE purchase_id > $1 ORDER BY purchase_id OFFSET $2 LIMIT 1"
ENTITLED = """
SELECT purchase_id::text, version, wanted, changed_at AS since FROM entitlements
WHERE purchase_id > $1 AND purchase_id <= $2 ORDER BY purchase_id LIMIT $3
"""
NOT_AS_PAID = """
SELECT purchases.id, CASE WHEN plan_changes.id IS NOT NULL THEN 'plan_not_followed'
  WHEN entitlements.purchase_id IS NULL THEN 'paid_without_entitlement'
  WHEN subscriptions.state IN ('suspended', 'ended') THEN 'entitlement_differs' ELSE 'period_over' END AS what
FROM purchases
  LEFT JOIN entitlements ON entitlements.purchase_id = purchases.id
  LEFT JOIN subscriptions ON subscriptions.purchase_id = purchases.id
  LEFT JOIN plan_changes ON plan_changes.purchase_id = purchases.id AND plan_changes.state = 'applying'
    AND plan_changes.state_since < $4
WHERE purchases.id > $1 AND purchases.id <= $2 AND purchases.state IN ('paid', 'disputed', 'refunded')
  AND (plan_changes.id IS NOT NULL OR entitlements.purchase_id IS NULL
    OR subscriptions.state = 'suspended' AND wanted = 'on'
    OR subscriptions.state = 'ended' AND wanted <> 'ended'
    OR subscriptions.state = 'active' AND held_since IS NULL AND ends_at < $4)
ORDER BY purchases.id LIMIT $3
"""


async def next_bound(tx: Transaction, after: UUID, count: int) -> UUID | None:
    """The last of so many after this one. None: there are fewer."""
    found = await tx.run(BOUND, after, count - 1)
    return found[0].purchase_id if found else None


async def entitled_between(tx: Transaction, after: UUID, upto: UUID | None, limit: int) -> list[dict[str, Any]]:
    return [dict(row) for row in await tx.run(ENTITLED, after, upto or LAST, limit)]


async def not_as_paid(tx: Transaction, after: UUID, upto: UUID | None, limit: int) -> list[tuple[UUID, str]]:
    """Paid purchases whose entitlement is not what their own books say."""
    over: datetime = tx.now - OVER
    return [(row.id, row.what) for row in await tx.run(NOT_AS_PAID, after, upto or LAST, limit, over)]
