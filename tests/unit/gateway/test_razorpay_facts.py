"""Razorpay's events in our terms, with every oddity that was seen in its payloads."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.webhooks import SOURCES, Arrival, Reading, read
from keyturn.events import DisputeClosed, PaymentCaptured, PaymentDisputed, PaymentFailed, PaymentRefunded, RefundFailed
from support import provider_webhooks as sent

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ID = {"x-razorpay-event-id": "evt_1"}


def told(document: dict[str, Any], headers: dict[str, str] | None = None) -> Reading:
    return read(SOURCES["razorpay"], Arrival(document, ID if headers is None else headers, NOW, "sha256:0"))


def reading(kind: str, **entities: dict[str, Any]) -> Reading:
    return told(sent.razorpay_event(kind, **entities))


def fact(kind: str, **entities: dict[str, Any]) -> Any:
    found = reading(kind, **entities)
    assert found.cause is None
    [only] = found.facts
    return only


def test_rule_4_all_news_of_one_payment_are_one_fact_under_the_payment_id() -> None:
    payment, order = sent.razorpay_payment(), sent.razorpay_order()
    notices = [
        fact("payment.captured", payment=payment),
        fact("order.paid", payment=payment, order=order),
        reading("subscription.charged", payment=payment, subscription=sent.razorpay_subscription()).facts[0],
    ]
    assert all(isinstance(notice, PaymentCaptured) for notice in notices)
    assert len({notice.id for notice in notices}) == 1
    assert {(notice.payment_key, notice.amount, notice.currency) for notice in notices} == {("pay_1", 49900, "INR")}
    assert notices[2].refs == {"payment": "pay_1", "order": "order_1", "subscription": "sub_1", "customer": "cust_1"}


def test_the_event_id_comes_from_the_header_and_the_mode_is_not_known() -> None:
    captured = fact("payment.captured", payment=sent.razorpay_payment())
    assert (captured.causationid, captured.livemode, captured.subject) == ("evt_1", None, "razorpay:pay_1")
    assert told(sent.razorpay_event("payment.captured"), {}).notice.id == "sha256:0"


@pytest.mark.parametrize(
    "entities",
    [
        {"payment": sent.razorpay_payment()},
        {"payment": sent.razorpay_payment(notes=[]), "order": sent.razorpay_order()},
        {"payment": sent.razorpay_payment(notes=[]), "order": sent.razorpay_order(receipt=f"{sent.PURCHASE}-2")},
        {"payment": sent.razorpay_payment(notes=[]), "subscription": sent.razorpay_subscription()},
        {
            "payment": sent.razorpay_payment(notes=None),
            "order": sent.razorpay_order(notes={"purchase_id": sent.PURCHASE}),
        },
    ],
    ids=["notes", "receipt", "second attempt", "subscription", "order's notes"],
)
def test_the_purchase_is_found_in_notes_and_receipt(entities: dict[str, Any]) -> None:
    assert fact("order.paid", **entities).reference == sent.PURCHASE


def _changed(**changes: Any) -> dict[str, Any]:
    return sent.razorpay_event("payment.captured", payment=sent.razorpay_payment()) | changes


@pytest.mark.parametrize(
    "document",
    [
        sent.razorpay_event("payment.captured", payment=sent.razorpay_payment(captured="1")),
        sent.razorpay_event("payment.captured", payment=sent.razorpay_payment(amount="49900")),
        sent.razorpay_event("payment.captured", payment=sent.razorpay_payment(status="refunded")),
        sent.razorpay_event("payment.captured", payment=sent.razorpay_payment(currency="inr", error_code="")),
        sent.razorpay_event("payment.captured", payment=sent.razorpay_payment(), order=sent.razorpay_order(id="1234")),
        {name: value for name, value in _changed().items() if name not in {"account_id", "contains"}},
        _changed(payload={"payment": {"entity": sent.razorpay_payment()}, "created_at": sent.CREATED}, created_at=None),
    ],
    ids=[
        "captured 1",
        "amount text",
        "refunded since",
        "empty error",
        "id without prefix",
        "bare",
        "created_at inside",
    ],
)
def test_every_shape_that_was_seen_is_read(document: dict[str, Any]) -> None:
    found = told(document)
    assert (found.cause, len(found.facts)) == (None, 1)
    assert found.facts[0].time == datetime.fromtimestamp(sent.CREATED, UTC)


@pytest.mark.parametrize(
    "payment",
    [sent.razorpay_payment(), sent.razorpay_payment(status="authorized"), sent.razorpay_payment(captured="1")],
)
def test_an_authorised_payment_is_no_money_whatever_its_fields_say(payment: dict[str, Any]) -> None:
    assert reading("payment.authorized", payment=payment).facts == ()


@pytest.mark.parametrize("captured", [True, False])
def test_a_failed_payment_is_never_final(*, captured: bool) -> None:
    payment = sent.razorpay_payment(
        status="failed", captured=captured, error_code="BAD_REQUEST_ERROR", error_description="", error_reason="timeout"
    )
    failed = fact("payment.failed", payment=payment)
    assert isinstance(failed, PaymentFailed)
    assert (failed.final, failed.code, failed.reason) == (False, "BAD_REQUEST_ERROR", "timeout")


def test_a_refund_is_booked_once_with_its_own_amount() -> None:
    payment = sent.razorpay_payment(amount_refunded=30000)
    notices = [
        fact("refund.created", refund=sent.razorpay_refund(status=status), payment=payment)
        for status in ("pending", "processed")
    ]
    notices.append(fact("refund.processed", refund=sent.razorpay_refund(), payment=payment))
    assert all(isinstance(notice, PaymentRefunded) for notice in notices)
    assert len({notice.id for notice in notices}) == 1
    assert (notices[0].amount, notices[0].refund_id) == (10000, "rfnd_1")
    assert notices[0].refs == {"refund": "rfnd_1", "payment": "pay_1", "order": "order_1"}


@pytest.mark.parametrize(("kind", "status"), [("refund.failed", "failed"), ("refund.created", "failed")])
def test_a_failed_refund_undoes_the_booking(kind: str, status: str) -> None:
    assert isinstance(fact(kind, refund=sent.razorpay_refund(status=status)), RefundFailed)


@pytest.mark.parametrize(
    ("phase", "inquiry"), [("chargeback", False), ("retrieval", True), ("fraud", True), ("arbitration", False)]
)
@pytest.mark.parametrize("kind", ["created", "action_required", "under_review"])
def test_a_dispute_is_told_with_its_phase(kind: str, phase: str, *, inquiry: bool) -> None:
    dispute = fact(
        f"payment.dispute.{kind}", payment=sent.razorpay_payment(), dispute=sent.razorpay_dispute(phase=phase)
    )
    assert isinstance(dispute, PaymentDisputed)
    assert (dispute.dispute_id, dispute.inquiry, dispute.status) == ("disp_1", inquiry, "open")
    assert dispute.refs == {"dispute": "disp_1", "payment": "pay_1", "order": "order_1"}


@pytest.mark.parametrize(
    ("kind", "fields", "outcome", "deducted"),
    [
        ("won", {"status": "won"}, "won", 0),
        ("lost", {"status": "lost", "amount_deducted": 49900}, "lost", 49900),
        ("lost", {"status": "lost", "amount_deducted": None}, "lost", 49900),
        ("closed", {"status": "closed"}, "closed", 0),
        ("closed", {"status": "closed", "amount_deducted": 49900}, "lost", 49900),
        ("closed", {"status": "won"}, "won", 0),
    ],
)
def test_a_decided_dispute_says_what_it_cost(kind: str, fields: dict[str, Any], outcome: str, deducted: int) -> None:
    closed = fact(f"payment.dispute.{kind}", dispute=sent.razorpay_dispute(**fields))
    assert isinstance(closed, DisputeClosed)
    assert (closed.outcome, closed.amount_deducted) == (outcome, deducted)


@pytest.mark.parametrize(
    "kind",
    [
        "refund.speed_changed",
        "subscription.authenticated",
        "subscription.activated",
        "invoice.paid",
        "payment_link.paid",
        "payment.downtime.started",
        "settlement.processed",
    ],
)
def test_what_is_no_booking_of_its_own_is_kept_and_publishes_nothing(kind: str) -> None:
    assert reading(kind, payment=sent.razorpay_payment()).state == "ignored"


@pytest.mark.parametrize(
    "document",
    [
        sent.razorpay_event("payment.captured"),
        sent.razorpay_event("order.paid", order=sent.razorpay_order()),
        sent.razorpay_event("payment.captured", payment=sent.razorpay_payment(amount=None)),
        sent.razorpay_event("refund.created", payment=sent.razorpay_payment()),
        sent.razorpay_event("payment.captured") | {"payload": []},
        {"event": 7, "payload": {}},
        {},
    ],
)
def test_what_lacks_the_needed_is_unreadable(document: dict[str, Any]) -> None:
    found = told(document)
    assert (found.state, found.facts) == ("unreadable", ())
