"""What billing knows about one purchase. `subject` is the purchase id."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from keyturn.events.envelope import Event
from keyturn.events.payments import Provider

FoundBy = Literal["webhook", "return_page", "reconciler", "operator", "free", "charge"]


class Contact(BaseModel):
    """How to reach the customer. `locale` is a BCP 47 tag, `timezone` an IANA name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    email: str
    name: str | None = None
    locale: str | None = None
    timezone: str | None = None


class PurchaseOpened(Event, wire="purchase.opened.v1", publisher="billing"):
    """A customer started to buy. `parameters` are the order's own: subdomain, domain, store name. `amount` is to be
    paid, `discount` what the `coupon` took off. Where it recurs: what the second period costs (`next_price`), and any
    without the coupon (`full_price`), which counts for `discounted` of those to come."""

    customer_id: str
    product: str
    price: str
    plan: str
    amount: int
    discount: int = 0
    coupon: str | None = None
    currency: str
    provider: Provider | None = None
    contact: Contact
    parameters: dict[str, str] = Field(default_factory=dict)
    expires_at: AwareDatetime | None = None
    cycle: str | None = None
    next_price: int | None = None
    full_price: int | None = None
    discounted: int | Literal["always"] = 0


class PurchasePaid(Event, wire="purchase.paid.v1", publisher="billing"):
    """The purchase is paid, once. `found_by`: which of webhook, return page, reconciler or operator told us. `amount`
    was paid, `discount` is what the `coupon` took off."""

    customer_id: str
    product: str
    plan: str
    amount: int
    discount: int = 0
    coupon: str | None = None
    currency: str
    provider: Provider | None = None
    payment_id: str
    payment_key: str
    found_by: FoundBy


class PurchaseFailed(Event, wire="purchase.failed.v1", publisher="billing"):
    """The checkout can no longer be paid."""

    code: str | None = None
    reason: str | None = None


class PurchaseExpired(Event, wire="purchase.expired.v1", publisher="billing"):
    """Nobody paid in time. Money that comes later is still money."""


class PurchaseRefunded(Event, wire="purchase.refunded.v1", publisher="billing"):
    """A refund was booked, or (`reversed`) booked back because it failed. `refunded` is the sum of all that stand.
    `found_by`: who told us of it."""

    refund_id: str
    amount: int
    refunded: int
    currency: str
    full: bool
    reversed: bool = False
    found_by: FoundBy | None = None


class PurchaseDisputed(Event, wire="purchase.disputed.v1", publisher="billing"):
    """A dispute about the purchase was opened or decided. `found_by`: who told us of it."""

    dispute_id: str
    status: Literal["inquiry", "open", "won", "lost", "closed"]
    amount: int
    currency: str
    found_by: FoundBy | None = None


class PaymentNeedsReview(Event, wire="payment.needs_review.v1", publisher="billing"):
    """Money that carries our reference but does not fit; an operator decides. `reason` is a stable code; `surplus`: the
    purchase was paid already, so this is to be given back."""

    payment_id: str
    provider: Provider
    payment_key: str
    reason: Literal["amount", "currency", "mode", "purchase", "unknown_purchase", "surplus"]
    amount: int
    currency: str
    expected_amount: int | None = None
    expected_currency: str | None = None
