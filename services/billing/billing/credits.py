"""What customers have with us: given by operators, or for what they paid and cannot use; taken off their next renewal.

One ledger for each customer and currency. Nothing in it is ever changed, every source is booked once, and the sum is
never below nothing.
"""

from billing.deps import BillingDeps
from billing.domain import Purchase
from billing.errors import customer_unknown
from billing.providers.money import smallest, step_of
from billing.repository.credits import add_credit, balances_of, lock_balance
from billing.repository.customers import find_customer
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.internal import Caller


async def give_credit(
    tx: Transaction, purchase: Purchase, amount: int, *, source: str, reason: str | None = None
) -> bool:
    """To the purchase's customer, in its currency, with the purchase locked. `source` is what it is for: the same one
    gives nothing again, and False."""
    of = purchase.customer_id, purchase.currency
    return await add_credit(tx, *of, amount, source=source, reason=reason, purchase_id=purchase.id)


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
        balances = await balances_of(tx, customer_id)
        if given:
            after = {"amount": amount, "currency": currency, "balance": balances[currency]}
            acted(tx, caller, "credit.give", str(customer_id), reason=reason, after=after)
        return balances
