"""Stripe's events in our terms, in the shapes of current and older API versions."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.webhooks import SOURCES, Arrival, Reading, read
from keyturn.events import (
    CheckoutExpired,
    DisputeClosed,
    FraudWarned,
    MandateSaved,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    RefundFailed,
)
from support import provider_webhooks as sent

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def reading(kind: str, thing: dict[str, Any], **envelope: Any) -> Reading:
    return read(SOURCES["stripe"], Arrival(sent.stripe_event(kind, thing, **envelope), {}, NOW, "sha256:0"))


def fact(kind: str, thing: dict[str, Any], **envelope: Any) -> Any:
    found = reading(kind, thing, **envelope)
    assert found.cause is None
    [only] = found.facts
    return only


def test_a_paid_session_is_a_captured_payment_under_the_session_id() -> None:
    paid = fact("checkout.session.completed", sent.stripe_session(), id="evt_7", livemode=True)
    assert isinstance(paid, PaymentCaptured)
    assert (paid.payment_key, paid.amount, paid.currency) == ("cs_test_1", 4900, "EUR")
    assert (paid.subject, paid.causationid, paid.livemode) == ("stripe:cs_test_1", "evt_7", True)
    assert paid.reference == sent.PURCHASE
    assert paid.refs == {"session": "cs_test_1", "payment_intent": "pi_1", "customer": "cus_1"}
    assert paid.time == datetime.fromtimestamp(sent.CREATED, UTC)


def test_money_of_an_account_that_is_connected_to_ours_is_no_payment_to_us() -> None:
    """Whoever holds it could name a purchase of ours in what they pay to themselves."""
    theirs = reading("checkout.session.completed", sent.stripe_session(), account="acct_theirs")
    assert (theirs.facts, theirs.state) == ((), "ignored")
    assert reading("checkout.session.completed", sent.stripe_session(), account=None).state == "read"


def test_rule_4_session_and_invoice_of_one_subscription_payment_are_one_fact() -> None:
    session = sent.stripe_session(mode="subscription", invoice="in_1", subscription="sub_1", payment_intent=None)
    notices = [
        fact("checkout.session.completed", session),
        fact("invoice.paid", sent.stripe_invoice()),
        fact("invoice.payment_succeeded", sent.stripe_old_invoice()),
    ]
    assert len({notice.id for notice in notices}) == 1
    assert {notice.payment_key for notice in notices} == {"in_1"}


def test_a_delayed_payment_is_the_same_fact_whichever_event_tells_of_it() -> None:
    session = sent.stripe_session()
    told = [fact(f"checkout.session.{name}", session) for name in ("completed", "async_payment_succeeded")]
    assert told[0].id == told[1].id


@pytest.mark.parametrize(
    ("status", "mode", "paid"),
    [
        ("paid", "payment", True),
        ("unpaid", "payment", False),
        ("no_payment_required", "payment", True),
        ("no_payment_required", "subscription", True),
        ("no_payment_required", "setup", False),
    ],
)
def test_a_completed_session_is_money_only_when_it_says_so(status: str, mode: str, *, paid: bool) -> None:
    found = reading("checkout.session.completed", sent.stripe_session(payment_status=status, mode=mode))
    assert (found.cause, any(isinstance(one, PaymentCaptured) for one in found.facts)) == (None, paid)


@pytest.mark.parametrize(
    "invoice",
    [
        sent.stripe_invoice(),
        sent.stripe_old_invoice(),
        sent.stripe_old_invoice(subscription={"id": "sub_1", "object": "subscription"}),
        sent.stripe_old_invoice(
            subscription_details=None, lines={"data": [{"metadata": {"purchase_id": sent.PURCHASE}}]}
        ),
        sent.stripe_invoice(
            parent=None,
            metadata={"purchase_id": sent.PURCHASE},
            lines={"data": [{"parent": {"subscription_item_details": {"subscription": "sub_1"}}}]},
        ),
    ],
    ids=["basil", "acacia", "expanded", "2020", "lines"],
)
def test_a_renewal_names_subscription_and_purchase_in_every_version(invoice: dict[str, Any]) -> None:
    paid = fact("invoice.paid", invoice)
    assert (paid.refs["invoice"], paid.refs["subscription"]) == ("in_1", "sub_1")
    assert (paid.refs["payment_intent"], paid.reference) == ("pi_1", sent.PURCHASE) or invoice["parent"] is None
    assert (paid.payment_key, paid.amount, paid.reference) == ("in_1", 4900, sent.PURCHASE)


def test_ends_of_a_checkout_are_told_apart() -> None:
    failed = fact("checkout.session.async_payment_failed", sent.stripe_session(payment_status="unpaid"))
    expired = fact("checkout.session.expired", sent.stripe_session(status="expired"))
    assert isinstance(failed, PaymentFailed)
    assert failed.final
    assert isinstance(expired, CheckoutExpired)
    assert expired.reference == sent.PURCHASE


def test_a_failed_invoice_is_never_final_and_each_attempt_is_its_own_fact() -> None:
    first = fact("invoice.payment_failed", sent.stripe_invoice(attempt_count=1, next_payment_attempt=sent.CREATED))
    last = fact("invoice.payment_failed", sent.stripe_invoice(attempt_count=2))
    assert isinstance(first, PaymentFailed)
    assert (first.final, last.final, first.id == last.id) == (False, False, False)
    assert first.next_attempt_at == datetime.fromtimestamp(sent.CREATED, UTC)
    assert last.next_attempt_at is None


def test_an_invoice_that_needs_the_customer_says_so() -> None:
    asked = fact("invoice.payment_action_required", sent.stripe_invoice())
    assert isinstance(asked, PaymentActionRequired)
    assert asked.refs["subscription"] == "sub_1"


def test_a_declined_card_is_told_only_for_payments_of_ours() -> None:
    intent = {
        "id": "pi_1",
        "metadata": {"purchase_id": sent.PURCHASE},
        "latest_charge": "ch_1",
        "last_payment_error": {"code": "card_declined", "decline_code": "insufficient_funds", "message": "No."},
    }
    declined = fact("payment_intent.payment_failed", intent)
    assert (declined.final, declined.code, declined.reason) == (False, "insufficient_funds", "No.")
    assert not reading("payment_intent.payment_failed", intent | {"metadata": {}}).facts


def test_a_card_that_was_given_is_no_payment() -> None:
    page = {"id": "cs_1", "mode": "setup", "payment_status": "no_payment_required", "setup_intent": "seti_1",
            "customer": "cus_1", "metadata": {"purchase_id": sent.PURCHASE}}  # fmt: skip
    given = fact("checkout.session.completed", page)
    assert isinstance(given, MandateSaved)
    assert given.reference == sent.PURCHASE
    assert given.refs == {"session": "cs_1", "setup_intent": "seti_1", "customer": "cus_1"}


def test_money_that_we_took_ourselves_is_told_by_its_intent_and_no_other() -> None:
    about = {"purchase_id": sent.PURCHASE, "charge": "c1"}
    intent = {"id": "pi_1", "amount_received": 900, "currency": "eur", "latest_charge": "ch_1", "customer": "cus_1"}
    taken = fact("payment_intent.succeeded", intent | {"metadata": about})
    assert (taken.payment_key, taken.amount, taken.currency, taken.reference) == ("pi_1", 900, "EUR", sent.PURCHASE)
    assert taken.refs == {"payment_intent": "pi_1", "charge": "ch_1", "customer": "cus_1", "attempt": "c1"}
    for other in ({}, {"purchase_id": sent.PURCHASE, "checkout": "1"}, {"charge": "c1"}):
        assert not reading("payment_intent.succeeded", intent | {"metadata": other}).facts


@pytest.mark.parametrize("kind", ["refund.created", "refund.updated", "charge.refund.updated"])
@pytest.mark.parametrize("status", ["succeeded", "pending", None])
def test_a_refund_is_booked_with_its_own_amount(kind: str, status: str | None) -> None:
    refund = fact(kind, sent.stripe_refund(status=status))
    assert isinstance(refund, PaymentRefunded)
    assert (refund.refund_id, refund.amount, refund.currency) == ("re_1", 1500, "EUR")
    assert refund.refs == {"refund": "re_1", "charge": "ch_1", "payment_intent": "pi_1"}


def test_all_news_of_one_refund_are_one_fact_and_its_failure_another() -> None:
    booked = [fact(kind, sent.stripe_refund()) for kind in ("refund.created", "refund.updated")]
    booked.append(fact("charge.refunded", sent.stripe_charge(refunds={"data": [sent.stripe_refund()]})))
    failed = fact("refund.failed", sent.stripe_refund(status="failed", failure_reason="lost_or_stolen_card"))
    assert len({notice.id for notice in booked}) == 1
    assert isinstance(failed, RefundFailed)
    assert (failed.reason, failed.id in {notice.id for notice in booked}) == ("lost_or_stolen_card", False)


def test_a_refund_that_waits_for_the_customer_has_not_left() -> None:
    assert reading("refund.created", sent.stripe_refund(status="requires_action")).facts == ()


def test_a_refunded_charge_tells_of_each_embedded_refund_and_never_of_its_sum() -> None:
    refunds = {"object": "list", "data": [sent.stripe_refund(id="re_2", amount=500), sent.stripe_refund()]}
    found = reading("charge.refunded", sent.stripe_charge(refunds=refunds)).facts
    assert [(refund.refund_id, refund.amount) for refund in found if isinstance(refund, PaymentRefunded)] == [
        ("re_2", 500),
        ("re_1", 1500),
    ]
    assert reading("charge.refunded", sent.stripe_charge()).facts == ()


@pytest.mark.parametrize(
    ("status", "inquiry"),
    [
        ("needs_response", False),
        ("under_review", False),
        ("warning_needs_response", True),
        ("never_seen_before", False),
    ],
)
def test_an_open_dispute_is_told_by_its_state(status: str, *, inquiry: bool) -> None:
    dispute = fact("charge.dispute.updated", sent.stripe_dispute(status=status))
    assert isinstance(dispute, PaymentDisputed)
    assert (dispute.status, dispute.inquiry, dispute.amount, dispute.reason) == (status, inquiry, 4900, "fraudulent")
    assert dispute.refs == {"dispute": "dp_1", "charge": "ch_1", "payment_intent": "pi_1"}


@pytest.mark.parametrize(
    ("status", "outcome", "deducted"), [("won", "won", 0), ("lost", "lost", 4900), ("warning_closed", "closed", 0)]
)
def test_a_decided_dispute_says_what_it_cost(status: str, outcome: str, deducted: int) -> None:
    closed = fact("charge.dispute.closed", sent.stripe_dispute(status=status))
    assert isinstance(closed, DisputeClosed)
    assert (closed.outcome, closed.amount_deducted) == (outcome, deducted)


def test_moved_money_is_the_same_fact_as_the_state_it_belongs_to() -> None:
    opened = sent.stripe_dispute()
    created = fact("charge.dispute.created", opened)
    withdrawn = fact("charge.dispute.funds_withdrawn", opened)
    won = fact("charge.dispute.closed", sent.stripe_dispute(status="won"))
    reinstated = fact("charge.dispute.funds_reinstated", sent.stripe_dispute(status="won"))
    assert (created.id, won.id) == (withdrawn.id, reinstated.id)
    assert created.id != won.id


def test_an_early_fraud_warning_is_told() -> None:
    warning = {"id": "issfr_1", "charge": "ch_1", "fraud_type": "unauthorized_use_of_card", "payment_intent": "pi_1"}
    warned = fact("radar.early_fraud_warning.created", warning)
    assert isinstance(warned, FraudWarned)
    assert (warned.warning_id, warned.refs) == ("issfr_1", {"charge": "ch_1", "payment_intent": "pi_1"})


@pytest.mark.parametrize(
    "kind",
    [
        "payment_intent.succeeded",
        "charge.succeeded",
        "invoice_payment.paid",
        "invoice.overpaid",
        "customer.subscription.created",
        "customer.subscription.trial_will_end",
        "invoice.upcoming",
        "something.nobody.knows",
    ],
)
def test_what_is_no_booking_of_its_own_is_kept_and_publishes_nothing(kind: str) -> None:
    found = reading(kind, {"id": "x_1"})
    assert (found.facts, found.state) == ((), "ignored")


@pytest.mark.parametrize(
    ("kind", "thing", "place"),
    [
        ("invoice.paid", sent.stripe_invoice(amount_paid=None), "amount_paid"),
        ("invoice.paid", sent.stripe_invoice(id=None), "id"),
        ("invoice.paid", sent.stripe_invoice(currency="euro"), "currency"),
        ("invoice.paid", {}, "id"),
        ("checkout.session.completed", sent.stripe_session(payment_status=None), "payment_status"),
        ("checkout.session.completed", sent.stripe_session(amount_total=-1), "amount_total"),
        ("charge.dispute.created", sent.stripe_dispute(status=7), "status"),
        ("refund.created", sent.stripe_refund(amount=1.5), "amount"),
        ("", {}, "type"),
    ],
)
def test_what_lacks_the_needed_is_unreadable_and_names_the_place(kind: str, thing: dict[str, Any], place: str) -> None:
    found = reading(kind, thing)
    assert (found.state, found.facts) == ("unreadable", ())
    assert place in str(found.cause)


def test_references_of_other_shops_are_not_ours() -> None:
    session = sent.stripe_session(metadata={"purchase_id": "42"}, client_reference_id="order 17")
    assert fact("checkout.session.completed", session).reference is None


def test_text_that_cannot_be_stored_is_cleaned() -> None:
    refund = sent.stripe_refund(status="failed", failure_reason="a\x00b\ud800c" + "x" * 1000)
    failed = fact("refund.failed", refund)
    assert failed.reason.startswith("a b c")
    assert len(failed.reason) <= 500
    assert failed.to_bytes("gateway")
