"""The port to a payment provider, and the values that cross it.

An adapter translates and classifies. It holds no business rule, opens no transaction and publishes nothing; it is
called from work and from request handlers, never inside a transaction. It raises `Retry` where asking again may help
(time-outs, 429, 5xx), `GiveUp` where it cannot (a refused request, bad credentials), and nothing else. After a call
whose outcome is unknown, the adapter looks for the object before it makes another.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

# The key under which `CheckoutOrder.reference` stands in Stripe's metadata and Razorpay's notes; the gateway reads it.
REFERENCE = "purchase_id"

# closed: can no longer be paid. payable: the provider closes no checkouts (Razorpay's orders).
# paying: paid already, or a delayed payment is under way.
Closing = Literal["closed", "payable", "paying"]

# past_due: the provider still tries to charge; unpaid: it gave up.
CollectedStatus = Literal["active", "past_due", "unpaid", "paused", "ended"]

F = TypeVar("F", bound=Callable[..., Any])

Reversal = Literal["refund", "dispute"]
REVERSALS: tuple[Reversal, ...] = ("refund", "dispute")


@dataclass(frozen=True)
class Recurring:
    """What the provider is to charge by itself with every cycle: `amount`, less `off` for so many `periods`, the first
    among them (None: for all), for the sake of a coupon."""

    amount: int
    off: int = 0
    periods: int | None = None
    coupon: str | None = None


@dataclass(frozen=True)
class CheckoutOrder:
    """What the customer is asked to pay. Whatever the `cycle`, one payment is taken, and nobody is charged again by it,
    unless it is `recurring`.

    `reference` goes into every place where the provider keeps metadata, since it copies none of them to another.
    """

    purchase_id: UUID
    attempt: int  # 1-based: a purchase may need several checkouts
    amount: int  # all that is paid now
    currency: str
    title: str
    cycle: str
    email: str
    name: str | None
    locale: str | None
    success_url: str  # may hold the literal {CHECKOUT_SESSION_ID}
    cancel_url: str
    expires_at: datetime
    setup_fee: int = 0  # as much of the amount, shown by itself where the provider can
    note: str | None = None  # what the customer should know of the amount
    prepared: str | None = None  # the provider's own price for the rest of it
    recurring: Recurring | None = None
    save: bool = False  # so that later periods can be charged by us, where the provider can do that

    @property
    def card_alone(self) -> bool:
        """Nothing is paid: what can be charged later is given. `captured` tells of it as of a payment of nothing."""
        return self.save and not self.amount

    @property
    def reference(self) -> str:
        """What every later fact of the provider carries back to us."""
        return str(self.purchase_id)

    @property
    def key(self) -> str:
        """Our own idempotency key: the same for every repetition of this attempt, and a Razorpay receipt (<= 40)."""
        return str(self.purchase_id) if self.attempt == 1 else f"{self.purchase_id}-{self.attempt}"


@dataclass(frozen=True)
class OpenedCheckout:
    """The provider's page or order. `client` is what the browser needs besides `url` and may be shown to it."""

    provider_id: str  # Stripe's session id, Razorpay's order id
    url: str | None
    client: Mapping[str, str]  # stripe: session_id; razorpay: order_id, key_id
    expires_at: datetime | None
    refs: Mapping[str, str] = field(default_factory=dict)  # ids by kind, named as in the gateway's events


@dataclass(frozen=True)
class CheckoutRefs:
    """A checkout that we opened, as it is stored."""

    purchase_id: UUID
    attempt: int
    provider_id: str


@dataclass(frozen=True)
class CapturedPayment:
    """Money the provider says it captured; the same values as the gateway's PaymentCaptured about it."""

    payment_key: str
    amount: int
    currency: str
    livemode: bool
    reference: str | None = None
    refs: Mapping[str, str] = field(default_factory=dict)
    period_from: datetime | None = None  # what it pays, where the provider collects by itself
    period_until: datetime | None = None


@dataclass(frozen=True)
class FoundSubscription:
    """A subscription that the provider collects, as it is now, and what was paid for it lately, the oldest first.
    `cancel_at_period_end` None: the provider does not say. `completed`: it ended for having run as often as it was made
    for."""

    status: CollectedStatus
    period_until: datetime | None
    cancel_at_period_end: bool | None
    payments: Sequence[CapturedPayment]
    completed: bool = False


@dataclass(frozen=True)
class FoundPayment:
    """What the provider knows of ids that we could not place: enough to find our own record of it."""

    reference: str | None
    payment_key: str | None
    refs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PaymentRefs:
    """A payment that we recorded, as it is stored."""

    payment_key: str
    currency: str
    refs: Mapping[str, str]


@dataclass(frozen=True)
class RefundResult:
    """The provider's answer to a refund. `pending` is a refund that stands until it is said to have failed."""

    refund_id: str
    amount: int
    currency: str
    status: Literal["pending", "succeeded", "failed"]


@dataclass(frozen=True)
class FoundRefund:
    """A refund as the provider has it now, whoever made it. `asked`: the customer has yet to say where the money is to
    go, so none has left."""

    refund_id: str
    amount: int
    currency: str
    status: Literal["asked", "stands", "failed"]
    refs: Mapping[str, str]


@dataclass(frozen=True)
class FoundDispute:
    """A dispute as the provider has it now; the same values as the gateway's PaymentDisputed or DisputeClosed."""

    dispute_id: str
    state: Literal["inquiry", "open", "won", "lost", "closed"]
    amount: int
    currency: str
    reason: str | None
    deducted: int
    refs: Mapping[str, str]


@dataclass(frozen=True)
class SavedMandate:
    """What a customer saved, to be charged while they are away."""

    customer_id: str
    method_id: str


@dataclass(frozen=True)
class ChargeOrder:
    """What is charged to it, once for each `key`."""

    purchase_id: UUID
    key: str
    amount: int
    currency: str
    customer_id: str
    method_id: str
    title: str


@dataclass(frozen=True)
class ChargeResult:
    """`failed`: with the provider's code, or `mandate_gone`; this charge takes no money any more. `pending`: the bank
    decides later."""

    status: Literal["paid", "failed", "pending"]
    provider_id: str | None
    code: str | None = None
    payment: CapturedPayment | None = None


@dataclass(frozen=True)
class CardOrder:
    """A page of the provider on which the customer gives another card, and pays nothing. `subscription_id`: that the
    provider charges by itself, and whose customer it then is."""

    purchase_id: UUID
    currency: str
    email: str
    locale: str | None
    customer_id: str | None
    return_url: str
    expires_at: datetime
    subscription_id: str | None = None


@dataclass(frozen=True)
class OpenedCard:
    """A page at `url`, by whose `id` what is given there is asked for; or what the provider's window needs in ours."""

    id: str | None = None
    url: str | None = None
    client: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReturnProof:
    """What the browser brought back. All of it is a claim; nothing but `verify_return` may trust it."""

    session_id: str | None = None
    payment_id: str | None = None
    signature: str | None = None


def asks(method: F) -> F:
    """Marks what only asks: a dry run may do it. Whatever else a provider can do, it says that it would."""
    method.asks = True  # type: ignore[attr-defined]
    return method


class PaymentProvider(Protocol):
    """Stripe or Razorpay. A method without `asks` in front of it does something."""

    @property
    def name(self) -> Literal["stripe", "razorpay"]: ...

    @property
    def livemode(self) -> bool:
        """Whether our key moves real money: a payment of the other mode is never ours to book."""
        ...

    async def open_checkout(self, order: CheckoutOrder) -> OpenedCheckout:
        """Opens the payment page or order, or finds the one that an earlier call with the same `key` opened."""
        ...

    @asks
    async def captured(self, checkout: CheckoutRefs) -> list[CapturedPayment]:
        """Every payment captured for this checkout; authorised money is not captured money."""
        ...

    @asks
    async def find(self, refs: Mapping[str, str]) -> FoundPayment | None:
        """Resolves ids that carry no reference of ours. None: the provider knows of none, or none is ours."""
        ...

    async def expire(self, checkout: CheckoutRefs) -> Closing:
        """Closes the checkout, or says why it stays open. Harmless where it was closed before."""
        ...

    async def refund(self, payment: PaymentRefs, amount: int | None, key: str) -> RefundResult:
        """Sends money back, once per `key` (16 to 64 letters, digits and dashes). `amount` None: what is left."""
        ...

    @asks
    def made(self, kind: Reversal, since: datetime, until: datetime) -> AsyncIterator[list[str]]:
        """The ids of what was made in this time, both ends included, in pages. One may come twice, none is left out."""
        ...

    @asks
    async def refund_now(self, refund_id: str) -> FoundRefund: ...

    @asks
    async def dispute_now(self, dispute_id: str) -> FoundDispute: ...

    @asks
    async def subscription_now(self, subscription_id: str) -> FoundSubscription: ...

    async def end_subscription(self, subscription_id: str, *, at_period_end: bool) -> None:
        """Nothing is charged for it any more, from now on or after its period. Harmless where it has ended."""
        ...

    async def keep_subscription(self, subscription_id: str) -> bool:
        """Takes back that it ends with its period. False: the provider cannot."""
        ...

    async def charge_next_at(self, subscription_id: str, moment: datetime) -> bool:
        """Moves the end of its period, and all that follow, at no cost. False: the provider cannot."""
        ...

    async def use_card(self, subscription_id: str, saved: SavedMandate) -> None:
        """Charges the subscription to it from now on, and what is overdue at once. Where that is declined too, the
        provider goes on trying."""
        ...

    @asks
    async def saved_mandate(self, refs: Mapping[str, str]) -> SavedMandate | None:
        """What was saved with this payment, or on this page. None: nothing."""
        ...

    async def charge(self, order: ChargeOrder) -> ChargeResult:
        """Repeated within a day, it charges nothing twice."""
        ...

    @asks
    async def charged(self, order: ChargeOrder) -> ChargeResult | None:
        """What came of it. None: the provider was never asked for it."""
        ...

    async def open_card_page(self, order: CardOrder) -> OpenedCard | None:
        """None: the provider has no such page."""
        ...

    async def forget_mandate(self, mandate: SavedMandate) -> None:
        """Nobody can charge it any more. Harmless where that was done before, or it is not there."""
        ...

    @asks
    def verify_return(self, checkout: CheckoutRefs, proof: ReturnProof) -> bool:
        """Whether what the browser brought back belongs to this checkout: with the order id that we stored, never one
        that was posted. It proves no payment; `captured` does."""
        ...

    async def close(self) -> None: ...


# What a dry run may ask: it follows from the port, so that nobody has to remember a new one.
QUESTIONS = frozenset(
    name for name, one in vars(PaymentProvider).items() if isinstance(one, property) or hasattr(one, "asks")
)

Providers = Mapping[str, PaymentProvider]  # by name; a provider without a key in the settings is not in it
