"""What customers have with us: given by operators, or for what they paid and cannot use; taken off their next renewal.
What is left when nothing of theirs runs any more is paid out or forfeited by an operator, and never by itself.

One ledger for each customer and currency. Nothing in it is ever changed, every source is booked once, and the sum is
never below nothing.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from billing.deps import BillingDeps
from billing.domain import Purchase
from billing.errors import credit_too_small, customer_unknown, reference_used
from billing.providers.money import smallest, step_of
from billing.repository.credits import add_credit, balances_of, credit_by_source, lock_balance, mark_left
from billing.repository.customers import find_customer, purchases_of_customer
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.events import CreditLeft
from keyturn.internal import Caller


async def give_credit(
    tx: Transaction, purchase: Purchase, amount: int, *, source: str, reason: str | None = None
) -> bool:
    """To the purchase's customer, in its currency, with the purchase locked. `source` is what it is for: the same one
    gives nothing again, and False."""
    of = purchase.customer_id, purchase.currency
    given = await add_credit(tx, *of, amount, source=source, reason=reason, purchase_id=purchase.id)
    await note_left(tx, purchase)
    return given


async def note_left(tx: Transaction, purchase: Purchase) -> None:
    """Whether the customer still has something that could use it. Called wherever that may have become otherwise."""
    for currency, balance in (await mark_left(tx, purchase.customer_id)).items():
        told = {"customer_id": str(purchase.customer_id), "amount": balance, "currency": currency}
        tx.publish(CreditLeft(subject=str(purchase.id), time=tx.now, **told))


async def use_credit(tx: Transaction, purchase: Purchase, amount: int, *, source: str) -> None:
    """No more than `usable` said in this transaction."""
    of = purchase.customer_id, purchase.currency
    await add_credit(tx, *of, -amount, source=source, reason=None, purchase_id=purchase.id)


async def usable(tx: Transaction, purchase: Purchase, total: int) -> int:
    """How much of a bill the customer's credit pays. It is held until the commit."""
    balance = await lock_balance(tx, purchase.customer_id, purchase.currency)
    return part_of(total, balance, smallest(str(purchase.provider), purchase.currency), step_of(purchase.currency))


def part_of(total: int, balance: int, least: int, step: int) -> int:
    """All of it, or so much that the provider takes the rest."""
    if balance >= total:
        return total
    part = max(0, total - max(total - balance, least))
    return part - part % step


async def give_by_hand(
    deps: BillingDeps, caller: Caller, email: str, currency: str, amount: int, *, key: str, reason: str
) -> dict[str, int]:
    """An operator's: once for each key. Gives what the customer then has."""
    async with deps.database.transaction("give_credit") as tx:
        customer = await find_customer(tx, email)
        if customer is None:
            raise customer_unknown()
        customer_id = customer.id
        source = f"operator {key}"
        given = await add_credit(tx, customer_id, currency, amount, source=source, reason=reason, purchase_id=None)
        await mark_left(tx, customer_id)
        balances = await balances_of(tx, customer_id)
        if given:
            after = {"amount": amount, "currency": currency, "balance": balances[currency]}
            acted(tx, caller, "credit.give", str(customer_id), reason=reason, after=after)
        return balances


@dataclass(frozen=True)
class Taking:
    """What an operator takes out: `pay_out`, transferred to the customer under the key as its reference, or `forfeit`.
    `amount` None: all there is."""

    how: Literal["pay_out", "forfeit"]
    email: str
    currency: str
    amount: int | None
    key: str
    reason: str

    @property
    def source(self) -> str:
        return f"{self.how} {self.key}"


async def take_out(deps: BillingDeps, caller: Caller, wanted: Taking) -> dict[str, int]:
    """Once for each key. Gives what the customer then has."""
    async with deps.database.transaction("take_credit") as tx:
        customer = await find_customer(tx, wanted.email)
        if customer is None:
            raise customer_unknown()
        customer_id = customer.id
        balance = await lock_balance(tx, customer_id, wanted.currency)
        if not await _is_done(tx, customer_id, wanted):
            amount = balance if wanted.amount is None else wanted.amount
            if not 0 < amount <= balance:
                raise credit_too_small(balance, wanted.currency)
            of = customer_id, wanted.currency
            if not await add_credit(tx, *of, -amount, source=wanted.source, reason=wanted.reason, purchase_id=None):
                raise reference_used(wanted.key)  # by another customer's, at once
            bought = await purchases_of_customer(tx, customer_id, limit=1)
            after = {"amount": amount, "currency": wanted.currency, "key": wanted.key, "balance": balance - amount}
            acted(
                tx,
                caller,
                f"credit.{wanted.how}",
                str(customer_id),
                subject=str(bought[0].id) if bought else None,  # so that it is in a journey of theirs
                reason=wanted.reason,
                before={"balance": balance},
                after=after,
            )
        return await balances_of(tx, customer_id)


async def _is_done(tx: Transaction, customer_id: UUID, wanted: Taking) -> bool:
    """The same again changes nothing. One transfer is one pay-out."""
    known = await credit_by_source(tx, wanted.source)
    if known is None:
        return False
    said = customer_id, wanted.currency, -known.amount if wanted.amount is None else wanted.amount
    if (known.customer_id, known.currency, -known.amount) != said:
        raise reference_used(wanted.key)
    return True
