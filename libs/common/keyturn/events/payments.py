"""What payment providers told us. The gateway publishes these; it knows no purchases.

`subject` is `<provider>:<object id>`; `reference` is our purchase id where the payload carries one, `refs` every
provider id in it by kind (`session`, `payment_intent`, `charge`, `invoice`, `subscription`, `order`, `payment`, ...).
Amounts are integers in the currency's minor unit.
"""

from typing import Literal

from pydantic import AwareDatetime, Field

from keyturn.events.envelope import Event

Provider = Literal["stripe", "razorpay"]
ProviderStatus = Literal["active", "past_due", "unpaid", "paused"]


class ProviderFact(Event):
    """The fields that every fact of a provider has. `livemode`: None where its webhooks do not say (Razorpay's)."""

    provider: Provider
    livemode: bool | None
    reference: str | None = None
    refs: dict[str, str] = Field(default_factory=dict)


class PaymentCaptured(ProviderFact, wire="payment.captured.v1", publisher="gateway"):
    """Money arrived: first payment, renewal or surplus, which billing alone decides. `payment_key` is unique with
    the provider: Razorpay's payment id; Stripe's invoice id, or without one the session id. `period_from` and
    `period_until`: what it pays, where the provider collects by itself and says so."""

    payment_key: str
    amount: int
    currency: str
    period_from: AwareDatetime | None = None
    period_until: AwareDatetime | None = None


class PaymentFailed(ProviderFact, wire="payment.failed.v1", publisher="gateway"):
    """An attempt was declined. `final`: the provider will take no further attempt on this checkout."""

    code: str | None = None
    reason: str | None = None
    final: bool = False
    next_attempt_at: AwareDatetime | None = None


class PaymentActionRequired(ProviderFact, wire="payment.action_required.v1", publisher="gateway"):
    """The customer must authenticate before the provider can charge."""


class MandateSaved(ProviderFact, wire="mandate.saved.v1", publisher="gateway"):
    """The customer gave a card on a page that takes no money. What it is, billing asks the provider."""


class PaymentRefunded(ProviderFact, wire="payment.refunded.v1", publisher="gateway"):
    """One refund left, in part or in full: `amount` is this refund's own."""

    refund_id: str
    amount: int
    currency: str


class RefundFailed(ProviderFact, wire="payment.refund_failed.v1", publisher="gateway"):
    """A refund that was booked did not leave after all."""

    refund_id: str
    amount: int
    currency: str
    reason: str | None = None


class PaymentDisputed(ProviderFact, wire="dispute.opened.v1", publisher="gateway"):
    """A dispute was opened or moved on. `inquiry`: the issuer asks, no money has moved."""

    dispute_id: str
    amount: int
    currency: str
    reason: str | None = None
    status: str
    inquiry: bool = False


class DisputeClosed(ProviderFact, wire="dispute.closed.v1", publisher="gateway"):
    """A dispute was decided. `closed`: an inquiry that ended, or one that cost nothing."""

    dispute_id: str
    outcome: Literal["won", "lost", "closed"]
    amount_deducted: int
    currency: str


class FraudWarned(ProviderFact, wire="payment.fraud_warned.v1", publisher="gateway"):
    """The card's issuer suspects fraud; a dispute often follows."""

    warning_id: str
    kind: str | None = None


class CheckoutExpired(ProviderFact, wire="checkout.expired.v1", publisher="gateway"):
    """The provider's payment page closed without payment."""


class ProviderSubscriptionChanged(ProviderFact, wire="provider_subscription.changed.v1", publisher="gateway"):
    """How a subscription that the provider collects stood when it told us. Such facts come late and in any order: who
    needs to know how it stands asks the provider. `past_due`: it still tries to charge; `unpaid`: it gave up.
    `cancel_at_period_end`: None where the provider does not say."""

    subscription_id: str
    status: ProviderStatus
    period_from: AwareDatetime | None = None
    period_until: AwareDatetime | None = None
    cancel_at_period_end: bool | None = None


class ProviderSubscriptionEnded(ProviderFact, wire="provider_subscription.ended.v1", publisher="gateway"):
    """The provider charges nothing for it any more, for good. `completed`: it ran for as often as it was made for."""

    subscription_id: str
    ended_at: AwareDatetime | None = None
    completed: bool = False


class WebhookUnreadable(Event, wire="webhook.unreadable.v1", publisher="gateway"):
    """A signed webhook that we cannot read was stored, and waits to be reprocessed."""

    provider: Provider
    webhook_id: str
    provider_type: str | None = None
    cause: str
