"""What the next period costs, and what those after it: as price, coupon and tax stand now. Pure."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from billing.domain import Purchase
from billing.taxes import Item, Rate, charge
from billing.trials import discounted_from, setup_fee_of, taken_off


@dataclass(frozen=True)
class Coming:
    """`full_price`: of a period without any discount. `next_price`: of the next one, with its set-up fee where a trial
    ends. Both with the tax that is added, and before the customer's credit. `discounted`: for how many periods from the
    next one on the coupon counts."""

    cycle: str
    full_price: int
    next_price: int
    discounted: int | Literal["always"]

    @property
    def said(self) -> dict[str, Any]:
        return asdict(self)


def coming(purchase: Purchase, number: int, price: int) -> Coming:
    """`number`: of the last period that is paid; 0: none has begun. The first is paid with the purchase, or free."""
    following = max(number, 1) + 1
    off, fee = taken_off(purchase, following, price), setup_fee_of(purchase, following)
    rate = Rate.model_validate(purchase.tax)
    full, due = (
        charge(items, rate, purchase.currency).total
        for items in ([Item("", price)], [Item("", price, off), Item("", fee)])
    )
    periods = discounted_from(purchase, following, price) if off else 0
    return Coming(purchase.cycle, full, due, "always" if periods is None else periods)
