"""The one place where a payment is recorded, whoever found it: webhook, return page, reconciler or operator."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from billing import following
from billing.charging import charge_of, look_for_mandate
from billing.domain import (
    Bill,
    Checkout,
    MoneyFact,
    Payment,
    PaymentState,
    Purchase,
    ReviewReason,
    Verdict,
    judge,
    purchase_id_in,
)
from billing.entitlements import entitle, settle
from billing.errors import not_in_review, purchase_unknown
from billing.expecting import is_renewal
from billing.invoicing import paid_for
from billing.owing import CLOSE_CHECKOUTS, bill_for, owed, superseded, through
from billing.periods import begin, open_next, tell_renewed
from billing.redeeming import redeem_late
from billing.repository.payments import (
    add_payment,
    add_refs,
    payment_by_key,
    payment_by_refs,
)
from billing.repository.purchases import checkouts_of, held_purchase, lock_purchase, lock_purchase_by_refs
from billing.telling import end_stray, take_up
from keyturn.database import Transaction
from keyturn.events import FoundBy, PaymentNeedsReview, PurchasePaid, uuid7


async def record_payment(tx: Transaction, fact: MoneyFact, found_by: FoundBy) -> Payment | None:
    """Unique on (provider, payment key): the first to find it books it, all others change nothing. Whether it is the
    first, a renewal or surplus is decided here alone.

    None: no purchase of it can be seen. The caller then waits, asks the provider, or calls `record_unplaced`.
    """
    known = await payment_by_key(tx, fact.provider, fact.payment_key)
    if known and not known.may_be_placed_again:
        await add_refs(tx, known, fact.refs)
        return known
    named = purchase_id_in(fact.reference)
    purchase = held_purchase(tx, named) if named else None
    if purchase is None:
        purchase = await _lock_purchase_of(tx, fact, named)
        known = await payment_by_key(tx, fact.provider, fact.payment_key)  # again, now that nobody else can book it
    if purchase is None:
        return None
    if known and not known.may_be_placed_again:
        await add_refs(tx, known, fact.refs)
        return known
    checkouts = await checkouts_of(tx, purchase.id)
    renews = await is_renewal(tx, purchase, fact)
    asked = None if renews else through(checkouts, fact) or await charge_of(tx, purchase.id, fact)
    bill = await bill_for(tx, purchase, asked)
    verdict = judge(fact, purchase, bill, named=named)
    if known:
        await add_refs(tx, known, fact.refs)
    payment = known or await _new(tx, fact, found_by, verdict, purchase.id, bill=bill)
    if payment is None:
        return await payment_by_key(tx, fact.provider, fact.payment_key)
    await _place(tx, payment, verdict, purchase, found_by, bill=bill, checkouts=checkouts, new=known is None)
    return payment


async def record_unplaced(tx: Transaction, fact: MoneyFact, found_by: FoundBy) -> None:
    """Money without a purchase: `review` where it carries our reference, else `foreign`. Nothing follows from it."""
    ours = purchase_id_in(fact.reference) is not None
    verdict = Verdict("review", "unknown_purchase") if ours else Verdict("foreign")
    payment = await _new(tx, fact, found_by, verdict, None)
    if payment and verdict.reason:
        tx.publish(_needs_review(tx, payment, verdict.reason, None))


async def decide(tx: Transaction, payment: Payment, pays: UUID | None) -> None:
    """An operator's word on money in review: it `pays` this purchase, or (None) it is not ours."""
    purchase = await lock_purchase(tx, pays) if pays else None
    if pays and purchase is None:
        raise purchase_unknown()
    await tx.session.refresh(payment, with_for_update=True)  # the purchase first, as everywhere
    if payment.state != "review":
        raise not_in_review()
    if purchase is None:
        payment.move_to("foreign")
        return
    bill = await owed(tx, purchase)
    state: PaymentState = "matched" if bill else "surplus"
    checkouts = await checkouts_of(tx, purchase.id)
    await _place(tx, payment, Verdict(state), purchase, "operator", bill=bill, checkouts=checkouts)


async def _lock_purchase_of(tx: Transaction, fact: MoneyFact, named: UUID | None) -> Purchase | None:
    """By the provider's ids first: they are ours if we stored them, whatever the reference claims."""
    if purchase := await lock_purchase_by_refs(tx, fact.provider, fact.refs.values()):
        return purchase
    if named and (purchase := await lock_purchase(tx, named)):
        return purchase
    related = await payment_by_refs(tx, fact.provider, fact.refs)
    return await lock_purchase(tx, related.purchase_id) if related and related.purchase_id else None


async def _new(
    tx: Transaction,
    fact: MoneyFact,
    found_by: FoundBy,
    verdict: Verdict,
    purchase_id: UUID | None,
    *,
    bill: Bill | None = None,
) -> Payment | None:
    payment = Payment(
        id=uuid7(),
        provider=fact.provider,
        payment_key=fact.payment_key,
        amount=fact.amount,
        currency=fact.currency,
        livemode=fact.livemode,
        state=verdict.state,
        review_reason=verdict.reason,
        found_by=found_by,
        refs=dict(fact.refs),
        reference=fact.reference,
        purchase_id=purchase_id,
        **(_what_for(bill) if bill and verdict.state == "matched" else {}),
        pays_from=fact.pays_from,
        pays_until=fact.pays_until,
        recorded_at=tx.now,
    )
    return await add_payment(tx, payment)


def _what_for(bill: Bill) -> dict[str, Any]:
    return {"period": None if bill.change else bill.period, "change_id": bill.change}


async def _place(
    tx: Transaction,
    payment: Payment,
    verdict: Verdict,
    purchase: Purchase,
    by: FoundBy,
    *,
    bill: Bill | None,
    checkouts: Sequence[Checkout],
    new: bool = False,
) -> None:
    payment.move_to(verdict.state)
    payment.purchase_id, payment.review_reason = purchase.id, verdict.reason
    expected = bill.amount if bill else purchase.amount
    if verdict.reason:
        tx.publish(_needs_review(tx, payment, verdict.reason, purchase, expected))
        return
    if verdict.state == "surplus":  # a state that is never left: told once
        tx.publish(_needs_review(tx, payment, "surplus", purchase, expected))
        await end_stray(tx, purchase, payment)
    elif bill:
        payment.period, payment.change_id = _what_for(bill).values()
        await _paid_for(tx, purchase, payment, by, new=new)
        await paid_for(tx, purchase, payment)
    await _close_checkouts(tx, purchase, payment, checkouts)


async def _paid_for(tx: Transaction, purchase: Purchase, payment: Payment, by: FoundBy, *, new: bool) -> None:
    """The first period, a renewal, or a change of plan."""
    if payment.change_id:
        await following.paid(tx, purchase, payment)
        return
    if payment.period == 1:
        if purchase.state != "pending":
            await redeem_late(tx, purchase)
        purchase.move_to("paid", tx.now)
        tx.publish(_paid(tx, purchase, payment, by))
        await begin(tx, purchase)
        await take_up(tx, purchase, payment)
        look_for_mandate(tx, purchase, payment)
        await (entitle(tx, purchase, payment) if new else settle(tx, purchase))
        return
    look_for_mandate(tx, purchase, payment)
    await take_up(tx, purchase, payment)
    await open_next(tx, purchase, payment)
    await settle(tx, purchase)
    await tell_renewed(tx, purchase, payment, by)


async def _close_checkouts(
    tx: Transaction, purchase: Purchase, payment: Payment, checkouts: Sequence[Checkout]
) -> None:
    """What was paid is asked no more; what could still be paid is closed, or the customer might pay twice. One that is
    being opened is closed by whoever stores it."""
    for checkout in checkouts:
        if checkout.provider_id in payment.refs.values():
            checkout.move_to("paid")
            checkout.next_look_at = None
    if superseded(checkouts, await owed(tx, purchase)):
        tx.schedule(CLOSE_CHECKOUTS, str(purchase.id), subject=str(purchase.id))


def _paid(tx: Transaction, purchase: Purchase, payment: Payment, found_by: FoundBy) -> PurchasePaid:
    return PurchasePaid(
        subject=str(purchase.id),
        time=tx.now,
        customer_id=str(purchase.customer_id),
        product=purchase.product,
        plan=purchase.plan,
        amount=payment.amount,
        discount=purchase.discount,
        coupon=purchase.coupon_code,
        currency=payment.currency,
        provider=payment.provider if payment.provider in {"stripe", "razorpay"} else None,
        payment_id=str(payment.id),
        payment_key=payment.payment_key,
        found_by=found_by,
    )


def _needs_review(
    tx: Transaction,
    payment: Payment,
    reason: ReviewReason | Literal["surplus"],
    purchase: Purchase | None,
    expected: int | None = None,
) -> PaymentNeedsReview:
    return PaymentNeedsReview(
        subject=str(purchase.id if purchase else payment.reference),
        time=tx.now,
        payment_id=str(payment.id),
        provider=payment.provider,
        payment_key=payment.payment_key,
        reason=reason,
        amount=payment.amount,
        currency=payment.currency,
        expected_amount=expected,
        expected_currency=purchase.currency if purchase else None,
    )
