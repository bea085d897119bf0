"""Purchases, checkouts and payments: their states, and what money is to a purchase. No framework and no database:
`tables` maps these classes. What takes money back is in `reversals.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from billing.errors import ImpossibleTransition
from keyturn.events import FoundBy

PurchaseState = Literal["pending", "paid", "disputed", "refunded", "failed", "expired"]
CheckoutState = Literal["opening", "open", "paid", "failed", "expired"]
PaymentState = Literal["matched", "surplus", "review", "foreign"]
ReviewReason = Literal["amount", "currency", "mode", "purchase", "unknown_purchase"]
PaidThrough = Literal["stripe", "razorpay", "operator", "free"]

NEXT_OF_PURCHASE: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"paid", "failed", "expired"}),
    "failed": frozenset({"paid"}),
    "expired": frozenset({"paid"}),  # late money is money
    "paid": frozenset({"disputed", "refunded"}),
    "disputed": frozenset({"paid", "refunded"}),
    "refunded": frozenset({"paid"}),  # the refund failed
}
NEXT_OF_CHECKOUT: Mapping[str, frozenset[str]] = {
    "opening": frozenset({"open", "paid", "failed", "expired"}),
    "open": frozenset({"paid", "failed", "expired"}),
    "failed": frozenset({"paid"}),
    "expired": frozenset({"paid"}),
    "paid": frozenset(),
}
NEXT_OF_PAYMENT: Mapping[str, frozenset[str]] = {
    "review": frozenset({"matched", "surplus", "foreign"}),
    "foreign": frozenset({"matched", "surplus", "review"}),  # a later fact says that it is ours after all
    "matched": frozenset(),
    "surplus": frozenset(),
}
PAID_STATES: frozenset[str] = frozenset({"paid", "disputed", "refunded"})


def purchase_id_in(reference: str | None) -> UUID | None:
    """Other systems on the same account write references too: what is no id of ours is none."""
    try:
        return UUID(reference) if reference else None
    except ValueError:
        return None


def moves(thing: str, table: Mapping[str, frozenset[str]], current: str, wanted: str) -> bool:
    """True where this changes something, False where it is a repetition. Raises `ImpossibleTransition`."""
    if current == wanted:
        return False
    if wanted not in table[current]:
        raise ImpossibleTransition(thing, current, wanted)
    return True


@dataclass(kw_only=True, eq=False)
class Customer:
    id: UUID
    email: str  # normalised: two spellings of one address are one customer
    name: str | None
    locale: str | None
    timezone: str | None
    created_at: datetime
    erasure_wanted_at: datetime | None = None
    erased_at: datetime | None = None


@dataclass(kw_only=True, eq=False)
class Purchase:
    id: UUID
    customer_id: UUID
    product: str
    plan: str
    price_id: UUID
    cycle: str
    amount: int  # the first payment, set-up fee, added tax and all; later periods cost what the subscription says
    setup_fee: int = 0  # with the first payment, or after a trial with the first period that is paid
    trial_days: int = 0  # the first period is free, and so long
    currency: str
    provider: str | None  # None: nothing to pay
    livemode: bool
    contact: dict[str, Any]
    parameters: dict[str, str]
    success_url: str
    cancel_url: str
    request_hash: str  # a repetition with another body is refused
    opened_at: datetime
    expires_at: datetime
    state: PurchaseState = "pending"
    state_since: datetime
    refunded: int = 0  # of its matched payments, and only what stands
    discount: int = 0  # taken off already: `amount` is what is to be paid
    coupon: dict[str, Any] | None = None  # a `coupons.Discount`
    tax_added: int = 0  # as much of the amount is tax that the price does not include
    tax: dict[str, Any] = field(default_factory=dict)  # a `taxes.Rate`: what is charged next is taxed at
    buyer: dict[str, Any] = field(default_factory=dict)  # a `taxes.Buyer`
    erased_at: datetime | None = None  # its customer is forgotten: nothing is owed or given any more

    def move_to(self, state: PurchaseState, now: datetime) -> bool:
        """The one way to another state. False: a repetition, nothing changed. Raises `ImpossibleTransition`."""
        if not moves("purchase", NEXT_OF_PURCHASE, self.state, state):
            return False
        self.state, self.state_since = state, now
        return True

    @property
    def is_paid(self) -> bool:
        return self.state in PAID_STATES

    @property
    def is_disputed(self) -> bool:
        return self.state == "disputed"

    @property
    def coupon_code(self) -> str | None:
        return self.coupon["code"] if self.coupon else None


@dataclass(kw_only=True, eq=False)
class Checkout:
    id: UUID
    purchase_id: UUID
    attempt: int
    period: int  # which one it pays
    change_id: UUID | None = None  # or which change of plan, within that period
    amount: int
    provider: str
    state: CheckoutState = "opening"
    provider_id: str | None = None
    url: str | None = None
    client: dict[str, str] = field(default_factory=dict)
    opened_at: datetime
    expires_at: datetime
    looks: int = 0
    next_look_at: datetime | None = None  # None: the provider can tell us nothing new

    def move_to(self, state: CheckoutState) -> bool:
        if not moves("checkout", NEXT_OF_CHECKOUT, self.state, state):
            return False
        self.state = state
        return True


@dataclass(kw_only=True, eq=False)
class Payment:
    id: UUID
    provider: PaidThrough
    payment_key: str
    amount: int
    currency: str
    livemode: bool | None  # None: whoever told of it did not say
    state: PaymentState
    found_by: FoundBy
    refs: dict[str, str]
    reference: str | None = None
    purchase_id: UUID | None = None
    period: int | None = None  # which one it paid
    change_id: UUID | None = None  # or which change of plan
    pays_from: datetime | None = None  # where the provider collects by itself, and says for which time
    pays_until: datetime | None = None
    review_reason: ReviewReason | None = None
    recorded_at: datetime

    def move_to(self, state: PaymentState) -> bool:
        if not moves("payment", NEXT_OF_PAYMENT, self.state, state):
            return False
        self.state, self.review_reason = state, None
        return True

    def lasts_until(self, start: datetime) -> datetime | None:
        """What it pays, from there on: up to when the provider says, and later where we begin later. None: it does not
        say."""
        if self.pays_from is None or self.pays_until is None or self.pays_until <= start:
            return None
        return self.pays_until + max(start - self.pays_from, timedelta())

    @property
    def may_be_placed_again(self) -> bool:
        """Whether a later fact that names its purchase may still settle what nobody could place before. What an
        operator said is not ours stays that, whoever tells of it again: nobody else says so of what had a purchase,
        or named one."""
        unplaced = self.state == "foreign" and self.purchase_id is None and purchase_id_in(self.reference) is None
        return unplaced or self.review_reason == "unknown_purchase"


@dataclass(kw_only=True, eq=False)
class Entitlement:
    purchase_id: UUID
    version: int
    wanted: str
    reasons: list[str]
    product: str
    plan: str
    blueprint: str
    parameters: dict[str, str]
    limits: dict[str, Any]
    contact: dict[str, Any]
    delete_after: datetime | None
    changed_at: datetime


@dataclass(frozen=True)
class MoneyFact:
    """Money that somebody says arrived. `reference` is the purchase id that it carries, if any."""

    provider: PaidThrough
    payment_key: str
    amount: int
    currency: str
    livemode: bool | None
    reference: str | None = None
    refs: Mapping[str, str] = field(default_factory=dict)
    pays_from: datetime | None = None
    pays_until: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    state: PaymentState
    reason: ReviewReason | None = None


@dataclass(frozen=True)
class Bill:
    """What a purchase is asked to pay: its first period (or all there is), a renewal, or (`change`) a change of plan.
    `discount` and `credited` are taken off the amount already, `setup_fee` and `tax_added` are in it."""

    period: int
    amount: int
    discount: int = 0
    setup_fee: int = 0
    tax_added: int = 0
    credited: int = 0
    paid: bool = False
    change: UUID | None = None
    price_id: UUID | None = None  # None: that of the purchase

    @property
    def price(self) -> int:
        """Of the period, before any discount and added tax."""
        return self.amount + self.credited - self.tax_added - self.setup_fee + self.discount

    @property
    def is_whole(self) -> bool:
        """Whether the price is paid as it is: a prepared one at the provider is of that."""
        return not (self.discount or self.tax_added or self.credited or self.change)


def judge(fact: MoneyFact, purchase: Purchase, bill: Bill, *, named: UUID | None) -> Verdict:
    """What money is to the purchase it was placed with. `named`: the purchase that the fact's reference names."""
    if (named or purchase.id) != purchase.id or fact.provider in {"stripe", "razorpay"} - {purchase.provider}:
        return Verdict("review", "purchase")
    if fact.livemode not in {None, purchase.livemode}:
        return Verdict("review", "mode")
    if fact.currency != purchase.currency:
        return Verdict("review", "currency")
    if fact.amount != bill.amount:
        return Verdict("review", "amount")
    return Verdict("surplus" if bill.paid else "matched")
