"""A change of plan: quoted, accepted, paid where something is to be paid, followed by the install or refused by it. No
framework and no database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from billing.domain import Bill, moves

ChangeState = Literal["quoted", "open", "applying", "done", "refused", "void"]

QUOTED_FOR = timedelta(minutes=15)
PAYABLE_FOR = timedelta(hours=1)  # the amount is that of the quote: not for long. Stripe's shortest is half an hour
LATE = timedelta(minutes=20)  # after that: by then its checkout was closed, if it was ever opened
AGAIN = timedelta(hours=1)

NEXT: Mapping[str, frozenset[str]] = {
    "quoted": frozenset({"open", "applying"}),
    "open": frozenset({"applying", "void"}),  # void: nobody paid in time
    "applying": frozenset({"done", "refused"}),
    "done": frozenset(),
    "refused": frozenset(),
    "void": frozenset(),
}


@dataclass(kw_only=True, eq=False)
class PlanChange:
    """`unused` is what the time left is worth at the old price, `cost` at the new one; tax that is added to the
    difference is in `tax_added`. `period`, `until`: what was paid when it was quoted."""

    id: UUID
    purchase_id: UUID
    state: ChangeState = "quoted"
    state_since: datetime
    from_plan: str
    to_plan: str
    price_id: UUID
    price: int
    unused: int
    cost: int
    tax: dict[str, Any]  # a `taxes.Rate`
    tax_added: int
    currency: str
    period: int
    until: datetime
    quoted_at: datetime
    expires_at: datetime  # until then it can be accepted, and once it is accepted be paid
    limits_before: dict[str, Any] = field(default_factory=dict)  # of the old plan, as they were bought

    def move_to(self, state: ChangeState, now: datetime) -> bool:
        if not moves("plan change", NEXT, self.state, state):
            return False
        self.state, self.state_since = state, now
        return True

    @property
    def charge(self) -> int:
        return self.cost - self.unused + self.tax_added if self.cost > self.unused else 0

    @property
    def credit(self) -> int:
        return self.unused - self.cost + self.tax_added if self.unused > self.cost else 0

    def next_step(self, now: datetime) -> datetime | None:
        """Until then, or until it is decided, the subscription takes no step."""
        return max(self.expires_at + LATE, now + AGAIN) if self.state == "open" else None

    @property
    def bill(self) -> Bill:
        return Bill(self.period, self.charge, tax_added=self.tax_added, change=self.id, price_id=self.price_id)
