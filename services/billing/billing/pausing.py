"""A pause, asked for by a customer or an operator: the install is suspended, and the clock stands still."""

from uuid import UUID

from billing.acts import audit, level_of, locked
from billing.deps import BillingDeps
from billing.entitlements import settle
from billing.errors import cannot_pause, subscription_over
from billing.periods import standing, withdraw
from billing.renewing import advance, take_up
from billing.repository.mandates import open_charge
from billing.repository.offers import terms
from billing.repository.plan_changes import change_under_way
from billing.subscriptions import Subscription
from keyturn.events import SubscriptionPaused
from keyturn.internal import Caller


async def pause(deps: BillingDeps, caller: Caller, purchase_id: UUID, reason: str | None = None) -> Subscription:
    """What is paid is kept for later, and nobody is asked for the next period. A repetition changes nothing."""
    async with deps.database.transaction("pause_subscription") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        if subscription.resumes_at:
            return subscription
        policy = (await terms(tx, purchase.plan)).policy
        if why := why_not(subscription, policy.pause_days):
            raise cannot_pause(why)
        if await change_under_way(tx, purchase_id):
            raise cannot_pause("A change of plan is under way.")
        if await open_charge(tx, purchase_id):
            raise cannot_pause("The next period is being charged.")
        before = level_of(subscription)
        subscription.pause(tx.now, policy.pause_days)
        await withdraw(tx, purchase)
        tx.publish(SubscriptionPaused(**standing(tx, purchase, subscription)))
        await settle(tx, purchase)
        audit(tx, caller, "pause", subscription, reason=reason, before=before)
        return subscription


async def resume(deps: BillingDeps, caller: Caller, purchase_id: UUID, reason: str | None = None) -> Subscription:
    """What is paid lasts longer by the time of the pause."""
    async with deps.database.transaction("resume_subscription") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        if subscription.is_over:
            raise subscription_over()
        if subscription.resumes_at:
            before = level_of(subscription)
            await take_up(tx, purchase, subscription)
            await advance(tx, purchase)
            audit(tx, caller, "resume", subscription, reason=reason, before=before)
        return subscription


def why_not(subscription: Subscription, days: int) -> str | None:
    """None: it can be paused."""
    if not days:
        return "This product cannot be paused."
    if subscription.state != "active":
        return f"What is {subscription.state} cannot be paused."
    if not subscription.number:
        return "It has not begun yet."
    if subscription.collection == "provider":
        return "The provider charges it by itself, and would go on."
    return "It is cancelled: keep it first." if subscription.cancel_at_period_end else None
