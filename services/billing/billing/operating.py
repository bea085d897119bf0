"""What operators do to money. Each act and the event that tells of it commit together."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from billing.coupons import Coupon, StoredCoupon
from billing.deps import BillingDeps
from billing.domain import MoneyFact, Payment, Purchase
from billing.errors import (
    already_paid,
    amount_differs,
    coupon_exists,
    coupon_unknown,
    not_refundable,
    payment_unknown,
    purchase_unknown,
    reference_used,
    unknown,
)
from billing.owing import owed
from billing.payments import decide, record_payment
from billing.refunds import ask_for_refund
from billing.repository.coupons import add_coupon, end_coupon, find_coupon, lock_coupon
from billing.repository.offers import product_exists
from billing.repository.payments import get_payment, last_matched, matched_payment, payment_by_key
from billing.repository.purchases import lock_purchase, lock_purchase_of
from billing.reversals import RefundRequest
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.internal import Caller


@dataclass(frozen=True)
class Receipt:
    """What an operator says arrived: all that is owed, as far as no amount is named. One `reference`, of a transfer
    say, is one payment."""

    reason: str
    amount: int | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Back:
    """What is to go back: money (None: all that is left), and what credit paid as credit (None: of all, all of it)."""

    amount: int | None = None
    credit: int | None = None


async def mark_paid(deps: BillingDeps, caller: Caller, purchase_id: UUID, receipt: Receipt) -> Purchase:
    """Money that reached us in another way, for what is owed. Takes the same path as a webhook; a repetition changes
    nothing."""
    async with deps.database.transaction("mark_paid") as tx:
        purchase = await _locked(tx, purchase_id)
        due = await owed(tx, purchase)
        if receipt.reference and (known := await payment_by_key(tx, "operator", receipt.reference)):
            _same(known, purchase, receipt)
            return purchase
        if due is None:
            last = await last_matched(tx, purchase.id)
            if last and last.provider == "operator" and not receipt.reference:
                return purchase
            raise already_paid(purchase.id)
        if receipt.amount not in {None, due.amount}:
            raise amount_differs(due.amount, purchase.currency)
        before, reference = {"status": purchase.state}, str(purchase.id)
        own = f"{reference}-{due.change or due.period}" if due.change or due.period > 1 else reference
        key = receipt.reference or own
        fact = MoneyFact("operator", key, due.amount, purchase.currency, purchase.livemode, reference)
        if recorded := await record_payment(tx, fact, "operator"):
            _same(recorded, purchase, receipt)
        after = {"status": purchase.state, "period": due.period, "amount": due.amount, "reference": receipt.reference}
        acted(tx, caller, "purchase.mark_paid", str(purchase.id), reason=receipt.reason, before=before, after=after)
        return purchase


def _same(known: Payment, purchase: Purchase, receipt: Receipt) -> None:
    """One transfer pays one purchase, also where two operators name it at once."""
    if known.purchase_id != purchase.id or receipt.amount not in {None, known.amount}:
        raise reference_used(known.payment_key)


async def refund(deps: BillingDeps, caller: Caller, purchase_id: UUID, wanted: Back, reason: str) -> RefundRequest:
    """Asks for it; the provider is called by work."""
    async with deps.database.transaction("ask_for_refund") as tx:
        purchase = await _locked(tx, purchase_id)
        payment = await matched_payment(tx, purchase.id)
        request = await ask_for_refund(tx, purchase, payment, wanted.amount, wanted.credit)
        after = _asked(request)
        before = {"refunded": purchase.refunded}
        acted(tx, caller, "purchase.refund", str(purchase.id), reason=reason, before=before, after=after)
        return request


def _asked(request: RefundRequest) -> dict[str, Any]:
    return {"refund_request": str(request.id), "amount": request.amount, "credit": request.credit}


async def refund_payment(
    deps: BillingDeps, caller: Caller, payment_id: UUID, wanted: Back, reason: str
) -> RefundRequest:
    """For one payment, whatever its state: a second one, or one that does not fit. Its purchase must be known: what
    is not ours we do not give back."""
    async with deps.database.transaction("ask_for_refund") as tx:
        payment = await get_payment(tx, payment_id)
        if payment is None:
            raise payment_unknown()
        purchase = await lock_purchase_of(tx, payment)
        if purchase is None or payment.state == "foreign":
            raise not_refundable("This payment belongs to no purchase of ours.")
        request = await ask_for_refund(tx, purchase, payment, wanted.amount, wanted.credit)
        after = _asked(request)
        before, subject = {"state": payment.state}, str(purchase.id)
        acted(tx, caller, "payment.refund", str(payment.id), reason=reason, before=before, after=after, subject=subject)
        return request


async def decide_payment(
    deps: BillingDeps, caller: Caller, payment_id: UUID, *, match: bool, purchase_id: UUID | None, reason: str
) -> Payment:
    """`match`: with the named purchase, or the one that the money was placed with."""
    async with deps.database.transaction("decide_payment") as tx:
        payment = await get_payment(tx, payment_id)
        if payment is None:
            raise payment_unknown()
        pays = (purchase_id or payment.purchase_id) if match else None
        if match and pays is None:
            raise purchase_unknown()
        before = {"state": payment.state, "reason": payment.review_reason}
        await decide(tx, payment, pays)
        after = {"state": payment.state, "purchase_id": str(payment.purchase_id) if payment.purchase_id else None}
        subject = after["purchase_id"]
        acted(tx, caller, "payment.decide", str(payment.id), reason=reason, before=before, after=after, subject=subject)
        return payment


async def create_coupon(deps: BillingDeps, caller: Caller, code: str, terms: Coupon, reason: str) -> StoredCoupon:
    async with deps.database.transaction("create_coupon") as tx:
        for product in terms.products:
            if not await product_exists(tx, product):
                raise unknown("product", product)
        if not await add_coupon(tx, code, terms):
            raise coupon_exists(code)
        after = terms.model_dump(mode="json", exclude_defaults=True)
        acted(tx, caller, "coupon.create", code, reason=reason, after=after)
        return await _coupon(tx, code)


async def end(deps: BillingDeps, caller: Caller, code: str, reason: str) -> StoredCoupon:
    """For good: nobody redeems it from now on. Who did keeps what they were sold. A repetition changes nothing."""
    async with deps.database.transaction("end_coupon") as tx:
        found = await lock_coupon(tx, code)
        if found is None:
            raise coupon_unknown()
        if found.ended_at is None:
            await end_coupon(tx, code)
            before, after = {"active": found.is_active}, {"active": False, "redeemed": found.redeemed}
            acted(tx, caller, "coupon.end", code, reason=reason, before=before, after=after)
        return await _coupon(tx, code)


async def _coupon(tx: Transaction, code: str) -> StoredCoupon:
    found = await find_coupon(tx, code)
    if found is None:
        raise coupon_unknown()
    return found


async def _locked(tx: Transaction, purchase_id: UUID) -> Purchase:
    purchase = await lock_purchase(tx, purchase_id)
    if purchase is None:
        raise purchase_unknown()
    return purchase
