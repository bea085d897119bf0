"""What a purchase owes now, and what money that reaches us is for. Asked with the purchase locked."""

from collections.abc import Iterable

from billing.calendar import recurs
from billing.domain import Bill, Checkout, MoneyFact, Purchase
from billing.mandates import Charge
from billing.repository.plan_changes import change_under_way
from billing.repository.subscriptions import open_renewal
from keyturn.database import Transaction

CLOSE_CHECKOUTS = "close_checkouts"  # work: what could still be paid for nothing


async def owed(tx: Transaction, purchase: Purchase) -> Bill | None:
    """None: nothing. What comes all the same is surplus."""
    if purchase.erased_at:
        return None
    if not purchase.is_paid:
        return first_bill(purchase)
    if not recurs(purchase.cycle):
        return None
    if (change := await change_under_way(tx, purchase.id)) and change.state == "open":
        return change.bill
    renewal = await open_renewal(tx, purchase.id)
    return renewal.bill if renewal else None


def first_bill(purchase: Purchase, *, paid: bool = False) -> Bill:
    """A trial costs nothing: its set-up fee is paid with the period after it."""
    fee = 0 if purchase.trial_days else purchase.setup_fee
    return Bill(1, purchase.amount, purchase.discount, fee, purchase.tax_added, paid=paid)


async def bill_for(tx: Transaction, purchase: Purchase, way: Checkout | Charge | None) -> Bill:
    """Money is for the period for which its checkout was opened, or for which it was charged, and for no other one;
    without either, for what is owed."""
    due = await owed(tx, purchase)
    if way is None:
        return due or first_bill(purchase, paid=True)
    return Bill(way.period, way.amount, paid=not pays(way, due), change=way.change_id)


def nothing_to_pay(purchase: Purchase, period: int) -> MoneyFact:
    """The payment of a period that costs nothing: told any number of times, it is one."""
    key = str(purchase.id) if period == 1 else f"{purchase.id}-{period}"
    return MoneyFact("free", key, 0, purchase.currency, purchase.livemode, str(purchase.id))


def through(checkouts: Iterable[Checkout], fact: MoneyFact) -> Checkout | None:
    """The one that this money was paid at, if it is known here."""
    ids = fact.refs.values()
    return next((one for one in checkouts if one.provider == fact.provider and one.provider_id in ids), None)


def pays(way: Checkout | Charge, due: Bill | None) -> bool:
    """Whether what is due can be paid through it: it may be asked for anew, and be another amount then."""
    asked = way.period, way.amount, way.change_id
    return due is not None and (due.period, due.amount, due.change) == asked


def superseded(checkouts: Iterable[Checkout], due: Bill | None) -> list[Checkout]:
    """Those that could still be paid, for nothing."""
    return [checkout for checkout in checkouts if checkout.state == "open" and not pays(checkout, due)]
