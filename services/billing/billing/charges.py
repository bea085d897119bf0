"""The work that charges a saved mandate, and that learns what was saved. Its answer, the webhook and a later look meet
in the one row that `record_payment` makes.

The intent is in the database before the provider is asked, under its id as the key. So a repetition charges nothing
twice, and a charge of which no answer came is asked for before anything else happens to the subscription.
"""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from billing import charging
from billing.deps import BillingDeps
from billing.domain import MoneyFact, Purchase
from billing.mandates import Charge
from billing.owing import owed, pays
from billing.payments import record_payment
from billing.periods import standing
from billing.providers import ChargeOrder, ChargeResult, SavedMandate
from billing.refunds import ask_for_refund
from billing.renewing import advance, read
from billing.repository.collecting import collected_of
from billing.repository.mandates import open_charge
from billing.repository.offers import terms, wares
from billing.repository.purchases import lock_purchase
from billing.repository.subscriptions import open_renewal, subscription_of
from billing.telling import ask_to_mirror, is_collected
from keyturn.database import Transaction
from keyturn.errors import Problem, Wait
from keyturn.events import SubscriptionChargeFailed
from keyturn.work import Work

KEPT = timedelta(hours=20)  # for so long a repetition of the call itself is harmless; later it is looked for first
PENDING = timedelta(hours=1)


async def charge(work: Work, deps: BillingDeps) -> None:
    purchase_id = UUID(work.key)
    known = await read(work, deps, purchase_id, _to_charge)  # somebody may have paid by link
    if known is None:
        return
    asked, wanted, order = known
    provider = deps.provider(asked.provider)
    late = deps.clock.now() - asked.asked_at > KEPT
    result = await provider.charged(order) if late or not wanted else None
    if result is None and wanted:
        result = await provider.charge(order)
    if result and result.status == "pending":
        raise Wait("not_ready", "the bank has not decided yet", until=deps.clock.now() + PENDING)
    async with work.transaction("record", finish=True) as tx:
        await _record(tx, purchase_id, asked.id, result)


async def _to_charge(tx: Transaction, purchase: Purchase) -> tuple[Charge, bool, ChargeOrder] | None:
    """What was asked for, and whether that is still owed."""
    asked = await open_charge(tx, purchase.id)
    if asked is None:
        return None
    # Of what is in dispute by now, it is only asked whether it was charged before.
    due = await owed(tx, purchase)
    wanted = pays(asked, due) and not purchase.is_disputed
    sold = await wares(tx, (due and due.price_id) or purchase.price_id)
    return asked, wanted, _order(asked, sold.title)


async def save_mandate(work: Work, deps: BillingDeps) -> None:
    """Where it is not known any more, nothing follows: what is owed is paid by link. What the provider collects, it
    charges to it."""
    purchase_id, provider = UUID(work.payload["purchase_id"]), deps.provider(work.payload["provider"])
    found = await provider.saved_mandate(work.payload["refs"])
    async with work.transaction("read") as tx:
        collected = await collected_of(tx, purchase_id) if await is_collected(tx, purchase_id) else None
    if found and collected:
        await provider.use_card(collected.provider_id, found)
    async with work.transaction("save", finish=True) as tx:
        purchase = await lock_purchase(tx, purchase_id)
        if found and collected:
            ask_to_mirror(tx, purchase_id)
        elif found and purchase:
            if await charging.save(tx, purchase, found):
                await advance(tx, purchase)
            else:
                await charging.forget_late(tx, purchase, found)


async def forget_mandate(work: Work, deps: BillingDeps) -> None:
    known = SavedMandate(work.payload["customer_id"], work.payload["method_id"])
    await deps.provider(work.payload["provider"]).forget_mandate(known)


async def _record(tx: Transaction, purchase_id: UUID, charge_id: UUID, result: ChargeResult | None) -> None:
    purchase = await lock_purchase(tx, purchase_id)
    made = await open_charge(tx, purchase_id)
    if purchase is None or made is None or made.id != charge_id:
        return
    made.decided_at = tx.now
    if result is None:
        made.state = "dropped"
        await charging.again(tx, made)
        await advance(tx, purchase)
        return
    made.provider_id, made.code = result.provider_id, result.code
    if result.payment:
        made.state = "paid"
        await _paid(tx, purchase, made, result)
        await advance(tx, purchase)
    else:
        made.state = "failed"
        await _failed(tx, purchase, made)


async def _paid(tx: Transaction, purchase: Purchase, made: Charge, result: ChargeResult) -> None:
    assert result.payment
    fact = MoneyFact(
        provider="razorpay" if made.provider == "razorpay" else "stripe",
        payment_key=result.payment.payment_key,
        amount=result.payment.amount,
        currency=result.payment.currency,
        livemode=result.payment.livemode,
        reference=str(purchase.id),
        refs={**result.payment.refs, charging.ATTEMPT: str(made.id)},
    )
    payment = await record_payment(tx, fact, "charge")
    if payment and payment.state == "surplus":  # the customer was faster, by link; what we took goes back
        with suppress(Problem):  # an operator was faster
            await ask_for_refund(tx, purchase, payment, None)


async def _failed(tx: Transaction, purchase: Purchase, made: Charge) -> None:
    """First it falls behind, if it has to: the event says how it stands."""
    verdict = await charging.declined(tx, made, (await terms(tx, purchase.plan)).policy)
    await advance(tx, purchase)
    subscription, renewal = await subscription_of(tx, purchase.id), await open_renewal(tx, purchase.id)
    if subscription and renewal and renewal.number == made.period:
        now = standing(tx, purchase, subscription, renewal)
        tx.publish(SubscriptionChargeFailed(**now, attempt=made.attempt, code=made.code, verdict=verdict))


def _order(asked: Charge, title: str) -> ChargeOrder:
    return ChargeOrder(
        purchase_id=asked.purchase_id,
        key=str(asked.id),
        amount=asked.amount,
        currency=asked.currency,
        customer_id=asked.customer_id,
        method_id=asked.method_id,
        title=title,
    )
