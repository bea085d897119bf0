"""What billing knows, and the rules about it. No framework and no database: `tables.py` maps these classes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from billing.errors import ImpossibleTransition
from keyturn.events import FoundBy

PurchaseState = Literal["pending", "paid", "disputed", "refunded", "failed", "expired"]
CheckoutState = Literal["opening", "open", "paid", "failed", "expired"]
PaymentState = Literal["matched", "surplus", "review", "foreign"]
DisputeState = Literal["inquiry", "open", "won", "lost", "closed"]
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


@dataclass(kw_only=True, eq=False)
class Purchase:
    id: UUID
    customer_id: UUID
    product: str
    plan: str
    price_id: UUID
    cycle: str
    amount: int
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
    refunded: int = 0  # of the matched payment, and only what stands

    def move_to(self, state: PurchaseState, now: datetime) -> bool:
        """The one way to another state. False: a repetition, nothing changed. Raises `ImpossibleTransition`."""
        if not moves("purchase", NEXT_OF_PURCHASE, self.state, state):
            return False
        self.state, self.state_since = state, now
        return True

    @property
    def is_paid(self) -> bool:
        return self.state in PAID_STATES


@dataclass(kw_only=True, eq=False)
class Checkout:
    id: UUID
    purchase_id: UUID
    attempt: int
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
    review_reason: ReviewReason | None = None
    recorded_at: datetime

    def move_to(self, state: PaymentState) -> bool:
        if not moves("payment", NEXT_OF_PAYMENT, self.state, state):
            return False
        self.state, self.review_reason = state, None
        return True

    @property
    def may_be_placed_again(self) -> bool:
        """Whether a later fact that names its purchase may still settle what nobody could place before."""
        return self.state == "foreign" or self.review_reason == "unknown_purchase"


@dataclass(kw_only=True, eq=False)
class Refund:
    """One refund as the provider numbers it. `failed` is final: the money did not leave, whatever arrives later."""

    id: UUID
    provider: str
    refund_id: str
    payment_id: UUID
    amount: int
    currency: str
    failed: bool
    booked_at: datetime


@dataclass(kw_only=True, eq=False)
class RefundRequest:
    """A refund that an operator asked for, written before the provider is called."""

    id: UUID
    purchase_id: UUID
    payment_id: UUID
    amount: int
    state: Literal["requested", "sent", "failed"] = "requested"
    refund_id: str | None = None
    requested_at: datetime


@dataclass(kw_only=True, eq=False)
class Dispute:
    id: UUID
    provider: str
    dispute_id: str
    payment_id: UUID
    state: DisputeState
    amount: int
    currency: str
    reason: str | None = None
    deducted: int = 0
    told_at: datetime  # the provider's time of the fact that set this state

    @property
    def is_decided(self) -> bool:
        return self.state in {"won", "lost", "closed"}


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


@dataclass(frozen=True)
class Verdict:
    state: PaymentState
    reason: ReviewReason | None = None


def judge(fact: MoneyFact, purchase: Purchase, *, named: UUID | None, already_paid: bool) -> Verdict:
    """What money is to the purchase it was placed with. `named`: the purchase that the fact's reference names."""
    if (named or purchase.id) != purchase.id or fact.provider in {"stripe", "razorpay"} - {purchase.provider}:
        return Verdict("review", "purchase")
    if fact.livemode not in {None, purchase.livemode}:
        return Verdict("review", "mode")
    if fact.currency != purchase.currency:
        return Verdict("review", "currency")
    if fact.amount != purchase.amount:
        return Verdict("review", "amount")
    return Verdict("surplus" if already_paid else "matched")


def standing(refunds: Iterable[Refund]) -> int:
    """What went back to the customer and stayed there."""
    return sum(refund.amount for refund in refunds if not refund.failed)


def next_dispute_state(dispute: Dispute, state: DisputeState, told_at: datetime) -> DisputeState:
    """Facts come in any order: a decision outlasts news from before it, and an open dispute an earlier inquiry.
    Of two decisions the later one holds: an appeal may turn the first."""
    rank = {"inquiry": 0, "open": 1}
    if rank.get(state, 2) < rank.get(dispute.state, 2):
        return dispute.state
    if dispute.is_decided and told_at <= dispute.told_at:
        return dispute.state
    return state
