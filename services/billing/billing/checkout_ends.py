"""A checkout that can no longer be paid, and what that means for its purchase."""

from typing import Literal

from billing.domain import Checkout, Purchase
from billing.errors import ImpossibleTransition
from billing.following import lapse
from billing.redeeming import give_back
from billing.repository.purchases import checkouts_of, notice
from keyturn.database import Transaction
from keyturn.events import PurchaseExpired, PurchaseFailed

Ending = Literal["failed", "expired"]


async def end_checkout(
    tx: Transaction, purchase: Purchase, checkout: Checkout | None, ending: Ending, reason: str | None = None
) -> None:
    """With the purchase locked. A purchase ends with its last checkout; one that is paid stays paid, whatever becomes
    of a renewal's checkout."""
    if checkout:
        try:
            checkout.move_to(ending)
        except ImpossibleTransition as refused:
            await _refuse(tx, purchase, refused)
            return
        checkout.next_look_at = None
        if checkout.change_id:
            await lapse(tx, purchase, checkout.change_id)
        if checkout.change_id or checkout.period > 1:
            return
    if not any(other.state in {"opening", "open"} for other in await checkouts_of(tx, purchase.id)):
        await end_purchase(tx, purchase, ending, reason)


async def end_purchase(tx: Transaction, purchase: Purchase, ending: Ending, reason: str | None = None) -> None:
    try:
        changed = purchase.move_to(ending, tx.now)
    except ImpossibleTransition as refused:
        await _refuse(tx, purchase, refused)
        return
    await give_back(tx, purchase)  # also for one that had ended before, and was opened again
    if not changed:
        return
    if ending == "failed":
        tx.publish(PurchaseFailed(subject=str(purchase.id), time=tx.now, code=reason))
    else:
        tx.publish(PurchaseExpired(subject=str(purchase.id), time=tx.now))


async def _refuse(tx: Transaction, purchase: Purchase, refused: ImpossibleTransition) -> None:
    detail = {"thing": refused.thing, "was": refused.current, "refused": refused.wanted}
    await notice(tx, purchase.id, "transition_refused", detail)
