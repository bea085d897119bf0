"""Stripe's events in our terms, for every API version that an endpoint may still be pinned to.

One fact comes in several events (a session that is completed and the invoice it paid), out of order and more than
once. So a fact is named after the object it is about, and read from that object's state, not from the event's type.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.webhooks import stripe_subscriptions
from gateway.webhooks.notice import Arrival, Notice, Reader, Source
from gateway.webhooks.payload import Part, purchase_reference
from gateway.webhooks.signatures import verify_stripe
from gateway.webhooks.stripe_subscriptions import named
from keyturn.events import (
    CheckoutExpired,
    DisputeClosed,
    FraudWarned,
    MandateSaved,
    PaymentCaptured,
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    ProviderFact,
    RefundFailed,
)

# A dispute in any other state is open, also in states that Stripe adds later.
DECIDED = {"won": "won", "lost": "lost", "warning_closed": "closed", "prevented": "closed"}


def session_completed(notice: Notice) -> Iterator[ProviderFact]:
    session = notice.object
    if session.text("mode") == "setup":
        refs = session.refs("customer", "setup_intent", session="id")
        about = named(session) or purchase_reference(session.text("client_reference_id"))
        yield notice.fact(MandateSaved, session.needs_id(), "mandate_saved", refs=refs, reference=about)
        return
    status = session.needs_text("payment_status")
    if status in {"paid", "no_payment_required"}:
        yield from session_paid(notice)


def session_paid(notice: Notice) -> Iterator[ProviderFact]:
    """A session with an invoice is the same fact as that invoice paid: the invoice is the key of both."""
    session = notice.object
    key = session.id("invoice") or session.needs_id()
    amount, currency = session.needs_amount("amount_total"), session.needs_currency()
    yield notice.fact(
        PaymentCaptured, key, "captured", payment_key=key, amount=amount, currency=currency, **_session(session)
    )


def session_failed(notice: Notice) -> Iterator[ProviderFact]:
    """A delayed payment failed: the session is complete and takes no other."""
    session = notice.object
    yield notice.fact(PaymentFailed, session.needs_id(), "failed", final=True, **_session(session))


def session_expired(notice: Notice) -> Iterator[ProviderFact]:
    session = notice.object
    yield notice.fact(CheckoutExpired, session.needs_id(), "expired", **_session(session))


def intent_succeeded(notice: Notice) -> Iterator[ProviderFact]:
    """Of the money that billing takes by itself: a session's and an invoice's is told of by theirs."""
    intent = notice.object
    attempt, about = intent.part("metadata").text("charge"), named(intent)
    if attempt is None or about is None:
        return
    key, amount, currency = intent.needs_id(), intent.needs_amount("amount_received"), intent.needs_currency()
    refs = intent.refs("customer", payment_intent="id", charge="latest_charge") | {"attempt": attempt}
    yield notice.fact(
        PaymentCaptured,
        key,
        "captured",
        payment_key=key,
        amount=amount,
        currency=currency,
        reference=about,
        refs=refs,
    )


def intent_failed(notice: Notice) -> Iterator[ProviderFact]:
    """A declined attempt at a one-time payment of ours. An invoice's is told by `invoice.payment_failed`."""
    intent = notice.object
    error, about = intent.part("last_payment_error"), named(intent)
    if about is None or intent.id("invoice"):
        return
    attempt = error.id("charge") or intent.id("latest_charge") or notice.id
    refs = intent.refs("customer", payment_intent="id", charge="latest_charge") | error.refs("charge")
    code, reason = error.text("decline_code") or error.text("code"), error.text("message")
    yield notice.fact(
        PaymentFailed, intent.needs_id(), f"failed:{attempt}", code=code, reason=reason, reference=about, refs=refs
    )


def refund_changed(notice: Notice) -> Iterator[ProviderFact]:
    yield from _refund(notice, notice.object, {}, None)


def charge_refunded(notice: Notice) -> Iterator[ProviderFact]:
    """Older versions embed the refunds. Newer ones do not: there the `refund.*` events alone say which refund it was,
    and the charge's own sum must not be booked as one."""
    charge = notice.object
    refs = charge.refs("payment_intent", "invoice", "customer", charge="id")
    for refund in charge.parts("refunds"):
        yield from _refund(notice, refund, refs, named(charge))


def dispute_changed(notice: Notice) -> Iterator[ProviderFact]:
    """By state: money withdrawn or given back belongs to the state in which it happens and is no fact of its own."""
    dispute = notice.object
    key, status = dispute.needs_id(), dispute.needs_text("status")
    amount, currency = dispute.needs_amount(), dispute.needs_currency()
    about = {"dispute_id": key, "currency": currency, "refs": _dispute_refs(dispute), "reference": named(dispute)}
    if outcome := DECIDED.get(status):
        deducted = amount if outcome == "lost" else 0
        yield notice.fact(DisputeClosed, key, f"closed:{outcome}", outcome=outcome, amount_deducted=deducted, **about)
        return
    reason, inquiry = dispute.text("reason"), status.startswith("warning_")
    yield notice.fact(
        PaymentDisputed,
        key,
        f"disputed:{status}",
        amount=amount,
        reason=reason,
        status=status,
        inquiry=inquiry,
        **about,
    )


def fraud_warned(notice: Notice) -> Iterator[ProviderFact]:
    warning = notice.object
    key, refs = warning.needs_id(), warning.refs("charge", "payment_intent")
    yield notice.fact(FraudWarned, key, "fraud_warned", warning_id=key, kind=warning.text("fraud_type"), refs=refs)


def _refund(notice: Notice, refund: Part, refs_around: dict[str, str], about: str | None) -> Iterator[ProviderFact]:
    """Pending money has left our balance already. A refund that waits for the customer's bank details has not."""
    key, status = refund.needs_id(), refund.text("status")  # older versions have no status: it succeeded
    if status == "requires_action":
        return
    fields = {
        "refund_id": key,
        "amount": refund.needs_amount(),
        "currency": refund.needs_currency(),
        "refs": refs_around | refund.refs("charge", "payment_intent", "customer", refund="id"),
        "reference": about or named(refund),
    }
    if status in {"failed", "canceled"}:
        reason = refund.text("failure_reason") or status
        yield notice.fact(RefundFailed, key, "refund_failed", reason=reason, **fields)
    else:
        yield notice.fact(PaymentRefunded, key, "refunded", **fields)


def _session(session: Part) -> dict[str, object]:
    refs = session.refs("payment_intent", "invoice", "subscription", "customer", "payment_link", session="id")
    return {"refs": refs, "reference": named(session) or purchase_reference(session.text("client_reference_id"))}


def _dispute_refs(dispute: Part) -> dict[str, str]:
    return dispute.part("charge").refs("payment_intent", "invoice", "customer") | dispute.refs(
        "charge", "payment_intent", dispute="id"
    )


READERS: dict[str, Reader] = {
    "checkout.session.completed": session_completed,
    "checkout.session.async_payment_succeeded": session_paid,
    "checkout.session.async_payment_failed": session_failed,
    "checkout.session.expired": session_expired,
    **stripe_subscriptions.READERS,
    "payment_intent.succeeded": intent_succeeded,
    "payment_intent.payment_failed": intent_failed,
    "refund.created": refund_changed,
    "refund.updated": refund_changed,
    "refund.failed": refund_changed,
    "charge.refund.updated": refund_changed,
    "charge.refunded": charge_refunded,
    "charge.dispute.created": dispute_changed,
    "charge.dispute.updated": dispute_changed,
    "charge.dispute.closed": dispute_changed,
    "charge.dispute.funds_withdrawn": dispute_changed,
    "charge.dispute.funds_reinstated": dispute_changed,
    "radar.early_fraud_warning.created": fraud_warned,
}


def refuse(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """Thin events hold no object; they need an endpoint of their own kind in Stripe's settings."""
    if str(document.get("object", "")).startswith("v2."):
        return "thin_event", "this endpoint takes snapshot (v1) events, not thin (v2) ones"
    return None


def take_apart(arrival: Arrival) -> Notice:
    event = Part(arrival.document, "event")
    livemode = event.values.get("livemode")
    return Notice(
        provider="stripe",
        id=event.id("id") or arrival.fallback_id,
        type=event.text("type") or "",
        time=event.moment("created") or arrival.received,
        livemode=livemode if isinstance(livemode, bool) else None,
        api_version=event.text("api_version"),
        object=event.part("data", "object"),
        # Of an account that is connected to ours: whoever holds that one writes its metadata and takes its money.
        others=event.values.get("account") is not None,
    )


SOURCE = Source(
    provider="stripe",
    signature_header=b"stripe-signature",
    kept_headers=(b"content-type", b"user-agent"),
    verify=verify_stripe,
    refuse=refuse,
    notice=take_apart,
    readers=READERS,
)
