"""A change of plan, asked for by a customer or an operator: quoted first, and charged as quoted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from billing.acts import audit, level_of, locked
from billing.buying import fitting
from billing.checkout import Opening, open_again
from billing.coming import Coming, coming
from billing.deps import BillingDeps
from billing.domain import Purchase
from billing.errors import amount_too_small, cannot_change_plan, quote_expired, quote_outdated, quote_unknown, unknown
from billing.following import apply
from billing.periods import plan, withdraw
from billing.plan_changes import PAYABLE_FOR, QUOTED_FOR, PlanChange
from billing.prorating import unused, worth
from billing.providers.money import smallest
from billing.repository.mandates import open_charge
from billing.repository.offers import Offer, offers, plans_on_offer, terms
from billing.repository.plan_changes import add_change, change_under_way, forget_quotes, is_under_way, plan_change
from billing.repository.subscriptions import periods_of
from billing.subscriptions import Subscription
from billing.taxes import Item, Rate, charge
from billing.trials import net_of
from keyturn.database import Transaction
from keyturn.events import uuid7
from keyturn.internal import Caller


@dataclass(frozen=True)
class Choice:
    """What it has, and what it could have. `why_not`: why it cannot change now. `open`: a change that waits for its
    payment."""

    subscription: Subscription
    currency: str
    plans: Sequence[Any]
    why_not: str | None
    open: PlanChange | None


async def choice(deps: BillingDeps, purchase_id: UUID) -> Choice:
    async with deps.database.transaction("read_plans") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        plans = await plans_on_offer(tx, purchase.product, purchase.cycle, purchase.currency)
        change = await change_under_way(tx, purchase_id)
        waiting = change if change and change.state == "open" else None
        return Choice(subscription, purchase.currency, plans, await _why_not(tx, purchase, subscription), waiting)


async def quote(deps: BillingDeps, purchase_id: UUID, wanted: str) -> tuple[PlanChange, Coming]:
    """What the change would cost or give back now, and what comes next. `wanted`: a plan of the same product, or its
    documented integer."""
    async with deps.database.transaction("quote_plan") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        await _check(tx, purchase, subscription)
        offer = await _offer(tx, purchase, subscription, wanted)
        change = await _quoted(tx, purchase, subscription, offer)
        least = smallest(str(purchase.provider), purchase.currency)
        if 0 < change.charge < least:
            raise amount_too_small(str(purchase.provider), least, purchase.currency)
        await forget_quotes(tx, purchase_id)
        add_change(tx, change)
        return change, coming(purchase, subscription.number, change.price)


async def accept(
    deps: BillingDeps, caller: Caller, purchase_id: UUID, quote_id: UUID, reason: str | None = None
) -> tuple[PlanChange, Opening | None]:
    """With the checkout where something is to be paid. A repetition gives the same."""
    async with deps.database.transaction("change_plan") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        change = await plan_change(tx, purchase_id, quote_id)
        if change is None:
            raise quote_unknown()
        if change.state == "quoted":
            await _check(tx, purchase, subscription)
            _check_quote(subscription, change, tx.now)
            before = level_of(subscription) | {"plan": change.from_plan}
            await withdraw(tx, purchase)
            await _begin(tx, purchase, subscription, change)
            money = {"charge": change.charge, "credit": change.credit}
            audit(tx, caller, "change_plan", subscription, reason=reason, before=before, plan=change.to_plan, **money)
    return change, await open_again(deps, purchase_id) if change.state == "open" else None


async def _begin(tx: Transaction, purchase: Purchase, subscription: Subscription, change: PlanChange) -> None:
    is_under_way(tx, change)
    if change.charge:
        change.move_to("open", tx.now)
        change.expires_at = tx.now + PAYABLE_FOR
    else:
        await apply(tx, purchase, change)
    await plan(tx, subscription, (await terms(tx, purchase.plan)).policy)


async def _check(tx: Transaction, purchase: Purchase, subscription: Subscription) -> None:
    if why := await _why_not(tx, purchase, subscription):
        raise cannot_change_plan(why)


async def _why_not(tx: Transaction, purchase: Purchase, subscription: Subscription) -> str | None:
    if why := _never(purchase, subscription):
        return why
    if await change_under_way(tx, purchase.id):
        return "Another change is under way."
    return "The next period is being charged." if await open_charge(tx, purchase.id) else None


def _never(purchase: Purchase, subscription: Subscription) -> str | None:
    """As it stands."""
    if subscription.state != "active":
        return f"The plan of what is {subscription.state} cannot be changed."
    if not subscription.number:
        return "It has not begun yet."
    if subscription.held_since:
        return "It is suspended."
    if subscription.collection == "provider":
        return "The provider charges it by itself, and would go on with the old price."
    if subscription.cancel_at_period_end:
        return "It is cancelled: keep it first."
    return None if purchase.provider else "It was bought without a payment: order anew."


def _check_quote(subscription: Subscription, change: PlanChange, now: datetime) -> None:
    if now >= change.expires_at:
        raise quote_expired()
    quoted = change.from_plan, change.period, change.until
    if quoted != (subscription.plan, subscription.number, subscription.ends_at):
        raise quote_outdated()


async def _offer(tx: Transaction, purchase: Purchase, subscription: Subscription, wanted: str) -> Offer:
    """Raises `unknown_plan`, `unknown_cycle` or `unknown_currency`."""
    found = await offers(tx, product=purchase.product, plan=wanted)
    if not found:
        raise unknown("plan", wanted)
    offer = fitting(found, cycle=purchase.cycle, currency=purchase.currency, provider=None)
    if offer.plan == subscription.plan:
        raise cannot_change_plan("It has this plan.")
    return offer


async def _quoted(tx: Transaction, purchase: Purchase, subscription: Subscription, offer: Offer) -> PlanChange:
    assert subscription.ends_at
    old = new = 0
    for period, left in unused(await periods_of(tx, purchase.id, 3), subscription.ends_at, tx.now):
        net = net_of(purchase, period.number, offer.amount)
        old += worth(period.price, left, period.lasts, purchase.currency)
        new += worth(net, left, period.lasts, purchase.currency)
    taxed = charge([Item("", abs(new - old))], Rate.model_validate(purchase.tax), purchase.currency)  # up or down
    return PlanChange(
        id=uuid7(),
        purchase_id=purchase.id,
        state_since=tx.now,
        from_plan=subscription.plan,
        to_plan=offer.plan,
        price_id=offer.price_id,
        price=offer.amount,
        unused=old,
        cost=new,
        tax=purchase.tax,
        tax_added=taxed.added,
        currency=purchase.currency,
        period=subscription.number,
        until=subscription.ends_at,
        quoted_at=tx.now,
        expires_at=tx.now + QUOTED_FOR,
    )
