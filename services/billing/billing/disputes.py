"""Disputes, in whatever order their facts arrive: an inquiry, an open dispute, a decision."""

from dataclasses import dataclass
from datetime import datetime

from billing.crediting import credit_dispute
from billing.domain import Payment, Purchase
from billing.entitlements import settle
from billing.repository.payments import add, dispute_by_id
from billing.repository.purchases import lock_purchase_of
from billing.reversals import Dispute, DisputeState, next_dispute_state
from billing.taking_back import give_again, take_back
from keyturn.database import Transaction
from keyturn.events import FoundBy, PurchaseDisputed, uuid7


@dataclass(frozen=True)
class DisputeFact:
    dispute_id: str
    state: DisputeState
    amount: int
    currency: str
    told_at: datetime
    reason: str | None = None
    deducted: int = 0


async def book_dispute(tx: Transaction, payment: Payment, fact: DisputeFact, found_by: FoundBy) -> None:
    """PurchaseDisputed only where the state became another one; news of the same state changes nothing."""
    purchase = await lock_purchase_of(tx, payment)
    dispute = await dispute_by_id(tx, payment.provider, fact.dispute_id)
    before = dispute.state if dispute else None
    if dispute is None:
        dispute = _dispute(payment, fact)
        add(tx, dispute)
    elif next_dispute_state(dispute, fact.state, fact.told_at) == fact.state:
        dispute.state, dispute.told_at, dispute.deducted = fact.state, fact.told_at, fact.deducted
        dispute.reason = fact.reason or dispute.reason
    if dispute.state == before:
        return
    dispute.looks = 0
    dispute.plan_look(tx.now)
    if purchase and payment.state == "matched":
        if dispute.state == "lost" and dispute.currency == payment.currency:
            await take_back(tx, purchase, payment, dispute.deducted, f"dispute-{dispute.dispute_id}")
        else:
            await give_again(tx, purchase, payment, f"dispute-{dispute.dispute_id}")
        await settle(tx, purchase)
        await credit_dispute(tx, purchase, payment, dispute)
        tx.publish(_disputed(tx, purchase, dispute, found_by))


def _dispute(payment: Payment, fact: DisputeFact) -> Dispute:
    return Dispute(
        id=uuid7(),
        provider=payment.provider,
        dispute_id=fact.dispute_id,
        payment_id=payment.id,
        state=fact.state,
        amount=fact.amount,
        currency=fact.currency,
        reason=fact.reason,
        deducted=fact.deducted,
        told_at=fact.told_at,
    )


def _disputed(tx: Transaction, purchase: Purchase, dispute: Dispute, found_by: FoundBy) -> PurchaseDisputed:
    return PurchaseDisputed(
        subject=str(purchase.id),
        time=tx.now,
        dispute_id=dispute.dispute_id,
        status=dispute.state,
        amount=dispute.amount,
        currency=dispute.currency,
        found_by=found_by,
    )
