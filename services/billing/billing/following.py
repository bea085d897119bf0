"""What becomes of an accepted change of plan: paid, followed by the install, refused by it, or paid by nobody.

Everything here is called with the purchase locked.
"""

from uuid import UUID

from billing.credits import give_credit
from billing.domain import Payment, Purchase
from billing.entitlements import give_plan
from billing.invoicing import issue_change
from billing.owing import CLOSE_CHECKOUTS
from billing.periods import plan, standing
from billing.plan_changes import LATE, PlanChange
from billing.prorating import unused
from billing.refunds import ask_for_refund
from billing.repository.offers import terms
from billing.repository.plan_changes import change_under_way, payment_of_change, plan_change
from billing.repository.purchases import checkouts_of, entitlement_of, notice
from billing.repository.subscriptions import periods_of, subscription_of
from billing.trials import net_of
from keyturn.database import Transaction
from keyturn.errors import Problem
from keyturn.events import SubscriptionPlanChanged, SubscriptionPlanRefused


async def paid(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    change = await plan_change(tx, purchase.id, payment.change_id) if payment.change_id else None
    assert change
    await issue_change(tx, purchase, change, payment)
    await apply(tx, purchase, change)


async def apply(tx: Transaction, purchase: Purchase, change: PlanChange) -> None:
    """The install is to follow. Until it has, the subscription is as it was."""
    entitlement = await entitlement_of(tx, purchase.id)
    assert entitlement
    change.limits_before = entitlement.limits
    change.move_to("applying", tx.now)
    give_plan(tx, entitlement, change.to_plan, (await terms(tx, change.to_plan)).limits)


async def followed(tx: Transaction, purchase: Purchase, has: str) -> None:
    """The install has this plan."""
    change = await _applying(tx, purchase)
    subscription = await subscription_of(tx, purchase.id)
    if change is None or subscription is None or change.to_plan != has:
        return
    change.move_to("done", tx.now)
    subscription.plan, subscription.price_id, subscription.price = change.to_plan, change.price_id, change.price
    for period, _ in unused(await periods_of(tx, purchase.id, 3), change.until, change.quoted_at):
        period.price = net_of(purchase, period.number, change.price)
    if change.credit:
        await give_credit(tx, purchase, change.credit, source=f"plan-{change.id}")
    await _go_on(tx, purchase)
    told = {"plan": change.to_plan, "previous_plan": change.from_plan, "price": change.price}
    named = {"plan_name": await _name(tx, change.to_plan), "previous_plan_name": await _name(tx, change.from_plan)}
    money = {"charged": change.charge, "credited": change.credit}
    tx.publish(SubscriptionPlanChanged(**standing(tx, purchase, subscription), **told, **named, **money))


async def refused(tx: Transaction, purchase: Purchase, cause: str) -> None:
    """The target does not make it: the old plan and the money come back."""
    change = await _applying(tx, purchase)
    subscription = await subscription_of(tx, purchase.id)
    entitlement = await entitlement_of(tx, purchase.id)
    if change is None or subscription is None or entitlement is None:
        return
    change.move_to("refused", tx.now)
    give_plan(tx, entitlement, change.from_plan, change.limits_before)
    back = await _give_back(tx, purchase, change)
    await _go_on(tx, purchase)
    told = {"plan": subscription.plan, "refused_plan": change.to_plan, "cause": cause, "refund": back}
    named = {"plan_name": await _name(tx, subscription.plan), "refused_plan_name": await _name(tx, change.to_plan)}
    tx.publish(SubscriptionPlanRefused(**standing(tx, purchase, subscription), **told, **named))


async def lapse(tx: Transaction, purchase: Purchase, which: UUID | None = None) -> None:
    """Nobody paid in time, or nobody wants it any more. `which` None: whichever is to be paid."""
    change = await change_under_way(tx, purchase.id)
    if change and change.state == "open" and which in {None, change.id}:
        change.move_to("void", tx.now)
        tx.schedule(CLOSE_CHECKOUTS, str(purchase.id), subject=str(purchase.id))
        await _go_on(tx, purchase)


async def end_unopened(tx: Transaction, purchase: Purchase) -> None:
    """The provider was never reached: nobody has seen a page to pay on, and no look will find that its time is over."""
    change = await change_under_way(tx, purchase.id)
    if change is None or change.state != "open" or change.expires_at + LATE > tx.now:
        return
    checkouts = [checkout for checkout in await checkouts_of(tx, purchase.id) if checkout.change_id == change.id]
    for checkout in checkouts:
        if checkout.state == "opening":
            checkout.move_to("expired")
    if not any(checkout.state == "open" for checkout in checkouts):
        await lapse(tx, purchase)


async def _applying(tx: Transaction, purchase: Purchase) -> PlanChange | None:
    change = await change_under_way(tx, purchase.id)
    return change if change and change.state == "applying" else None


async def _give_back(tx: Transaction, purchase: Purchase, change: PlanChange) -> int:
    """What did not come through a provider is for an operator to give back."""
    payment = await payment_of_change(tx, change)
    if payment is None:
        return 0
    try:
        await ask_for_refund(tx, purchase, payment, None)
    except Problem as problem:
        await notice(tx, purchase.id, "plan_change_not_refunded", {"payment": str(payment.id), "code": problem.code})
        return 0
    return payment.amount


async def _name(tx: Transaction, plan_slug: str) -> str:
    return (await terms(tx, plan_slug)).plan_name


async def _go_on(tx: Transaction, purchase: Purchase) -> None:
    """Its steps, which waited; the next period is asked for at the price that holds now."""
    subscription = await subscription_of(tx, purchase.id)
    if subscription and not subscription.is_over:
        await plan(tx, subscription, (await terms(tx, purchase.plan)).policy)
