"""Finding what a provider's fact is about.

A fact that cannot be placed has three ways on. It names one of our purchases that is not visible yet: it waits. It
names none, and the provider was not asked: `place_fact` asks, and tries again. It is nothing of ours: done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from billing.domain import Payment, Purchase, purchase_id_in
from billing.providers import PaymentProvider
from billing.repository.payments import payment_by_refs
from billing.repository.purchases import checkout_by_refs, lock_purchase
from keyturn.database import Transaction
from keyturn.errors import GiveUp, Wait
from keyturn.events import ProviderFact
from keyturn.log import get_logger
from keyturn.work import Work

PLACE_FACT = "place_fact"
LOOK = "look"  # at one purchase: what was paid for it?
PATIENCE = timedelta(minutes=15)  # for a purchase or a payment that should be there and is not visible yet

logger = get_logger()


@dataclass(frozen=True)
class About:
    """What a fact is about, as far as its provider says."""

    refs: Mapping[str, str]
    reference: str | None


async def payment_of(event: ProviderFact, tx: Transaction, *, asked: bool) -> Payment | None:
    """None: it is being asked for, or it is not ours."""
    if asked:
        return await payment_asked_for(tx, event.provider, About(event.refs, event.reference), event.wire)
    if payment := await payment_by_refs(tx, event.provider, event.refs):
        return payment
    ask_provider(event, tx)
    return None


async def payment_asked_for(tx: Transaction, provider: str, about: About, what: str) -> Payment | None:
    """None: the provider says that it is not ours."""
    if payment := await payment_by_refs(tx, provider, about.refs):
        return payment
    if purchase_id_in(about.reference):
        wait_within_patience(tx, "payment")  # the reconciler looks for it meanwhile
        raise GiveUp(f"{what} about a payment that was never seen")
    logger.info("fact is not ours", what=what, provider=provider)
    return None


async def purchase_of(event: ProviderFact, tx: Transaction) -> Purchase | None:
    """Locked. None: it is not ours."""
    if checkout := await checkout_by_refs(tx, event.provider, event.refs.values()):
        return await lock_purchase(tx, checkout.purchase_id)
    if named := purchase_id_in(event.reference):
        if purchase := await lock_purchase(tx, named):
            return purchase
        wait_within_patience(tx, "purchase")
    return None


def wait_within_patience(tx: Transaction, what: str) -> None:
    """Waits for as long again as it has waited so far, so that a few tries fill the time."""
    waited = tx.now - tx.waiting_since
    if waited < PATIENCE:
        pause = min(max(waited, timedelta(seconds=1)), timedelta(minutes=2))
        until = min(tx.now + pause, tx.waiting_since + PATIENCE)
        raise Wait("not_visible", f"no {what} of it is visible yet", until=until)


def ask_provider(event: ProviderFact, tx: Transaction) -> None:
    payload = {"event": event.to_bytes("gateway").decode()}
    tx.schedule(PLACE_FACT, str(event.id), payload, subject=event.subject)


async def ask(work: Work, provider: PaymentProvider, about: About) -> About:
    """The provider says what these ids belong to."""
    found = await provider.find(about.refs)
    if found:
        key = {"payment": found.payment_key} if found.payment_key else {}
        about = About({**key, **found.refs, **about.refs}, about.reference or found.reference)
    if purchase := purchase_id_in(about.reference):
        async with work.transaction("look") as tx:  # so that a payment whose own webhook was lost is there in time
            tx.schedule(LOOK, str(purchase), subject=str(purchase))
    return about
