"""What Stripe collects by itself, in our terms: the invoices of its subscriptions, and how those stand.

Subscription and payment stood at the top level of an invoice before 2025-03-31, and so did the period of a
subscription; both are read in either place.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from gateway.webhooks.notice import Notice, Reader
from gateway.webhooks.payload import Part, purchase_reference
from keyturn.events import (
    PaymentActionRequired,
    PaymentCaptured,
    PaymentFailed,
    ProviderFact,
    ProviderStatus,
    ProviderSubscriptionChanged,
    ProviderSubscriptionEnded,
)

OUR_KEY = "purchase_id"  # the metadata key under which billing writes the purchase's id
ENDED = frozenset({"canceled", "incomplete_expired"})
# A status that Stripe adds later is one that does not pay: nobody is suspended for it before Stripe was asked.
STATUSES: Mapping[str, ProviderStatus] = {
    "trialing": "active",
    "active": "active",
    "past_due": "past_due",
    "unpaid": "unpaid",
    "paused": "paused",
}


def invoice_paid(notice: Notice) -> Iterator[ProviderFact]:
    """Nothing is paid by the invoice that a moved day of payment brings: it is of zero, and opens no period."""
    invoice = notice.object
    key, amount, currency = invoice.needs_id(), invoice.needs_amount("amount_paid"), invoice.needs_currency()
    if not amount and invoice.text("billing_reason") == "subscription_update":
        return
    start, end = _period_of(invoice)
    yield notice.fact(
        PaymentCaptured,
        key,
        "captured",
        payment_key=key,
        amount=amount,
        currency=currency,
        period_from=start,
        period_until=end,
        **_invoice(invoice),
    )


def invoice_failed(notice: Notice) -> Iterator[ProviderFact]:
    """Never final: without a next attempt the subscription still decides what becomes of the invoice."""
    invoice = notice.object
    attempt, following = invoice.integer("attempt_count") or 0, invoice.moment("next_payment_attempt")
    yield notice.fact(
        PaymentFailed, invoice.needs_id(), f"failed:{attempt}", next_attempt_at=following, **_invoice(invoice)
    )


def invoice_needs_action(notice: Notice) -> Iterator[ProviderFact]:
    invoice = notice.object
    attempt = invoice.integer("attempt_count") or 0
    yield notice.fact(PaymentActionRequired, invoice.needs_id(), f"action_required:{attempt}", **_invoice(invoice))


def subscription_changed(notice: Notice) -> Iterator[ProviderFact]:
    """By its state: an update may tell of the end, too. Each notice is its own fact, since a state may come again."""
    subscription = notice.object
    key, status = subscription.needs_id(), subscription.needs_text("status")
    refs = subscription.refs("customer", subscription="id")
    about = {"subscription_id": key, "refs": refs, "reference": named(subscription)}
    if status in ENDED:
        ended = subscription.moment("ended_at")
        yield notice.fact(ProviderSubscriptionEnded, key, "subscription_ended", ended_at=ended, **about)
        return
    items = list(subscription.parts("items"))
    starts, ends = (_moments(f"current_period_{end}", subscription, *items) for end in ("start", "end"))
    yield notice.fact(
        ProviderSubscriptionChanged,
        key,
        f"subscription_changed:{notice.id}",
        status=STATUSES.get(status, "unpaid"),
        period_from=max(starts, default=None),
        period_until=max(ends, default=None),
        cancel_at_period_end=bool(subscription.values.get("cancel_at_period_end") or subscription.moment("cancel_at")),
        **about,
    )


def _moments(key: str, *parts: Part) -> list[datetime]:
    return [moment for part in parts if (moment := part.moment(key))]


def _period_of(invoice: Part) -> tuple[datetime | None, datetime | None]:
    """Of the line that lasts longest: a set-up fee, say, has no length."""
    spans = [
        (line.moment("start"), line.moment("end")) for line in (one.part("period") for one in invoice.parts("lines"))
    ]
    lasting = [(start, end) for start, end in spans if start and end and start < end]
    return max(lasting, key=lambda span: span[1] - span[0], default=(None, None))


def _invoice(invoice: Part) -> dict[str, object]:
    """Subscription and payment stand in the lines in every version, too."""
    details = invoice.part("parent", "subscription_details")
    lines = list(invoice.parts("lines"))
    items = [line.part("parent", "subscription_item_details") for line in lines]
    paid = [payment.part("payment") for payment in invoice.parts("payments")]
    refs = invoice.refs("customer", invoice="id")
    for part in (invoice, details, *lines, *items, *paid):
        refs = part.refs("subscription", "payment_intent", "charge") | refs
    about = (details, invoice.part("subscription_details"), invoice, *lines)
    return {"refs": refs, "reference": purchase_reference(*map(named, about))}


def named(part: Part) -> str | None:
    return purchase_reference(part.part("metadata").text(OUR_KEY))


READERS: dict[str, Reader] = {
    "invoice.paid": invoice_paid,
    "invoice.payment_succeeded": invoice_paid,
    "invoice.payment_failed": invoice_failed,
    "invoice.payment_action_required": invoice_needs_action,
    "customer.subscription.updated": subscription_changed,
    "customer.subscription.paused": subscription_changed,
    "customer.subscription.resumed": subscription_changed,
    "customer.subscription.deleted": subscription_changed,
}
