"""From money to what the customer is entitled to."""

from datetime import datetime, timedelta

from billing.domain import Entitlement, Payment, Purchase
from billing.policy import Level, Policy, level, state_of_paid
from billing.repository.offers import Terms, terms
from billing.repository.payments import disputes_of, refunds_of
from billing.repository.purchases import entitlement_of
from billing.reversals import Dispute, standing
from keyturn.database import Transaction
from keyturn.events import Contact, EntitlementChanged


async def settle(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    """Brings a paid purchase and its entitlement to what its payment, refunds and disputes now amount to.

    Called with the purchase locked, after each of them changed; a call that finds nothing new changes nothing.
    """
    disputes = await disputes_of(tx, [payment.id])
    purchase.refunded = standing(await refunds_of(tx, [payment.id]))
    _move(tx, purchase, payment, disputes)
    given = await terms(tx, purchase.plan)
    now_wanted = level(given.policy, paid=payment.amount, refunded=purchase.refunded, disputes=disputes)
    _publish(tx, purchase, given, now_wanted, await entitlement_of(tx, purchase.id))


async def entitle(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    """The same for a payment that is new: nothing was taken back of it, and its purchase has given nothing before."""
    given = await terms(tx, purchase.plan)
    _publish(tx, purchase, given, level(given.policy, paid=payment.amount, refunded=0, disputes=[]), None)


def _move(tx: Transaction, purchase: Purchase, payment: Payment, disputes: list[Dispute]) -> None:
    target = state_of_paid(paid=payment.amount, refunded=purchase.refunded, disputes=disputes)
    if purchase.state == "refunded" and target == "disputed":
        purchase.move_to("paid", tx.now)  # the refund failed while the dispute was open
    purchase.move_to(target, tx.now)


def _publish(tx: Transaction, purchase: Purchase, given: Terms, wanted: Level, entitlement: Entitlement | None) -> None:
    if entitlement and (entitlement.wanted, tuple(entitlement.reasons)) == (wanted.wanted, wanted.reasons):
        return
    if entitlement is None:
        entitlement = _first(tx, purchase, given, wanted)
        tx.session.add(entitlement)
    else:
        was_ended = entitlement.wanted == "ended"
        entitlement.version += 1
        entitlement.wanted, entitlement.reasons = wanted.wanted, list(wanted.reasons)
        if not (was_ended and wanted.wanted == "ended"):
            entitlement.delete_after = _delete_after(wanted, given.policy, tx.now)
        entitlement.changed_at = tx.now
    tx.publish(_event(tx, entitlement))


def _first(tx: Transaction, purchase: Purchase, given: Terms, wanted: Level) -> Entitlement:
    return Entitlement(
        purchase_id=purchase.id,
        version=1,
        wanted=wanted.wanted,
        reasons=list(wanted.reasons),
        product=purchase.product,
        plan=purchase.plan,
        blueprint=given.blueprint,
        parameters=purchase.parameters,
        limits=given.limits,
        contact=purchase.contact,
        delete_after=_delete_after(wanted, given.policy, tx.now),
        changed_at=tx.now,
    )


def _delete_after(wanted: Level, policy: Policy, now: datetime) -> datetime | None:
    return now + timedelta(days=policy.retention_days) if wanted.wanted == "ended" else None


def _event(tx: Transaction, entitlement: Entitlement) -> EntitlementChanged:
    return EntitlementChanged(
        subject=str(entitlement.purchase_id),
        time=tx.now,
        version=entitlement.version,
        wanted=entitlement.wanted,
        reasons=entitlement.reasons,
        product=entitlement.product,
        plan=entitlement.plan,
        blueprint=entitlement.blueprint,
        parameters=entitlement.parameters,
        limits=entitlement.limits,
        contact=Contact(**entitlement.contact),
        delete_after=entitlement.delete_after,
    )
