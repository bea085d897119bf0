"""What a subscription does by itself: asks for the next period, falls behind, warns, is suspended, ends.

A periodic run only says whose turn it is; each is work of its own, so one that fails stops no other.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from billing import charging
from billing.deps import BillingDeps
from billing.domain import Checkout, Purchase
from billing.entitlements import settle
from billing.following import end_unopened
from billing.invoicing import rate_for
from billing.mirroring import bring_in_line
from billing.owing import nothing_to_pay, owed
from billing.payments import record_payment
from billing.periods import ask_for_next, end, fall_behind, plan, standing
from billing.policy import Policy
from billing.reconcile import AT_MOST, captured, record_found
from billing.repository.offers import terms
from billing.repository.purchases import checkouts_of, lock_purchase, read_purchase
from billing.repository.subscriptions import open_renewal, subscription_of, take_steps
from billing.subscriptions import Act, Subscription
from billing.taxes import Buyer
from billing.telling import is_collected
from keyturn.database import Transaction
from keyturn.events import (
    SubscriptionResumed,
    SubscriptionResumesSoon,
    SubscriptionSuspended,
    SubscriptionWarned,
)
from keyturn.work import Work

T = TypeVar("T")
Reads = Callable[[Transaction, Purchase], Awaitable[T]]

STEP = "subscription"
AGAIN = timedelta(hours=1)  # where a step was taken and its work is not done: that goes on by itself


async def billing_run(work: Work, deps: BillingDeps) -> None:  # noqa: ARG001 - the shape of all work
    async with work.transaction(finish=True) as tx:
        for purchase_id in await take_steps(tx, tx.now + AGAIN, AT_MOST):
            tx.schedule(STEP, str(purchase_id), subject=str(purchase_id))


async def step(work: Work, deps: BillingDeps) -> None:
    """Before anybody falls behind, is suspended or deleted, the provider is asked: a webhook may be lost."""
    purchase_id = UUID(work.key)
    known = await read(work, deps, purchase_id, _whom_to_tax)
    if known and known.is_collected:
        await bring_in_line(work, deps, purchase_id)
    # What a provider collects is taxed as it was ordered.
    rate = await rate_for(deps, known.buyer) if known and not known.is_collected else None
    async with work.transaction("advance", finish=True) as tx:
        if purchase := await lock_purchase(tx, purchase_id):
            purchase.tax = rate.model_dump(mode="json") if rate else purchase.tax
            await advance(tx, purchase)


async def read(work: Work, deps: BillingDeps, purchase_id: UUID, reads: Reads[T]) -> T | None:
    """What `reads` finds, once the provider was asked whether a period that is over was paid by link."""
    asked = False
    while True:
        async with work.transaction("read", hold=False) as tx:
            purchase = await read_purchase(tx, purchase_id)
            if purchase is None:
                return None
            unsure = [] if asked else await _may_be_paid(tx, purchase)
            if not unsure:
                return await reads(tx, purchase)
        for checkout in unsure:
            found = await captured(deps, checkout)
            async with work.transaction("record") as tx:
                await record_found(tx, checkout, found, "reconciler")
        asked = True


@dataclass(frozen=True)
class _Known:
    buyer: Buyer
    is_collected: bool


async def _whom_to_tax(tx: Transaction, purchase: Purchase) -> _Known:
    return _Known(Buyer.model_validate(purchase.buyer), await is_collected(tx, purchase.id))


async def advance(tx: Transaction, purchase: Purchase) -> None:
    """With the purchase locked: the steps that are due, and when the next one is."""
    subscription = await subscription_of(tx, purchase.id)
    if subscription is None:
        return
    policy = (await terms(tx, purchase.plan)).policy
    await end_unopened(tx, purchase)
    await plan(tx, subscription, policy)
    while subscription.next_step_at and subscription.next_step_at <= tx.now:
        renewal = await open_renewal(tx, purchase.id)
        if renewal and renewal.is_charged(tx.now):
            await charging.start(tx, purchase, renewal)
        else:
            await _take(tx, purchase, subscription, policy, subscription.next_act(asked=renewal is not None))
        await plan(tx, subscription, policy)


async def _take(tx: Transaction, purchase: Purchase, subscription: Subscription, policy: Policy, act: Act) -> None:
    match act:
        case "ask":
            renewal = await ask_for_next(tx, purchase, subscription)
            if not renewal.amount:
                await record_payment(tx, nothing_to_pay(purchase, renewal.number), "free")
        case "fall_behind":
            await fall_behind(tx, purchase, subscription, policy)
        case "warn":
            await _warn(tx, purchase, subscription, policy)
        case "suspend":
            await _suspend(tx, purchase, subscription, policy)
        case "wake":
            await _wake(tx, purchase, subscription)
        case "end" | "give_up":
            await end(tx, purchase, subscription, "cancelled" if act == "end" else "nonpayment")
            await settle(tx, purchase)


async def _warn(tx: Transaction, purchase: Purchase, subscription: Subscription, policy: Policy) -> None:
    subscription.warn(policy, tx.now)
    now = standing(tx, purchase, subscription, await open_renewal(tx, purchase.id))
    consequence = "suspension" if subscription.state == "past_due" else "deletion"
    tx.publish(SubscriptionWarned(**now, consequence=consequence))


async def take_up(tx: Transaction, purchase: Purchase, subscription: Subscription) -> None:
    """After a pause."""
    subscription.resumes_at = None
    await settle(tx, purchase)
    tx.publish(SubscriptionResumed(**standing(tx, purchase, subscription)))


async def _wake(tx: Transaction, purchase: Purchase, subscription: Subscription) -> None:
    """A pause is over by itself, and that is said before."""
    if subscription.resume_told:
        await take_up(tx, purchase, subscription)
    else:
        subscription.resume_told = True
        tx.publish(SubscriptionResumesSoon(**standing(tx, purchase, subscription)))


async def _suspend(tx: Transaction, purchase: Purchase, subscription: Subscription, policy: Policy) -> None:
    subscription.fall("suspended", policy, tx.now)
    now = standing(tx, purchase, subscription, await open_renewal(tx, purchase.id))
    tx.publish(SubscriptionSuspended(**now))
    await settle(tx, purchase)


async def _may_be_paid(tx: Transaction, purchase: Purchase) -> list[Checkout]:
    """The checkouts of a renewal that nobody paid by the end, as far as we know."""
    subscription = await subscription_of(tx, purchase.id)
    if subscription is None or subscription.ends_at is None or subscription.ends_at > tx.now:
        return []
    due = await owed(tx, purchase)
    if due is None:
        return []
    return [one for one in await checkouts_of(tx, purchase.id) if one.provider_id and one.period == due.period]
