"""How a subscription goes from period to period. Everything here is called with the purchase locked."""

from datetime import datetime
from typing import Any

from billing.calendar import recurs
from billing.charging import forget_saved, plan_first
from billing.coming import coming
from billing.credits import note_left
from billing.domain import Payment, Purchase
from billing.invoicing import issue_next, next_charge, overdue, withdraw_invoice
from billing.owing import CLOSE_CHECKOUTS
from billing.policy import Level, Policy
from billing.repository.mandates import open_charge
from billing.repository.payments import matched_payment
from billing.repository.plan_changes import change_under_way
from billing.repository.purchases import get_purchase
from billing.repository.subscriptions import (
    add,
    amount_of,
    open_renewal,
    period_of,
    renewal_of,
    subscription_of,
)
from billing.subscriptions import Because, Period, Renewal, Subscription
from billing.telling import revive, tell
from billing.trials import net_of, setup_fee_of, taken_off
from keyturn.database import Transaction
from keyturn.events import (
    FoundBy,
    SubscriptionEnded,
    SubscriptionKept,
    SubscriptionPastDue,
    SubscriptionRenewalDue,
    SubscriptionRenewed,
)


async def begin(tx: Transaction, purchase: Purchase) -> None:
    """The purchase is paid: where it recurs, it is a subscription. Its first period opens when the install is ready."""
    price = await amount_of(tx, purchase.price_id) if recurs(purchase.cycle) else 0
    if price:
        new = Subscription(
            purchase_id=purchase.id,
            state="trialing" if purchase.trial_days else "active",
            began_at=tx.now,
            state_since=tx.now,
            cycle=purchase.cycle,
            plan=purchase.plan,
            price_id=purchase.price_id,
            price=price,
            zone=purchase.contact.get("timezone"),
        )
        add(tx, new)
        await note_left(tx, purchase)


async def open_first(tx: Transaction, purchase: Purchase, policy: Policy, at: datetime) -> None:
    """Said again, it changes nothing."""
    subscription = await subscription_of(tx, purchase.id)
    payment = await matched_payment(tx, purchase.id)
    if subscription is None or subscription.number or subscription.is_over or payment is None:
        return
    if purchase.trial_days:
        subscription.open_trial(at, purchase.trial_days)
    else:
        subscription.open_period(at)
    _opened(tx, purchase, subscription, payment)
    await tell(tx, subscription)  # nobody pays for the time before
    await plan(tx, subscription, policy)
    tx.publish(_renewed(tx, purchase, subscription, payment, None))


async def open_next(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    """A renewal was paid, early or late: its period begins where the last one ended."""
    subscription = await subscription_of(tx, purchase.id)
    renewal = await renewal_of(tx, purchase.id, payment.period or 0)
    assert subscription
    assert renewal
    assert subscription.ends_at
    renewal.state = "paid"
    subscription.move_to("active", tx.now)
    subscription.open_period(subscription.ends_at, payment.lasts_until(subscription.ends_at))
    _opened(tx, purchase, subscription, payment)


async def tell_renewed(tx: Transaction, purchase: Purchase, payment: Payment, found_by: FoundBy) -> None:
    if subscription := await subscription_of(tx, purchase.id):
        tx.publish(_renewed(tx, purchase, subscription, payment, found_by))


async def ask_for_next(
    tx: Transaction, purchase: Purchase, subscription: Subscription, *, quietly: bool = False
) -> Renewal:
    """From now on the next period can be paid. What was taken back is asked for again, and nobody is asked for what
    costs nothing, or (`quietly`) is paid already."""
    number = subscription.number + 1
    off, fee = taken_off(purchase, number, subscription.price), setup_fee_of(purchase, number)
    charged = await next_charge(tx, purchase, subscription, off, fee)
    invoice = await issue_next(tx, purchase, subscription, charged)
    renewal = await renewal_of(tx, purchase.id, number)
    if renewal is None:
        renewal = Renewal(
            purchase_id=purchase.id,
            number=number,
            price_id=subscription.price_id,
            currency=purchase.currency,
            opened_at=tx.now,
        )
    add(tx, renewal)
    renewal.price_id = subscription.price_id
    renewal.state, renewal.amount = "open", invoice.due if invoice else 0
    renewal.discount, renewal.setup_fee, renewal.tax_added = off, fee, charged.added
    renewal.credited = invoice.credited if invoice else 0
    if not quietly:
        await plan_first(tx, subscription, renewal)
    if invoice and renewal.amount and not quietly:
        due = standing(tx, purchase, subscription, renewal)
        tx.publish(SubscriptionRenewalDue(**due, invoice=invoice.number))
    return renewal


async def fall_behind(tx: Transaction, purchase: Purchase, subscription: Subscription, policy: Policy) -> None:
    subscription.fall("past_due", policy, tx.now)
    renewal = await open_renewal(tx, purchase.id)
    charged = bool(renewal and renewal.attempts)
    tx.publish(SubscriptionPastDue(**standing(tx, purchase, subscription, renewal), charged=charged))
    await overdue(tx, purchase.id, subscription.number + 1)


async def end(tx: Transaction, purchase: Purchase, subscription: Subscription, because: Because) -> None:
    withdrawn = await withdraw(tx, purchase)
    await forget_saved(tx, purchase.id)
    subscription.move_to("ended", tx.now)
    subscription.ended_because, subscription.resumes_at = because, None
    now = standing(tx, purchase, subscription)
    tx.publish(SubscriptionEnded(**now, because=because, withdrawn=withdrawn))
    await tell(tx, subscription)
    await note_left(tx, purchase)


async def withdraw(tx: Transaction, purchase: Purchase) -> int | None:
    """Nobody is asked for the next period any more. Gives what it would have cost, where it was asked for."""
    renewal = await open_renewal(tx, purchase.id)
    if renewal is None:
        return None
    renewal.state = "void"
    await withdraw_invoice(tx, purchase, renewal.number)
    tx.schedule(CLOSE_CHECKOUTS, str(purchase.id), subject=str(purchase.id))
    return renewal.amount


async def follow(tx: Transaction, purchase: Purchase, of_money: Level) -> Subscription | None:
    """A subscription whose money went back ends, and goes on where the refund failed. None: there is none."""
    subscription = await subscription_of(tx, purchase.id) if recurs(purchase.cycle) else None
    if subscription and of_money.wanted == "ended" and not subscription.is_over:
        await end(tx, purchase, subscription, "reversed")
    elif subscription and of_money.wanted != "ended" and subscription.ended_because == "reversed":
        subscription.move_to("active", tx.now)
        subscription.ended_because = None
        await revive(tx, subscription)
        await note_left(tx, purchase)
        tx.publish(SubscriptionKept(**standing(tx, purchase, subscription)))
    return subscription


async def keep_time(
    tx: Transaction, subscription: Subscription, policy: Policy, *, served: bool, disputed_since: datetime | None
) -> None:
    """The clock of a customer who cannot use what is paid stands still. `disputed_since`: a dispute that was open since
    then is decided, and what was to be charged meanwhile was not."""
    if served and subscription.held_since:
        await _release(tx, subscription, subscription.held_since)
    else:
        if not served:
            subscription.hold(tx.now)
        renewal = await open_renewal(tx, subscription.purchase_id) if disputed_since else None
        if disputed_since and renewal and renewal.charge_at:
            subscription.put_off(disputed_since, tx.now)
    await plan(tx, subscription, policy)


async def _release(tx: Transaction, subscription: Subscription, held_since: datetime) -> None:
    end = subscription.ends_at
    subscription.release(tx.now)
    renewal = await open_renewal(tx, subscription.purchase_id)
    if renewal and end and subscription.ends_at:
        renewal.put_off(tx.now - held_since, end, subscription.ends_at)
    await tell(tx, subscription)
    if period := await period_of(tx, subscription.purchase_id, subscription.number):
        assert subscription.ends_at
        period.ends_at = subscription.ends_at


async def plan(tx: Transaction, subscription: Subscription, policy: Policy) -> None:
    """While a change of plan is under way nothing happens by itself: what is to be asked next depends on it."""
    if not subscription.is_over and (change := await change_under_way(tx, subscription.purchase_id)):
        subscription.next_step_at = change.next_step(tx.now)
        return
    renewal = await open_renewal(tx, subscription.purchase_id)
    if renewal and renewal.attempts and await open_charge(tx, subscription.purchase_id):
        subscription.next_step_at = None  # first it has to be known what came of that; its work goes on from there
        return
    charge_at = renewal.charge_at if renewal else None
    purchase = await get_purchase(tx, subscription.purchase_id) if charge_at else None
    if purchase and purchase.is_disputed:
        subscription.next_step_at = None  # nobody is charged whose money is in dispute, nor falls behind for that
        return
    subscription.next_step_at = subscription.next_step(policy, asked=renewal is not None, charge_at=charge_at)


def standing(
    tx: Transaction, purchase: Purchase, subscription: Subscription, renewal: Renewal | None = None
) -> dict[str, Any]:
    """What each of its events says."""
    return {
        "subject": str(purchase.id),
        "time": tx.now,
        "state": subscription.state,
        "period": subscription.number,
        "period_from": subscription.starts_at,
        "period_until": subscription.ends_at,
        "renews_at": subscription.renews_at,
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "resumes_at": subscription.resumes_at,
        "due": renewal.amount if renewal and renewal.state == "open" else None,
        "currency": purchase.currency,
        "charges_at": renewal.charge_at if renewal and renewal.state == "open" else None,
        "suspends_at": subscription.consequence_at if subscription.state == "past_due" else None,
        "deletes_at": subscription.consequence_at if subscription.state == "suspended" else None,
        "collection": subscription.collection,
        **coming(purchase, subscription.number, subscription.price).said,
    }


def _opened(tx: Transaction, purchase: Purchase, subscription: Subscription, payment: Payment) -> None:
    assert subscription.starts_at
    assert subscription.ends_at
    opened = Period(
        purchase_id=subscription.purchase_id,
        number=subscription.number,
        starts_at=subscription.starts_at,
        ends_at=subscription.ends_at,
        lasts=subscription.ends_at - subscription.starts_at,
        price=net_of(purchase, subscription.number, subscription.price),
        payment_id=payment.id,
        opened_at=tx.now,
    )
    add(tx, opened)


def _renewed(
    tx: Transaction, purchase: Purchase, subscription: Subscription, payment: Payment, found_by: FoundBy | None
) -> SubscriptionRenewed:
    paid = {"amount": payment.amount, "payment_id": str(payment.id), "found_by": found_by}
    return SubscriptionRenewed(**standing(tx, purchase, subscription), **paid)
