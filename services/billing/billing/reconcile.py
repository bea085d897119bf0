"""Asking providers what was paid, so that a lost webhook loses nothing; and ending what nobody paid.

A periodic run only says which purchases, refunds and disputes to look at. Each look is work of its own: one that fails
stops no other. Of what is not known here at all, `sweeping.py` hears.
"""

from datetime import datetime, timedelta
from uuid import UUID

from billing.checkout_ends import end_checkout, end_purchase
from billing.deps import BillingDeps
from billing.domain import Bill, Checkout, MoneyFact
from billing.owing import owed, pays, superseded
from billing.payments import record_payment
from billing.placing import LOOK
from billing.providers import REVERSALS, CapturedPayment, CheckoutRefs, Closing
from billing.repository.collecting import take_looks_at_collected
from billing.repository.payments import payments_of
from billing.repository.purchases import (
    checkouts_of,
    get_purchase,
    lock_purchase,
    purchases_to_expire,
    purchases_to_look_at,
    put_off_looks,
)
from billing.repository.reversals import schedule_looks, take_looks
from billing.reversals import LONGEST_PAUSE_OF_DISPUTE
from billing.sweeping import look_at
from billing.telling import MIRROR
from keyturn.database import Transaction
from keyturn.events import FoundBy
from keyturn.work import Work

FIRST_LOOK = timedelta(minutes=1)  # the webhook is usually faster
LONGEST_PAUSE = timedelta(hours=1)
GRACE = timedelta(minutes=10)  # after a checkout's end, for a payment made in its last moment
LATE = timedelta(days=5)  # how long a bank may still authorise what the provider cannot close
LONGEST_LATE_PAUSE = timedelta(hours=12)
AT_MOST = 500  # of each, a run


async def reconcile(work: Work, deps: BillingDeps) -> None:  # noqa: ARG001 - the shape of all work
    async with work.transaction(finish=True) as tx:
        due = await purchases_to_look_at(tx, AT_MOST)
        due += await purchases_to_expire(tx, tx.now - GRACE, AT_MOST)
        await put_off_looks(tx, due, tx.now + LONGEST_PAUSE)
        await schedule_looks(tx, LOOK, [str(purchase_id) for purchase_id in due])
        collected = await take_looks_at_collected(tx, tx.now + LONGEST_PAUSE, AT_MOST)
        await schedule_looks(tx, MIRROR, [str(purchase_id) for purchase_id in collected])
        for kind in REVERSALS:
            await look_at(tx, kind, await take_looks(tx, kind, tx.now + LONGEST_PAUSE_OF_DISPUTE, AT_MOST))


async def look_at_purchase(work: Work, deps: BillingDeps) -> None:
    """Records what was paid. Where the purchase's time is over: closes its checkouts, asks once more, then ends it."""
    async with work.transaction("read") as tx:
        purchase = await get_purchase(tx, UUID(work.key))
        if purchase is None:
            return
        checkouts, due = await checkouts_of(tx, purchase.id), await owed(tx, purchase)
    for checkout in checkouts:
        if checkout.provider_id and checkout.next_look_at:
            await _look_at(work, deps, checkout, due)
    async with work.transaction("end", finish=True) as tx:
        await _end_what_was_never_opened(tx, purchase.id)


async def close_checkouts(work: Work, deps: BillingDeps) -> None:
    """Closes the checkouts that pay nothing any more. One that was paid as well is recorded, as surplus."""
    async with work.transaction("read") as tx:
        purchase = await get_purchase(tx, UUID(work.key))
        due = await owed(tx, purchase) if purchase else None
        checkouts = superseded(await checkouts_of(tx, UUID(work.key)), due)
    for checkout in checkouts:
        provider = deps.provider(checkout.provider)
        closing = await provider.expire(_refs(checkout))
        found = await provider.captured(_refs(checkout)) if closing == "paying" else []
        async with work.transaction("record") as tx:
            await record_found(tx, checkout, found, "reconciler")
            await _closed(tx, checkout, closing)


async def record_found(tx: Transaction, checkout: Checkout, found: list[CapturedPayment], by: FoundBy) -> None:
    """What the provider says was paid for this checkout, through the one function that records payments."""
    kind, named = "order" if checkout.provider == "razorpay" else "session", str(checkout.provider_id)
    for payment in found:
        fact = MoneyFact(
            provider="razorpay" if checkout.provider == "razorpay" else "stripe",
            payment_key=payment.payment_key,
            amount=payment.amount,
            currency=payment.currency,
            livemode=payment.livemode,
            reference=payment.reference or str(checkout.purchase_id),
            refs=payment.refs if named in payment.refs.values() else {kind: named, **payment.refs},
            pays_from=payment.period_from,
            pays_until=payment.period_until,
        )
        await record_payment(tx, fact, by)
    if found and (paid := await _again(tx, checkout)):
        paid.move_to("paid")
        paid.next_look_at = None


async def captured(deps: BillingDeps, checkout: Checkout) -> list[CapturedPayment]:
    return await deps.provider(checkout.provider).captured(_refs(checkout))


def next_look(checkout: Checkout, now: datetime) -> datetime | None:
    """Growing pauses, one look when its time is over, and few afterwards."""
    over = checkout.expires_at + GRACE
    longest = LONGEST_PAUSE if now < over else LONGEST_LATE_PAUSE
    pause: timedelta = min(FIRST_LOOK * (1 << min(checkout.looks, 12)), longest)
    due = now + pause
    if now < over:
        return min(due, over)
    return due if due < checkout.expires_at + LATE else None


async def _look_at(work: Work, deps: BillingDeps, checkout: Checkout, due: Bill | None) -> None:
    closing: Closing | None = None
    if checkout.state == "open" and checkout.expires_at + GRACE <= deps.clock.now() and pays(checkout, due):
        closing = await deps.provider(checkout.provider).expire(_refs(checkout))
    found = await captured(deps, checkout)
    async with work.transaction("record") as tx:
        await record_found(tx, checkout, found, "reconciler")
        await _looked(tx, checkout, closing)


async def _looked(tx: Transaction, looked_at: Checkout, closing: Closing | None) -> None:
    purchase = await lock_purchase(tx, looked_at.purchase_id)
    checkout = await _again(tx, looked_at)
    if purchase is None or checkout is None or checkout.next_look_at is None:
        return
    checkout.looks += 1
    following = next_look(checkout, tx.now)
    if closing in {"closed", "payable"} and pays(checkout, await owed(tx, purchase)):
        await end_checkout(tx, purchase, checkout, "expired")
    checkout.next_look_at = None if closing == "closed" else following


async def _closed(tx: Transaction, closed: Checkout, closing: Closing) -> None:
    await lock_purchase(tx, closed.purchase_id)
    checkout = await _again(tx, closed)
    if checkout and checkout.state == "open" and closing != "paying":
        checkout.move_to("expired")
        checkout.next_look_at = None if closing == "closed" else checkout.next_look_at


async def _end_what_was_never_opened(tx: Transaction, purchase_id: UUID) -> None:
    """The provider was never reached, or the answer never stored: the customer has seen no page to pay on."""
    purchase = await lock_purchase(tx, purchase_id)
    if purchase is None or purchase.state != "pending" or purchase.expires_at + GRACE > tx.now:
        return
    checkouts = await checkouts_of(tx, purchase_id)
    for checkout in checkouts:
        if checkout.state == "opening":
            checkout.move_to("expired")
    undecided = any(payment.state == "review" for payment in await payments_of(tx, purchase_id))
    if not (undecided or any(checkout.state == "open" for checkout in checkouts)):
        await end_purchase(tx, purchase, "expired")


async def _again(tx: Transaction, read_before: Checkout) -> Checkout | None:
    """As it is now that the purchase is locked."""
    found = await checkouts_of(tx, read_before.purchase_id)
    return next((checkout for checkout in found if checkout.id == read_before.id), None)


def _refs(checkout: Checkout) -> CheckoutRefs:
    return CheckoutRefs(checkout.purchase_id, checkout.attempt, str(checkout.provider_id))
