"""The end of a subscription, asked for by its customer or by an operator."""

from typing import Literal
from uuid import UUID

from billing.deps import BillingDeps
from billing.domain import Purchase
from billing.entitlements import settle
from billing.errors import no_subscription, subscription_over
from billing.periods import end, standing, withdraw
from billing.renewing import advance
from billing.repository.purchases import lock_purchase
from billing.repository.subscriptions import subscription_of
from billing.subscriptions import Subscription
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.events import SubscriptionCancelled, SubscriptionKept
from keyturn.internal import Caller

When = Literal["now", "period_end"]
Level = dict[str, object]


async def cancel(
    deps: BillingDeps, caller: Caller, purchase_id: UUID, when: When, reason: str | None = None
) -> Subscription:
    """A repetition changes nothing. What is paid is used up, unless `when` is now; nothing is paid back."""
    async with deps.database.transaction("cancel_subscription") as tx:
        purchase, subscription = await _locked(tx, purchase_id)
        if subscription.is_over or (when == "period_end" and subscription.cancel_at_period_end):
            return subscription
        before = _level(subscription)
        if when == "now" or subscription.state in {"past_due", "suspended"}:  # what was paid is over
            await end(tx, purchase, subscription, "cancelled")
            await settle(tx, purchase)
        else:
            subscription.cancel_at_period_end = True
            await withdraw(tx, purchase)
            tx.publish(SubscriptionCancelled(**standing(tx, purchase, subscription)))
            await advance(tx, purchase)
        _audit(tx, caller, "cancel", subscription, reason=reason, before=before)
        return subscription


async def keep(deps: BillingDeps, caller: Caller, purchase_id: UUID, reason: str | None = None) -> Subscription:
    """Takes the end back, as long as it has not come."""
    async with deps.database.transaction("keep_subscription") as tx:
        purchase, subscription = await _locked(tx, purchase_id)
        if subscription.is_over:
            raise subscription_over()
        if not subscription.cancel_at_period_end:
            return subscription
        before = _level(subscription)
        subscription.cancel_at_period_end = False
        tx.publish(SubscriptionKept(**standing(tx, purchase, subscription)))
        await advance(tx, purchase)
        _audit(tx, caller, "keep", subscription, reason=reason, before=before)
        return subscription


async def _locked(tx: Transaction, purchase_id: UUID) -> tuple[Purchase, Subscription]:
    purchase = await lock_purchase(tx, purchase_id)
    subscription = await subscription_of(tx, purchase_id)
    if purchase is None or subscription is None:
        raise no_subscription()
    return purchase, subscription


def _audit(
    tx: Transaction, caller: Caller, act: str, subscription: Subscription, *, reason: str | None, before: Level
) -> None:
    """What a customer does to their own is told by the event alone."""
    if caller.may("operator"):
        number = str(subscription.purchase_id)
        acted(tx, caller, f"subscription.{act}", number, reason=reason, before=before, after=_level(subscription))


def _level(subscription: Subscription) -> Level:
    return {"status": subscription.state, "cancel_at_period_end": subscription.cancel_at_period_end}
