"""The end of a subscription, asked for by its customer or by an operator."""

from typing import Literal
from uuid import UUID

from billing.acts import audit, level_of, locked
from billing.deps import BillingDeps
from billing.entitlements import settle
from billing.errors import subscription_over
from billing.following import lapse, refused
from billing.periods import end, standing, withdraw
from billing.renewing import advance
from billing.subscriptions import Subscription
from billing.telling import tell
from keyturn.events import SubscriptionCancelled, SubscriptionKept
from keyturn.internal import Caller

When = Literal["now", "period_end"]


async def cancel(
    deps: BillingDeps, caller: Caller, purchase_id: UUID, when: When, reason: str | None = None
) -> Subscription:
    """A repetition changes nothing. What is paid is used up, unless `when` is now; nothing is paid back."""
    async with deps.database.transaction("cancel_subscription") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        if subscription.is_over or (when == "period_end" and subscription.cancel_at_period_end):
            return subscription
        before = level_of(subscription)
        await lapse(tx, purchase)
        if when == "now" or subscription.state in {"past_due", "suspended"}:  # what was paid is over
            await refused(tx, purchase, "cancelled")  # a change that the install has not followed yet
            await end(tx, purchase, subscription, "cancelled")
            await settle(tx, purchase)
        else:
            subscription.cancel_at_period_end = True
            await tell(tx, subscription)
            await withdraw(tx, purchase)
            tx.publish(SubscriptionCancelled(**standing(tx, purchase, subscription)))
            await advance(tx, purchase)
        audit(tx, caller, "cancel", subscription, reason=reason, before=before)
        return subscription


async def keep(deps: BillingDeps, caller: Caller, purchase_id: UUID, reason: str | None = None) -> Subscription:
    """Takes the end back, as long as it has not come."""
    async with deps.database.transaction("keep_subscription") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        if subscription.is_over:
            raise subscription_over()
        if not subscription.cancel_at_period_end:
            return subscription
        before = level_of(subscription)
        subscription.cancel_at_period_end = False
        await tell(tx, subscription)
        tx.publish(SubscriptionKept(**standing(tx, purchase, subscription)))
        await advance(tx, purchase)
        audit(tx, caller, "keep", subscription, reason=reason, before=before)
        return subscription
