"""What everything has in common that a customer or an operator does to a subscription."""

from uuid import UUID

from billing.domain import Purchase
from billing.errors import no_subscription
from billing.repository.purchases import lock_purchase
from billing.repository.subscriptions import subscription_of
from billing.subscriptions import Subscription
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.internal import Caller

Level = dict[str, object]


async def locked(tx: Transaction, purchase_id: UUID) -> tuple[Purchase, Subscription]:
    """Raises the `subscription_unknown` problem."""
    purchase = await lock_purchase(tx, purchase_id)
    subscription = await subscription_of(tx, purchase_id)
    if purchase is None or subscription is None:
        raise no_subscription()
    return purchase, subscription


def audit(
    tx: Transaction,
    caller: Caller,
    act: str,
    subscription: Subscription,
    *,
    reason: str | None,
    before: Level,
    **after: object,
) -> None:
    """What a customer does to their own is told by the event alone. `after`: beside the level."""
    if caller.may("operator"):
        number = str(subscription.purchase_id)
        acted(
            tx,
            caller,
            f"subscription.{act}",
            number,
            reason=reason,
            before=before,
            after=level_of(subscription) | after,
        )


def level_of(subscription: Subscription) -> Level:
    level: Level = {"status": subscription.state, "cancel_at_period_end": subscription.cancel_at_period_end}
    return level | ({"resumes_at": subscription.resumes_at.isoformat()} if subscription.resumes_at else {})
