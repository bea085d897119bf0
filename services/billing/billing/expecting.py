"""Money that a provider collected by itself: which period it is for. Called with the purchase locked."""

from billing.collecting import skips
from billing.domain import MoneyFact, Purchase
from billing.periods import ask_for_next
from billing.repository.collecting import collected_of, purchase_collected_by
from billing.repository.payments import payment_by_key
from billing.repository.subscriptions import open_renewal, subscription_of
from billing.subscriptions import Subscription
from billing.telling import ask_to_mirror
from keyturn.database import Transaction


async def is_renewal(tx: Transaction, purchase: Purchase, fact: MoneyFact) -> bool:
    """Whether the provider charged the next period. It is then billed as any other, and nobody is asked for it."""
    if "subscription" not in fact.refs:
        return False
    known, subscription = await collected_of(tx, purchase.id), await subscription_of(tx, purchase.id)
    if known is None or known.provider_id != fact.refs["subscription"] or not _is_collected(subscription):
        return False
    assert subscription
    if await open_renewal(tx, purchase.id) is None:
        await ask_for_next(tx, purchase, subscription, quietly=True)
    return True


async def out_of_turn(tx: Transaction, fact: MoneyFact) -> bool:
    """Money for a later period than the next one, or before the first one began: the provider is asked for all of it,
    which is then recorded in order. The purchase need not be locked."""
    id_ = fact.refs.get("subscription")
    purchase_id = await purchase_collected_by(tx, fact.provider, id_) if id_ else None
    subscription = await subscription_of(tx, purchase_id) if purchase_id else None
    if purchase_id is None or subscription is None or subscription.is_over or subscription.collection != "provider":
        return False
    if subscription.ends_at and not skips(fact.pays_from, subscription.ends_at):
        return False
    if await payment_by_key(tx, fact.provider, fact.payment_key):
        return False
    ask_to_mirror(tx, purchase_id)
    return True


def _is_collected(subscription: Subscription | None) -> bool:
    if subscription is None or subscription.is_over:
        return False
    return subscription.collection == "provider" and subscription.number > 0
