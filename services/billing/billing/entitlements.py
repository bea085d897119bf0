"""From money to what the customer is entitled to."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from billing.domain import Entitlement, Payment, Purchase
from billing.periods import follow, keep_time
from billing.policy import NONPAYMENT, Level, Policy, level, state_of_paid
from billing.repository.invoices import invoice_paid_by
from billing.repository.offers import Terms, terms
from billing.repository.payments import disputes_of, matched_payments, refunds_of, returned
from billing.repository.purchases import add_entitlement, entitlement_of
from billing.reversals import Dispute, gone_back, standing
from billing.subscriptions import with_subscription
from keyturn.database import Transaction
from keyturn.events import Contact, EntitlementChanged

FORGOTTEN = Level("ended", ("erased",))


async def settle(tx: Transaction, purchase: Purchase) -> None:
    """Brings a paid purchase and its entitlement to what its payments, refunds, disputes and subscription now amount
    to: a dispute about any of its payments counts, a refund of the last one for a period.

    Called with the purchase locked, after each of them changed; a call that finds nothing new changes nothing.
    """
    payments = await matched_payments(tx, purchase.id)
    ids, last = [payment.id for payment in payments], [payment for payment in payments if payment.period][-1]
    disputes, refunds = await disputes_of(tx, ids), await refunds_of(tx, ids)
    purchase.refunded = standing(refunds)
    refunded = standing(refund for refund in refunds if refund.payment_id == last.id)
    disputed_since = purchase.state_since if purchase.is_disputed else None
    paid, back = await _with_credit(tx, purchase, last, refunded)
    _move(tx, purchase, last, disputes, paid=paid, refunded=back)
    given = await terms(tx, purchase.plan)
    of_money = level(given.policy, paid=paid, refunded=back, disputes=disputes)
    subscription = await follow(tx, purchase, of_money)
    now_wanted = FORGOTTEN if purchase.erased_at else with_subscription(of_money, subscription)
    if subscription:
        decided = None if purchase.is_disputed else disputed_since
        served = now_wanted.wanted == "on"
        await keep_time(tx, subscription, given.policy, served=served, disputed_since=decided)
    _publish(tx, purchase, given, now_wanted, await entitlement_of(tx, purchase.id))


async def end_early(tx: Transaction, purchase: Purchase, because: str) -> None:
    """What nobody has paid for, and nobody needs any more. Said again, it changes nothing."""
    entitlement = await entitlement_of(tx, purchase.id)
    if entitlement:
        _publish(tx, purchase, await terms(tx, purchase.plan), Level("ended", (because,)), entitlement)


async def say_again(tx: Transaction, purchase_id: UUID) -> bool:
    """The level as it is, for whoever missed it: to anybody else it is nothing new."""
    entitlement = await entitlement_of(tx, purchase_id)
    if entitlement:
        tx.publish(_event(tx, entitlement))
    return entitlement is not None


async def entitle(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    """The same for a first payment that is new: nothing was taken back of it, and its purchase has given nothing
    before."""
    given = await terms(tx, purchase.plan)
    _publish(tx, purchase, given, level(given.policy, paid=payment.amount, refunded=0, disputes=[]), None)


async def push(tx: Transaction, purchase_id: UUID) -> None:
    """The same level as something new, for whoever is stuck with it."""
    if entitlement := await entitlement_of(tx, purchase_id):
        give_plan(tx, entitlement, entitlement.plan, entitlement.limits)


def give_plan(tx: Transaction, entitlement: Entitlement, plan: str, limits: dict[str, Any]) -> None:
    """Of the same product: the blueprint stays, also where the product has another one by now."""
    entitlement.version += 1
    entitlement.plan, entitlement.limits, entitlement.changed_at = plan, limits, tx.now
    tx.publish(_event(tx, entitlement))


async def _with_credit(tx: Transaction, purchase: Purchase, last: Payment, refunded: int) -> tuple[int, int]:
    back = await returned(tx, last.id)
    invoice = await invoice_paid_by(tx, purchase.id, last.id) if back else None
    credited = invoice.credited if invoice else 0
    return gone_back(paid=last.amount, refunded=refunded, credited=credited, returned=back)


def _move(
    tx: Transaction, purchase: Purchase, last: Payment, disputes: list[Dispute], *, paid: int, refunded: int
) -> None:
    now = [dispute for dispute in disputes if dispute.payment_id == last.id or dispute.state == "open"]
    target = state_of_paid(paid=paid, refunded=refunded, disputes=now)
    if purchase.state == "refunded" and target == "disputed":
        purchase.move_to("paid", tx.now)  # the refund failed while the dispute was open
    purchase.move_to(target, tx.now)


def _publish(tx: Transaction, purchase: Purchase, given: Terms, wanted: Level, entitlement: Entitlement | None) -> None:
    if entitlement and (entitlement.wanted, tuple(entitlement.reasons)) == (wanted.wanted, wanted.reasons):
        return
    if entitlement is None:
        entitlement = _first(tx, purchase, given, wanted)
        add_entitlement(tx, entitlement)
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
    """Of who did not pay, the data was kept while they were suspended."""
    if wanted.wanted != "ended":
        return None
    return now if NONPAYMENT in wanted.reasons else now + timedelta(days=policy.retention_days)


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
