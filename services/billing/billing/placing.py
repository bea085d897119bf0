"""Finding what a provider's fact is about.

A fact that cannot be placed has three ways on. It names one of our purchases that is not visible yet: it waits. It
names none, and the provider was not asked: `place_fact` asks, and tries again. It is nothing of ours: done.
"""

from datetime import timedelta

from billing.domain import Payment, Purchase, purchase_id_in
from billing.repository.payments import payment_by_refs
from billing.repository.purchases import checkout_by_refs, lock_purchase
from keyturn.database import Transaction
from keyturn.errors import GiveUp, Wait
from keyturn.events import ProviderFact
from keyturn.log import get_logger

PLACE_FACT = "place_fact"
PATIENCE = timedelta(minutes=15)  # for a purchase or a payment that should be there and is not visible yet

logger = get_logger()


async def payment_of(event: ProviderFact, tx: Transaction, *, asked: bool) -> Payment | None:
    """None: it is being asked for, or it is not ours."""
    if payment := await payment_by_refs(tx, event.provider, event.refs):
        return payment
    if not asked:
        ask_provider(event, tx)
    elif purchase_id_in(event.reference):
        wait_within_patience(tx, "payment")  # the reconciler looks for it meanwhile
        raise GiveUp(f"{event.wire} about a payment that was never seen")
    else:
        logger.info("fact is not ours", wire=event.wire, subject=event.subject)
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
