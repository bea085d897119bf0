"""Since when a provider collects by itself, and that it has to be told something. Called with the purchase locked; the
provider is told by work, after the commit."""

from uuid import UUID

from billing.collecting import BILLED, Collected
from billing.domain import Payment, Purchase
from billing.repository.collecting import add, collected_of
from billing.repository.subscriptions import subscription_of
from billing.subscriptions import Subscription
from keyturn.database import Transaction

MIRROR = "mirror"  # work: a subscription of ours and the provider's are made to agree
END_COLLECTED = "end_collected"  # work: one that is nobody's must charge nobody


async def take_up(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    """From this payment on it is the provider that collects, and nobody else."""
    id_, subscription = payment.refs.get("subscription"), await subscription_of(tx, purchase.id)
    if id_ is None or subscription is None:
        return
    known = await collected_of(tx, purchase.id)
    if known is None or known.provider_id != id_:
        if known is None:
            known = Collected(purchase_id=purchase.id, provider=payment.provider, provider_id=id_)
            add(tx, known)
        else:  # its predecessor has ended, or is about to
            known.provider_id, known.status, known.cancels, known.told, known.looks = id_, "active", False, True, 0
        known.period_until, known.next_look_at = payment.pays_until, tx.now + BILLED
        known.told = not subscription.number  # a renewal by link: its period begins where the last one ends
        subscription.collection = "provider"
    ask_to_mirror(tx, purchase.id)


async def tell(tx: Transaction, subscription: Subscription) -> None:
    """What we want of it has changed."""
    if subscription.collection == "provider" and (known := await collected_of(tx, subscription.purchase_id)):
        known.told = False
        ask_to_mirror(tx, subscription.purchase_id)


async def revive(tx: Transaction, subscription: Subscription) -> None:
    """It had ended, and goes on after all: with us, where it has ended at the provider."""
    known = await collected_of(tx, subscription.purchase_id)
    if known and known.status == "ended":
        subscription.collection = "keyturn"
    await tell(tx, subscription)


async def is_collected(tx: Transaction, purchase_id: UUID) -> bool:
    """Whether the provider charges what comes next, so that nobody else may."""
    subscription = await subscription_of(tx, purchase_id)
    return subscription is not None and not subscription.is_over and subscription.collection == "provider"


async def end_stray(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    """Money that pays nothing came through a subscription: another one than ours, or one that is over."""
    id_, known = payment.refs.get("subscription"), await collected_of(tx, purchase.id)
    subscription = await subscription_of(tx, purchase.id)
    ours = known and known.provider_id == id_ and subscription and not subscription.is_over
    if id_ and not ours:
        tx.schedule(END_COLLECTED, f"{payment.provider}:{id_}", subject=str(purchase.id))


def ask_to_mirror(tx: Transaction, purchase_id: UUID) -> None:
    tx.schedule(MIRROR, str(purchase_id), subject=str(purchase_id))
