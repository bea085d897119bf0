"""What the gateway says about a payment after it was captured."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from billing.providers import CapturedPayment
from keyturn.events import (
    CheckoutExpired,
    DisputeClosed,
    FraudWarned,
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    RefundFailed,
)

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Facts:
    """Facts about one payment, as Stripe's webhooks tell them: with ids of their own, without our reference."""

    def __init__(self, payment: CapturedPayment, provider: Literal["stripe", "razorpay"] = "stripe") -> None:
        self.payment = payment
        self.common = {
            "subject": f"{provider}:{payment.payment_key}",
            "time": START,
            "provider": provider,
            "livemode": payment.livemode,
            "refs": {kind: value for kind, value in payment.refs.items() if kind not in {"session", "order"}},
        }

    def refunded(self, amount: int, refund: str = "re_1") -> PaymentRefunded:
        return PaymentRefunded(**self.common, refund_id=refund, amount=amount, currency=self.payment.currency)

    def refund_failed(self, amount: int, refund: str = "re_1") -> RefundFailed:
        return RefundFailed(**self.common, refund_id=refund, amount=amount, currency=self.payment.currency)

    def disputed(self, *, inquiry: bool = False, dispute: str = "dp_1", after: int = 0) -> PaymentDisputed:
        told = self.common | {"time": START + timedelta(minutes=after)}
        amount, currency = self.payment.amount, self.payment.currency
        status = "warning_needs_response" if inquiry else "needs_response"
        return PaymentDisputed(
            **told, dispute_id=dispute, amount=amount, currency=currency, status=status, inquiry=inquiry
        )

    def closed(
        self, outcome: Literal["won", "lost", "closed"], *, dispute: str = "dp_1", after: int = 10
    ) -> DisputeClosed:
        told = self.common | {"time": START + timedelta(minutes=after)}
        deducted = self.payment.amount if outcome == "lost" else 0
        return DisputeClosed(
            **told,
            dispute_id=dispute,
            outcome=outcome,
            amount_deducted=deducted,
            currency=self.payment.currency,
        )

    def fraud_warned(self) -> FraudWarned:
        return FraudWarned(**self.common, warning_id="issfr_1", kind="made_with_stolen_card")


def expired(session: str, reference: str | None = None) -> CheckoutExpired:
    return CheckoutExpired(
        subject=f"stripe:{session}",
        time=START,
        provider="stripe",
        livemode=False,
        reference=reference,
        refs={"session": session},
    )


def declined(session: str, *, final: bool = False) -> PaymentFailed:
    return PaymentFailed(
        subject=f"stripe:{session}",
        time=START,
        provider="stripe",
        livemode=False,
        refs={"session": session},
        code="card_declined",
        final=final,
    )
