"""Money that goes back, by a refund or a lost dispute, takes along the credit that a cheaper plan gave for the same
period: nobody gets back more than they paid for it. Called with the purchase locked, before an invoice has its number.
"""

from billing.credits import give_credit, note_left, use_credit
from billing.domain import Payment, Purchase
from billing.repository.credits import credit_by_source, left_of_period, lock_balance
from billing.repository.plan_changes import plan_change
from keyturn.database import Transaction


async def take_back(tx: Transaction, purchase: Purchase, payment: Payment, amount: int, which: str) -> None:
    """`amount` went back, by the refund or dispute of this id. Of what is spent nothing can be taken."""
    period = await _period(tx, purchase, payment)
    await tx.session.flush()
    beyond = -await left_of_period(tx, purchase, period)
    if beyond <= 0:
        return
    balance = await lock_balance(tx, purchase.customer_id, purchase.currency)
    if taken := min(beyond, amount, balance):
        await use_credit(tx, purchase, taken, source=_source(purchase, period, which))
        await note_left(tx, purchase)


async def give_again(tx: Transaction, purchase: Purchase, payment: Payment, which: str) -> None:
    """The refund failed, or the appeal was won."""
    source = _source(purchase, await _period(tx, purchase, payment), which)
    if taken := await credit_by_source(tx, source):
        await give_credit(tx, purchase, -taken.amount, source=f"{source}-failed")


async def can_go_back(tx: Transaction, purchase: Purchase, payment: Payment) -> int:
    """In money, as far as the credit that was given for the same period is still there to be taken back."""
    left = await left_of_period(tx, purchase, await _period(tx, purchase, payment))
    return left + await lock_balance(tx, purchase.customer_id, purchase.currency)


async def _period(tx: Transaction, purchase: Purchase, payment: Payment) -> int:
    change = await plan_change(tx, purchase.id, payment.change_id) if payment.change_id else None
    return change.period if change else payment.period or 0


def _source(purchase: Purchase, period: int, which: str) -> str:
    return f"back-{purchase.id}-{period}-{which}"
