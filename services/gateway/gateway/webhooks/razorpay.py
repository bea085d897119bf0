"""Razorpay's events in our terms.

`payment.captured`, `order.paid` and `subscription.charged` are one payment, a fact named after it. The payloads have no
event id, no live or test mode, and shapes that vary; only what a fact cannot do without must be there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.webhooks.notice import Arrival, Notice, Reader, Source
from gateway.webhooks.payload import Part, purchase_reference
from gateway.webhooks.signatures import verify_razorpay
from keyturn.events import (
    DisputeClosed,
    PaymentCaptured,
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    ProviderFact,
    ProviderStatus,
    ProviderSubscriptionChanged,
    ProviderSubscriptionEnded,
    RefundFailed,
)

EVENT_ID = "x-razorpay-event-id"
OUR_KEY = "purchase_id"  # the key in notes under which billing writes the purchase's id

# Phases in which the issuer only asks; from `chargeback` on money is taken.
INQUIRIES = frozenset({"fraud", "retrieval"})
ENDED = frozenset({"cancelled", "completed", "expired"})
STATUSES: Mapping[str, ProviderStatus] = {
    "created": "active",
    "authenticated": "active",
    "active": "active",
    "pending": "past_due",
    "halted": "unpaid",
    "paused": "paused",
}


def payment_captured(notice: Notice) -> Iterator[ProviderFact]:
    payment = _entity(notice, "payment")
    key, amount, currency = payment.needs_id(), payment.needs_amount(), payment.needs_currency()
    charged = notice.object.part("subscription", "entity")
    yield notice.fact(
        PaymentCaptured,
        key,
        "captured",
        payment_key=key,
        amount=amount,
        currency=currency,
        period_from=charged.moment("current_start"),
        period_until=charged.moment("current_end"),
        **_about(notice),
    )


def subscription_charged(notice: Notice) -> Iterator[ProviderFact]:
    """The money of a cycle, and how the subscription stands after it. The last cycle is told of twice."""
    if notice.type == "subscription.charged" or notice.object.part("payment", "entity").values:
        yield from payment_captured(notice)
    yield from subscription_changed(notice)


def subscription_changed(notice: Notice) -> Iterator[ProviderFact]:
    """Each notice is its own fact, since a state may come again. Whether it is to end with its period, Razorpay does
    not say."""
    subscription = _entity(notice, "subscription")
    key, status = subscription.needs_id(), subscription.needs_text("status")
    about = {"subscription_id": key} | _about(notice)
    if status in ENDED:
        ended, completed = subscription.moment("ended_at"), status == "completed"
        yield notice.fact(
            ProviderSubscriptionEnded, key, "subscription_ended", ended_at=ended, completed=completed, **about
        )
        return
    yield notice.fact(
        ProviderSubscriptionChanged,
        key,
        f"subscription_changed:{notice.id}",
        status=STATUSES.get(status, "unpaid"),
        period_from=subscription.moment("current_start"),
        period_until=subscription.moment("current_end"),
        **about,
    )


def payment_failed(notice: Notice) -> Iterator[ProviderFact]:
    """Never final: the bank may still say yes, and the customer may try again on the same order."""
    payment = _entity(notice, "payment")
    code, reason = payment.text("error_code"), payment.text("error_description") or payment.text("error_reason")
    yield notice.fact(PaymentFailed, payment.needs_id(), "failed", code=code, reason=reason, **_about(notice))


def refund_changed(notice: Notice) -> Iterator[ProviderFact]:
    """`refund.created` may be the only news of a refund, so it is booked at once, and booked back if it fails."""
    refund = _entity(notice, "refund")
    key, amount, currency = refund.needs_id(), refund.needs_amount(), refund.needs_currency()
    fields = {"refund_id": key, "amount": amount, "currency": currency} | _about(notice)
    if notice.type == "refund.failed" or refund.text("status") == "failed":
        yield notice.fact(RefundFailed, key, "refund_failed", **fields)
    else:
        yield notice.fact(PaymentRefunded, key, "refunded", **fields)


def dispute_changed(notice: Notice) -> Iterator[ProviderFact]:
    dispute = _entity(notice, "dispute")
    key, amount, currency = dispute.needs_id(), dispute.needs_amount(), dispute.needs_currency()
    status, phase = dispute.text("status") or "open", dispute.text("phase") or ""
    yield notice.fact(
        PaymentDisputed,
        key,
        f"disputed:{phase}:{status}",
        dispute_id=key,
        amount=amount,
        currency=currency,
        reason=dispute.text("reason_code"),
        status=status,
        inquiry=phase in INQUIRIES,
        **_about(notice),
    )


def dispute_closed(notice: Notice) -> Iterator[ProviderFact]:
    """`closed` is what follows `won` or `lost`, or the end of an inquiry: what was deducted tells which."""
    dispute = _entity(notice, "dispute")
    key, currency = dispute.needs_id(), dispute.needs_currency()
    deducted, said = dispute.integer("amount_deducted"), notice.type.rpartition(".")[2]
    if said == "closed":
        said = "lost" if deducted else dispute.text("status") or "closed"
    outcome = said if said in {"won", "lost"} else "closed"
    if deducted is None:
        deducted = dispute.needs_amount() if outcome == "lost" else 0
    yield notice.fact(
        DisputeClosed,
        key,
        f"closed:{outcome}",
        dispute_id=key,
        outcome=outcome,
        amount_deducted=deducted,
        currency=currency,
        **_about(notice),
    )


def _entity(notice: Notice, name: str) -> Part:
    return notice.object.needs_part(name, "entity")


def _about(notice: Notice) -> dict[str, Any]:
    """Every id in the payload by kind, and the purchase that notes or the order's receipt name."""
    entities = {name: notice.object.part(name, "entity") for name in _KINDS}
    refs: dict[str, str] = {}
    for name, entity in entities.items():
        refs |= entity.refs(**_LINKS) | entity.refs(**{name: "id"})
    notes = [entity.part("notes").text(OUR_KEY) for entity in entities.values()]
    return {"refs": refs, "reference": purchase_reference(*notes, entities["order"].text("receipt"))}


_KINDS = ("refund", "dispute", "subscription", "order", "payment")
_LINKS = {
    "payment": "payment_id",
    "order": "order_id",
    "invoice": "invoice_id",
    "subscription": "subscription_id",
    "customer": "customer_id",
}

READERS: dict[str, Reader] = {
    "payment.captured": payment_captured,
    "order.paid": payment_captured,
    "subscription.charged": subscription_charged,
    "subscription.pending": subscription_changed,
    "subscription.halted": subscription_changed,
    "subscription.paused": subscription_changed,
    "subscription.resumed": subscription_changed,
    "subscription.updated": subscription_changed,
    "subscription.cancelled": subscription_changed,
    "subscription.completed": subscription_charged,
    "payment.failed": payment_failed,
    "refund.created": refund_changed,
    "refund.processed": refund_changed,
    "refund.failed": refund_changed,
    "payment.dispute.created": dispute_changed,
    "payment.dispute.action_required": dispute_changed,
    "payment.dispute.under_review": dispute_changed,
    "payment.dispute.won": dispute_closed,
    "payment.dispute.lost": dispute_closed,
    "payment.dispute.closed": dispute_closed,
}


def take_apart(arrival: Arrival) -> Notice:
    """The event id stands in a header that is not signed; some events carry their time inside the payload."""
    event = Part(arrival.document, "event")
    payload = event.part("payload")
    return Notice(
        provider="razorpay",
        id=Part(arrival.headers, "headers").id(EVENT_ID) or arrival.fallback_id,
        type=event.text("event") or "",
        time=event.moment("created_at") or payload.moment("created_at") or arrival.received,
        livemode=None,
        api_version=None,
        object=payload,
    )


SOURCE = Source(
    provider="razorpay",
    signature_header=b"x-razorpay-signature",
    kept_headers=(b"content-type", b"user-agent", EVENT_ID.encode()),
    verify=lambda body, header, secrets, _now: verify_razorpay(body, header, secrets),
    refuse=lambda _document: None,
    notice=take_apart,
    readers=READERS,
)
