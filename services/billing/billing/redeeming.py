"""Counting who uses a coupon. A redemption belongs to a purchase: it stands while that is paid, or can be."""

from billing.domain import Purchase
from billing.errors import coupon_expired, coupon_used_by_you, coupon_used_up
from billing.repository.coupons import (
    add_redemption,
    give_back_redemption,
    is_redeemed_by,
    lock_coupon,
    times_used,
)
from keyturn.database import Transaction


async def redeem(tx: Transaction, purchase: Purchase) -> None:
    """For a purchase that can be paid from now on: it is new and written, or opened again and locked. The coupon's row
    stays locked until the commit, so that no two count at once. Raises the `coupon_...` problem of a used one."""
    code = purchase.coupon_code
    if code is None or await is_redeemed_by(tx, purchase.id):
        return
    coupon = await lock_coupon(tx, code)
    if coupon is None or not coupon.is_active:  # ended a moment ago
        raise coupon_expired(code)
    if coupon.is_used_up:
        raise coupon_used_up(code)
    most = coupon.terms.limit_per_customer
    if most and await times_used(tx, code, purchase.customer_id, most) >= most:
        raise coupon_used_by_you(code)
    await add_redemption(tx, purchase)


async def redeem_late(tx: Transaction, purchase: Purchase) -> None:
    """For a purchase that was paid although it had ended: it gets what it was sold, whatever the limits say now."""
    if purchase.coupon:
        await add_redemption(tx, purchase)


async def give_back(tx: Transaction, purchase: Purchase) -> None:
    """For a purchase that ended unpaid."""
    if purchase.coupon:
        await give_back_redemption(tx, purchase.id)
