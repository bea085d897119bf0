"""Documents as the providers and our own services send them, with something in them changed: whoever reads them either
reads them or says that they cannot be read."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import facts, journeys
from gateway.webhooks import SOURCES, Arrival, read
from gateway.webhooks.payload import parse
from gateway.webhooks.signatures import SignatureError, verify_razorpay, verify_stripe
from keyturn.events import Envelope, Unreadable
from keyturn.events import read as read_event
from keyturn.outbox import event_row
from support import provider_webhooks as sent
from support.examples import examples
from support.journeys import Story
from support.mutation import mutated

NOW = datetime(2026, 11, 21, tzinfo=UTC)
fuzz = settings(max_examples=examples(100), deadline=None)

STRIPE = [
    sent.stripe_event("checkout.session.completed", sent.stripe_session()),
    sent.stripe_event("invoice.paid", sent.stripe_invoice()),
    sent.stripe_event("charge.refunded", sent.stripe_charge()),
    sent.stripe_event("charge.dispute.created", sent.stripe_dispute()),
]
PAYMENT = sent.razorpay_payment()
RAZORPAY = [
    sent.razorpay_event("payment.captured", payment=PAYMENT),
    sent.razorpay_event("order.paid", payment=PAYMENT, order=sent.razorpay_order()),
    sent.razorpay_event("refund.processed", payment=PAYMENT, refund=sent.razorpay_refund()),
    sent.razorpay_event("payment.dispute.created", payment=PAYMENT, dispute=sent.razorpay_dispute()),
]
EVENTS = [
    json.loads(event.to_bytes("billing" if event.publisher == "*" else event.publisher)) for event in Story().whole
]


@fuzz
@given(document=st.sampled_from(STRIPE).flatmap(mutated))
def test_a_changed_payload_of_stripes_is_read_or_found_unreadable(document: Any) -> None:
    understood("stripe", document)


@fuzz
@given(document=st.sampled_from(RAZORPAY).flatmap(mutated))
def test_a_changed_payload_of_razorpays_is_read_or_found_unreadable(document: Any) -> None:
    understood("razorpay", document)


def understood(provider: Any, document: Any) -> None:
    """As it arrives: what is read can be stored and published."""
    try:
        arrived = parse(json.dumps(document).encode())
    except ValueError:
        return
    reading = read(SOURCES[provider], Arrival(arrived, {}, NOW, "sha256:0"))
    assert not (reading.cause or "").startswith("our reader failed"), reading.cause
    for fact in reading.facts:
        event_row(fact, "gateway", NOW)
    assert "\0" not in reading.notice.id + reading.notice.type
    assert (reading.notice.id + reading.notice.type).encode()


@fuzz
@given(document=st.sampled_from(EVENTS).flatmap(mutated))
def test_a_changed_event_is_read_or_unreadable_and_never_stops_a_journey(document: Any) -> None:
    body = json.dumps(document).encode()
    with contextlib.suppress(Unreadable):
        read_event(body)
    try:
        envelope = Envelope.from_bytes(body)
    except Unreadable:
        return
    assert json.dumps(journeys.stored(envelope).data, allow_nan=False).encode()
    facts.merge({}, journeys._occurrence(envelope))


HEADER = st.lists(
    st.sampled_from(
        [b"t=", b"v1=", b"v0=", b",", b"=", b"1700000000", b"0" * 64, b"f" * 64, b" ", b"\t", b"-1", b"1e9"]
    )
    | st.binary(max_size=6),
    max_size=12,
).map(b"".join)


@fuzz
@given(header=HEADER, body=st.binary(max_size=50))
def test_no_signature_header_is_more_than_a_wrong_one(header: bytes, body: bytes) -> None:
    for verify in (
        lambda: verify_stripe(body, header, [b"whsec_x"], 1_700_000_000.0),
        lambda: verify_razorpay(body, header, [b"x"]),
    ):
        with pytest.raises(SignatureError):
            verify()
