"""Coupons and their redemptions. Whoever counts a redemption holds the coupon's row, after the purchase's."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert

from billing.coupons import Coupon, Source, StoredCoupon
from billing.domain import Purchase
from billing.repository.purchases import Position
from billing.tables import coupons, purchases, redemptions
from keyturn.database import Transaction

SWITCH_OFF = """
UPDATE coupons SET terms = jsonb_set(terms, '{active}', 'false') WHERE source = 'catalog' AND NOT code = ANY($1::text[])
"""
FIND = "SELECT * FROM coupons WHERE code = $1"
LOCK = f"{FIND} FOR UPDATE"
STANDS = "SELECT 1 FROM redemptions WHERE purchase_id = $1 AND given_back_at IS NULL"
USED = """
SELECT count(*) AS times FROM (
  SELECT 1 FROM redemptions WHERE coupon = $1 AND customer_id = $2 AND given_back_at IS NULL LIMIT $3
) AS used
"""
ADD = """
INSERT INTO redemptions (purchase_id, coupon, customer_id, redeemed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (purchase_id) DO UPDATE SET given_back_at = NULL, redeemed_at = excluded.redeemed_at
WHERE redemptions.given_back_at IS NOT NULL RETURNING 1
"""
GIVE_BACK = """
UPDATE redemptions SET given_back_at = $2 WHERE purchase_id = $1 AND given_back_at IS NULL RETURNING coupon
"""
COUNT = "UPDATE coupons SET redeemed = redeemed + $2 WHERE code = $1"


async def put_coupons(tx: Transaction, wanted: Mapping[str, Coupon]) -> None:
    """Those of the catalogue. What is no longer in it is switched off; what operators made stays as it is, unless the
    catalogue has it too."""
    await tx.run(SWITCH_OFF, list(wanted))
    for code, terms in wanted.items():
        statement = insert(coupons).values(**_new(tx, code, terms, "catalog"))
        kept = {"terms": statement.excluded.terms, "source": "catalog"}
        await tx.session.execute(statement.on_conflict_do_update(index_elements=["code"], set_=kept))


async def add_coupon(tx: Transaction, code: str, terms: Coupon) -> bool:
    """False where the code is taken."""
    statement = insert(coupons).values(**_new(tx, code, terms, "operator")).on_conflict_do_nothing()
    return (await tx.session.execute(statement.returning(coupons.c.code))).first() is not None


async def find_coupon(tx: Transaction, code: str) -> StoredCoupon | None:
    return next((_coupon(row) for row in await tx.run(FIND, code)), None)


async def lock_coupon(tx: Transaction, code: str) -> StoredCoupon | None:
    return next((_coupon(row) for row in await tx.run(LOCK, code)), None)


async def end_coupon(tx: Transaction, code: str) -> None:
    await tx.run("UPDATE coupons SET ended_at = $2 WHERE code = $1", code, tx.now)


async def list_coupons(tx: Transaction, *, after: str | None, limit: int) -> list[StoredCoupon]:
    """By code."""
    statement = select(coupons).order_by(coupons.c.code).where(coupons.c.code > (after or "")).limit(limit)
    return [_coupon(row) for row in await tx.session.execute(statement)]


async def redemptions_of(tx: Transaction, code: str, limit: int, *, after: Position | None = None) -> list[Any]:
    """Newest first."""
    of_purchase = (purchases.c.state, purchases.c.amount, purchases.c.discount, purchases.c.currency)
    statement = select(redemptions, *of_purchase).join(purchases).where(redemptions.c.coupon == code)
    place = redemptions.c.redeemed_at, redemptions.c.purchase_id
    if after:
        statement = statement.where(tuple_(*place) < after)
    newest = statement.order_by(*(column.desc() for column in place))
    return list(await tx.session.execute(newest.limit(limit)))


async def is_redeemed_by(tx: Transaction, purchase_id: UUID) -> bool:
    return bool(await tx.run(STANDS, purchase_id))


async def times_used(tx: Transaction, code: str, customer_id: UUID, at_most: int) -> int:
    """How many redemptions of this customer stand, counted no further than `at_most`."""
    return int((await tx.run(USED, code, customer_id, at_most))[0].times)


async def add_redemption(tx: Transaction, purchase: Purchase) -> None:
    """A repetition changes nothing."""
    if await tx.run(ADD, purchase.id, purchase.coupon_code, purchase.customer_id, tx.now):
        await tx.run(COUNT, purchase.coupon_code, 1)


async def give_back_redemption(tx: Transaction, purchase_id: UUID) -> None:
    """A repetition changes nothing."""
    for row in await tx.run(GIVE_BACK, purchase_id, tx.now):
        await tx.run(COUNT, row.coupon, -1)


def _new(tx: Transaction, code: str, terms: Coupon, source: Source) -> dict[str, Any]:
    values = {"code": code, "terms": terms.model_dump(mode="json"), "source": source}
    return values | {"redeemed": 0, "created_at": tx.now}


def _coupon(row: Any) -> StoredCoupon:
    return StoredCoupon(
        code=row.code,
        terms=Coupon.model_validate(row.terms),
        source=row.source,
        redeemed=row.redeemed,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
