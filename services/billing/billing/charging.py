"""When what is owed is charged to the saved mandate, and what a new one changes. With the purchase locked; the provider
is asked by work, see `charges.py`."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from billing import declines
from billing.calendar import recurs
from billing.domain import MoneyFact, Payment, Purchase, purchase_id_in
from billing.mandates import Charge, Mandate
from billing.policy import Policy
from billing.providers import SavedMandate
from billing.repository.mandates import add, charge_by_id, failed_with, mandate_of, take_mandate
from billing.repository.subscriptions import open_renewal, subscription_of
from billing.subscriptions import Renewal, Subscription
from keyturn.database import Transaction
from keyturn.events import uuid7

CHARGE = "charge"  # work: asks the provider for the money, and what came of it
SAVE_MANDATE = "save_mandate"  # work: asks the provider what was saved
FORGET_MANDATE = "forget_mandate"  # work: has the provider let go of what was saved
ATTEMPT = "attempt"  # the kind of ref by which money names the charge that it is of


async def plan_first(tx: Transaction, subscription: Subscription, renewal: Renewal) -> None:
    """A period that costs something is charged when it begins, where that can be."""
    mandate = await mandate_of(tx, renewal.purchase_id)
    usable = mandate is not None and mandate.refused is None
    renewal.charge_at = subscription.ends_at if usable and renewal.amount else None


async def start(tx: Transaction, purchase: Purchase, renewal: Renewal) -> None:
    """The intent, and the work."""
    renewal.charge_at = None
    mandate = await mandate_of(tx, purchase.id)
    if mandate is None or mandate.refused:
        return
    renewal.attempts += 1
    charge = Charge(
        id=uuid7(),
        purchase_id=purchase.id,
        period=renewal.number,
        attempt=renewal.attempts,
        amount=renewal.amount,
        currency=renewal.currency,
        provider=mandate.provider,
        customer_id=mandate.customer_id,
        method_id=mandate.method_id,
        asked_at=tx.now,
    )
    add(tx, charge)
    tx.schedule(CHARGE, str(purchase.id), subject=str(purchase.id))


async def declined(tx: Transaction, charge: Charge, policy: Policy) -> declines.Verdict:
    """Says when the next attempt is, or that this mandate is of no use any more."""
    verdict = declines.verdict(charge.code)
    mandate = await mandate_of(tx, charge.purchase_id)
    if verdict == "hopeless" and mandate and mandate.method_id == charge.method_id:
        mandate.refused = charge.code
    renewal = await open_renewal(tx, charge.purchase_id)
    failed = await failed_with(tx, charge)
    if renewal and renewal.charge_at is None and verdict == "again" and failed <= len(policy.retry_days):
        renewal.charge_at = tx.now + timedelta(days=policy.retry_days[failed - 1])
    return verdict


async def again(tx: Transaction, dropped: Charge) -> None:
    """What it would have paid may be asked for anew, with another amount."""
    renewal = await open_renewal(tx, dropped.purchase_id)
    if renewal and renewal.number == dropped.period:
        renewal.charge_at = renewal.charge_at or tx.now


async def save(tx: Transaction, purchase: Purchase, found: SavedMandate) -> bool:
    """The newest one replaces the one before. What is open is charged to it: at once where the period is over. False:
    it was known."""
    subscription = await subscription_of(tx, purchase.id)
    if subscription is None or subscription.is_over or subscription.collection == "provider":
        return False
    mandate = await mandate_of(tx, purchase.id)
    if mandate and mandate.method_id == found.method_id:
        return False
    if mandate:
        mandate.customer_id, mandate.method_id = found.customer_id, found.method_id
        mandate.saved_at, mandate.refused = tx.now, None
    else:
        add(tx, _mandate(tx, purchase, found))
    renewal = await open_renewal(tx, purchase.id)
    if renewal and renewal.amount and subscription.ends_at:
        renewal.charge_at = max(subscription.ends_at, tx.now)
    return True


async def forget_saved(tx: Transaction, purchase_id: UUID) -> None:
    """Nothing is charged to it any more, here or by anybody else."""
    if mandate := await take_mandate(tx, purchase_id):
        found = SavedMandate(mandate.customer_id, mandate.method_id)
        forget(tx, purchase_id, mandate.provider, found)


async def forget_late(tx: Transaction, purchase: Purchase, found: SavedMandate) -> None:
    """What was saved is not needed any more, where its subscription was over before we heard of it."""
    subscription = await subscription_of(tx, purchase.id)
    if subscription and subscription.is_over and subscription.collection == "keyturn":
        forget(tx, purchase.id, str(purchase.provider), found)


def forget(tx: Transaction, purchase_id: UUID, provider: str, found: SavedMandate) -> None:
    payload = {"provider": provider, "customer_id": found.customer_id, "method_id": found.method_id}
    tx.schedule(FORGET_MANDATE, f"{provider}:{found.method_id}", payload, subject=str(purchase_id))


def _mandate(tx: Transaction, purchase: Purchase, found: SavedMandate) -> Mandate:
    return Mandate(
        purchase_id=purchase.id,
        provider=str(purchase.provider),
        customer_id=found.customer_id,
        method_id=found.method_id,
        saved_at=tx.now,
    )


def look_for_mandate(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    """Whoever paid on the provider's page may have saved what they paid with."""
    refs = dict(payment.refs)
    if not recurs(purchase.cycle) or refs.keys() & {ATTEMPT, "subscription"} or "customer" not in refs:
        return
    payload: dict[str, Any] = {"purchase_id": str(purchase.id), "provider": payment.provider, "refs": refs}
    tx.schedule(SAVE_MANDATE, str(payment.id), payload, subject=str(purchase.id))


async def charge_of(tx: Transaction, purchase_id: UUID, fact: MoneyFact) -> Charge | None:
    """The one that this money is of."""
    named = purchase_id_in(fact.refs.get(ATTEMPT))
    charge = await charge_by_id(tx, named) if named else None
    return charge if charge and charge.purchase_id == purchase_id else None
