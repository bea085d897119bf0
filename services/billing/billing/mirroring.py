"""A subscription of ours, and the one at the provider that collects it, made to agree.

Facts about the latter come late, twice and in any order, or not at all. So none is believed: each only has the provider
asked, and how it stands now is what counts. What we want of it is told in the same work, so that of what we want and
what it says the one never overwrites the other.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from billing.collecting import A_MOMENT, Collected, Wanted
from billing.deps import BillingDeps
from billing.domain import MoneyFact, Purchase
from billing.entitlements import settle
from billing.payments import record_payment
from billing.periods import end, fall_behind, plan, standing
from billing.policy import Policy
from billing.providers import CapturedPayment, FoundSubscription, PaymentProvider
from billing.repository.collecting import collected_of, purchase_collected_by, unknown_keys
from billing.repository.offers import terms
from billing.repository.purchases import lock_purchase
from billing.repository.subscriptions import subscription_of
from billing.subscriptions import Subscription
from billing.telling import ask_to_mirror
from keyturn.database import Transaction
from keyturn.events import (
    ProviderSubscriptionChanged,
    ProviderSubscriptionEnded,
    SubscriptionCancelled,
    SubscriptionKept,
)
from keyturn.work import Work


@dataclass(frozen=True)
class Answer:
    """`wanted`: what the provider was told before. `kept`: it could do that."""

    provider_id: str
    found: FoundSubscription
    wanted: Wanted | None
    kept: bool


async def on_provider_subscription(
    event: ProviderSubscriptionChanged | ProviderSubscriptionEnded, tx: Transaction
) -> None:
    """One that is not known here is not ours, or its first payment is still to be told: that has it looked at."""
    if purchase_id := await purchase_collected_by(tx, event.provider, event.subscription_id):
        ask_to_mirror(tx, purchase_id)


async def mirror(work: Work, deps: BillingDeps) -> None:
    await bring_in_line(work, deps, UUID(work.key), finish=True)


async def end_collected(work: Work, deps: BillingDeps) -> None:
    name, _, id_ = work.key.partition(":")
    await deps.provider(name).end_subscription(id_, at_period_end=False)


async def bring_in_line(
    work: Work, deps: BillingDeps, purchase_id: UUID, *, found: FoundSubscription | None = None, finish: bool = False
) -> None:
    """Also before anybody is suspended, or gives up: a payment may be there that nobody told of. `found`: as the
    provider was just asked. What is over here is ended there, however often we said so."""
    async with work.transaction("read") as tx:
        known, subscription = await collected_of(tx, purchase_id), await subscription_of(tx, purchase_id)
        tells = known and subscription and (subscription.is_over or not known.told)
        wanted = _wanted(subscription) if subscription and tells else None
    if known is None:
        return
    provider, kept = deps.provider(known.provider), True
    found = found or await provider.subscription_now(known.provider_id)
    if wanted and found.status != "ended":
        kept = await _told(provider, known, wanted, found, deps.clock.now())
        found = await provider.subscription_now(known.provider_id)
    async with work.transaction("record", finish=finish) as tx:
        if purchase := await lock_purchase(tx, purchase_id):
            await _record(tx, purchase, Answer(known.provider_id, found, wanted, kept))


async def _told(
    provider: PaymentProvider, known: Collected, wanted: Wanted, found: FoundSubscription, now: datetime
) -> bool:
    """What differs. False: it ends with its period there, and the provider cannot take that back. One that moves no
    day of payment charges as early as our periods begin late."""
    id_ = known.provider_id
    if wanted.ends:
        await provider.end_subscription(id_, at_period_end=False)
        return True
    kept, moved = True, wanted.until and wanted.until > now and not _same(wanted.until, found.period_until)
    cancels = known.cancels if found.cancel_at_period_end is None else found.cancel_at_period_end
    if wanted.at_period_end and not cancels:
        await provider.end_subscription(id_, at_period_end=True)
    elif cancels and not wanted.at_period_end:
        kept = await provider.keep_subscription(id_)
    if moved and wanted.until and found.status == "active":
        await provider.charge_next_at(id_, wanted.until)
    return kept


async def _record(tx: Transaction, purchase: Purchase, answer: Answer) -> None:
    known, subscription = await collected_of(tx, purchase.id), await subscription_of(tx, purchase.id)
    if known is None or subscription is None or known.provider_id != answer.provider_id:
        return
    found, wanted = answer.found, answer.wanted
    new = await unknown_keys(tx, known.provider, (payment.payment_key for payment in found.payments))
    for payment in found.payments if subscription.number else ():  # before that it is the first one that counts
        if payment.payment_key in new:
            await record_payment(tx, money_of(known.provider, payment), "reconciler")
    known.note(found, tx.now)
    if wanted and wanted == _wanted(subscription):
        known.told, known.cancels = True, known.cancels or wanted.at_period_end
    if subscription.collection == "provider":
        await _follow(tx, purchase, subscription, answer, told=known.told)


async def _follow(
    tx: Transaction, purchase: Purchase, subscription: Subscription, answer: Answer, *, told: bool
) -> None:
    found, policy = answer.found, (await terms(tx, purchase.plan)).policy
    if found.status == "ended":
        await _ended(tx, purchase, subscription, found)
    elif not answer.kept:  # the next period is asked for by us
        subscription.collection = "keyturn"
    elif not subscription.is_over:
        if told and found.cancel_at_period_end is not None:
            _follow_cancellation(tx, purchase, subscription, cancels=found.cancel_at_period_end)
        await _follow_status(tx, purchase, subscription, found, policy)
    await plan(tx, subscription, policy)


async def _ended(tx: Transaction, purchase: Purchase, subscription: Subscription, found: FoundSubscription) -> None:
    """One that ran for as often as it was made for goes on with us. What is paid beyond its end there is used up."""
    if subscription.is_over:
        return
    used_up = found.period_until is None or found.period_until > tx.now or not _lasts(subscription, tx.now)
    if found.completed:
        subscription.collection = "keyturn"
    elif used_up:
        await end(tx, purchase, subscription, "cancelled")
        await settle(tx, purchase)
    else:
        subscription.collection, subscription.cancel_at_period_end = "keyturn", True


def _follow_cancellation(tx: Transaction, purchase: Purchase, subscription: Subscription, *, cancels: bool) -> None:
    """By its customer, on the provider's own pages."""
    if cancels == subscription.cancel_at_period_end:
        return
    subscription.cancel_at_period_end = cancels
    kind = SubscriptionCancelled if cancels else SubscriptionKept
    tx.publish(kind(**standing(tx, purchase, subscription)))


async def _follow_status(
    tx: Transaction, purchase: Purchase, subscription: Subscription, found: FoundSubscription, policy: Policy
) -> None:
    """A period that is paid lasts, whatever becomes of the next one. Where the provider is content without money, an
    invoice was waived there."""
    if found.status == "active":
        if subscription.state in {"past_due", "suspended"}:
            subscription.move_to("active", tx.now)
            await settle(tx, purchase)
            tx.publish(SubscriptionKept(**standing(tx, purchase, subscription)))
    elif subscription.state == "active" and subscription.number and not _lasts(subscription, tx.now):
        await fall_behind(tx, purchase, subscription, policy)


def _wanted(subscription: Subscription) -> Wanted:
    return Wanted(subscription.is_over, subscription.cancel_at_period_end, subscription.ends_at)


def _lasts(subscription: Subscription, now: datetime) -> bool:
    return subscription.ends_at is not None and subscription.ends_at > now


def _same(wanted: datetime, found: datetime | None) -> bool:
    return found is not None and abs(wanted - found) < A_MOMENT


def money_of(provider: str, payment: CapturedPayment) -> MoneyFact:
    return MoneyFact(
        provider="razorpay" if provider == "razorpay" else "stripe",
        payment_key=payment.payment_key,
        amount=payment.amount,
        currency=payment.currency,
        livemode=payment.livemode,
        reference=payment.reference,
        refs=payment.refs,
        pays_from=payment.period_from,
        pays_until=payment.period_until,
    )
