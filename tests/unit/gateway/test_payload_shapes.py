"""Whole webhooks as the providers send them, written down in `tests/payloads`, and what each of them says."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.webhooks import SOURCES, Arrival, Reading, read
from gateway.webhooks.payload import parse
from keyturn.events import Provider
from support.provider_webhooks import PURCHASE

PAYLOADS = Path(__file__).parents[2] / "payloads"
NOW = datetime(2026, 12, 2, 13, tzinfo=UTC)
START, END = datetime(2026, 12, 2, 12, tzinfo=UTC), datetime(2027, 1, 2, 12, tzinfo=UTC)
SPAN = {"period_from": START, "period_until": END}

INVOICE, SUBSCRIPTION, INTENT = (
    "in_1Rk7wUQxLkeyturn5a8Xn2Yd",
    "sub_1RYKeyturnQxL9sWd3mVt7",
    "pi_3Rk8uVQxLkeyturn0aZb91Kf",
)
STRIPE = {"customer": "cus_SfKeyturn7Qm2Lp", "subscription": SUBSCRIPTION}
BILLED = STRIPE | {"invoice": INVOICE}
RENEWED = {"payment_key": INVOICE, "amount": 4900, "currency": "EUR", "reference": PURCHASE} | SPAN
CHANGED = {"subscription_id": SUBSCRIPTION, "reference": PURCHASE, "refs": STRIPE} | SPAN

PAYMENT, CHARGED = "pay_PqKeyturn0A1b2", "sub_PqKeyturn6E7f8"
RAZORPAY = {"payment": PAYMENT, "order": "order_PqKeyturn9Z8y7"}
PAID = {"payment_key": PAYMENT, "amount": 49900, "currency": "INR", "reference": PURCHASE, "refs": RAZORPAY}
OF_SUBSCRIPTION = {"subscription": CHARGED, "customer": "cust_PqKeyturn4I5j6"}
CYCLE = {"payment": PAYMENT, "order": "order_PqKeyturnSub01", "invoice": "inv_PqKeyturn5O6p7"}
STANDS = {"subscription_id": CHARGED, "reference": PURCHASE, "refs": OF_SUBSCRIPTION}

SAYS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "stripe/invoice_paid_since_2025": [("PaymentCaptured", RENEWED | {"refs": BILLED})],
    "stripe/invoice_paid_since_2025_with_payments": [
        ("PaymentCaptured", RENEWED | {"refs": BILLED | {"payment_intent": INTENT}})
    ],
    "stripe/invoice_paid_before_2025": [
        (
            "PaymentCaptured",
            RENEWED | {"refs": BILLED | {"payment_intent": INTENT, "charge": "ch_3Rk8uVQxLkeyturn0mNp4Qr2"}},
        )
    ],
    "stripe/invoice_paid_with_setup_fee": [("PaymentCaptured", RENEWED | {"amount": 5800, "refs": BILLED})],
    "stripe/invoice_paid_for_a_moved_day": [],
    "stripe/invoice_failed_since_2025": [("PaymentFailed", {"final": False, "reference": PURCHASE, "refs": BILLED})],
    "stripe/invoice_failed_before_2025": [
        ("PaymentFailed", {"final": False, "reference": PURCHASE, "refs": BILLED | {"payment_intent": INTENT}})
    ],
    "stripe/subscription_past_due_since_2025": [
        ("ProviderSubscriptionChanged", CHANGED | {"status": "past_due", "cancel_at_period_end": False})
    ],
    "stripe/subscription_past_due_before_2025": [
        ("ProviderSubscriptionChanged", CHANGED | {"status": "past_due", "cancel_at_period_end": False})
    ],
    "stripe/subscription_cancelled_in_the_portal": [
        ("ProviderSubscriptionChanged", CHANGED | {"status": "active", "cancel_at_period_end": True})
    ],
    "stripe/subscription_moved": [("ProviderSubscriptionChanged", CHANGED | {"status": "active"})],
    "stripe/subscription_paused": [("ProviderSubscriptionChanged", CHANGED | {"status": "paused"})],
    "stripe/subscription_deleted": [("ProviderSubscriptionEnded", {"reference": PURCHASE, "completed": False})],
    "stripe/subscription_never_paid": [("ProviderSubscriptionEnded", {"subscription_id": SUBSCRIPTION})],
    "razorpay/notes_as_list": [("PaymentCaptured", PAID)],
    "razorpay/notes_as_object": [("PaymentCaptured", PAID)],
    "razorpay/captured_as_text": [("PaymentCaptured", PAID)],
    "razorpay/amount_as_text": [("PaymentCaptured", PAID)],
    "razorpay/authorized_with_captured": [],
    "razorpay/authorized_with_status_captured": [],
    "razorpay/failed_with_captured": [
        ("PaymentFailed", {"final": False, "code": "BAD_REQUEST_ERROR", "reference": PURCHASE, "refs": RAZORPAY})
    ],
    "razorpay/created_at_inside_payload": [("PaymentCaptured", PAID)],
    "razorpay/key_with_a_dot": [],
    "razorpay/id_without_prefix": [],
    "razorpay/id_without_prefix_in_paid_order": [("PaymentCaptured", PAID)],
    "razorpay/errors_as_empty_text": [("PaymentCaptured", PAID)],
    "razorpay/without_account": [("PaymentCaptured", PAID)],
    "razorpay/without_contains": [("PaymentCaptured", PAID)],
    "razorpay/refund_created_and_processed": [
        ("PaymentRefunded", {"amount": 10000, "refs": RAZORPAY | {"refund": "rfnd_PqKeyturn3C4d5"}})
    ],
    "razorpay/captured_after_partial_refund": [("PaymentCaptured", PAID)],
    "razorpay/subscription_charged": [
        ("PaymentCaptured", PAID | {"refs": OF_SUBSCRIPTION | CYCLE} | SPAN),
        ("ProviderSubscriptionChanged", STANDS | {"status": "active", "refs": OF_SUBSCRIPTION | CYCLE} | SPAN),
    ],
    "razorpay/subscription_charge_captured": [("PaymentCaptured", PAID | {"reference": None, "refs": CYCLE})],
    "razorpay/subscription_pending": [("ProviderSubscriptionChanged", STANDS | SPAN | {"status": "past_due"})],
    "razorpay/subscription_halted": [("ProviderSubscriptionChanged", STANDS | SPAN | {"status": "unpaid"})],
    "razorpay/subscription_paused": [("ProviderSubscriptionChanged", STANDS | SPAN | {"status": "paused"})],
    "razorpay/subscription_resumed": [("ProviderSubscriptionChanged", STANDS | SPAN | {"status": "active"})],
    "razorpay/subscription_cancelled": [("ProviderSubscriptionEnded", STANDS | {"completed": False})],
    "razorpay/subscription_completed": [
        ("PaymentCaptured", PAID | {"refs": OF_SUBSCRIPTION | CYCLE}),
        ("ProviderSubscriptionEnded", {"subscription_id": CHARGED, "completed": True}),
    ],
    "razorpay/subscription_without_notes": [
        (
            "ProviderSubscriptionChanged",
            {"reference": None, "status": "active", "period_until": None, "cancel_at_period_end": None},
        )
    ],
}


def told(name: str) -> Reading:
    document = parse((PAYLOADS / f"{name}.json").read_bytes())
    headers = {"x-razorpay-event-id": "evt_PqKeyturn1"}
    source = SOURCES[cast("Provider", name.partition("/")[0])]
    return read(source, Arrival(document, headers, NOW, "sha256:0"))


@pytest.mark.parametrize("name", SAYS)
def test_a_whole_payload_says_what_it_says(name: str) -> None:
    found = told(name)
    assert found.cause is None
    said = [
        (type(fact).__name__, fact.model_dump(include=set(wanted)))
        for fact, (_, wanted) in zip(found.facts, SAYS[name], strict=True)
    ]
    assert said == SAYS[name]
    assert found.notice.time.date() == START.date()


def test_every_payload_is_read() -> None:
    assert sorted(SAYS) == sorted(f"{file.parent.name}/{file.stem}" for file in PAYLOADS.glob("*/*.json"))


@pytest.mark.parametrize("shape", ["invoice_paid", "invoice_failed"])
def test_rule_4_both_shapes_of_an_invoice_are_one_fact(shape: str) -> None:
    (old,), (new,) = told(f"stripe/{shape}_before_2025").facts, told(f"stripe/{shape}_since_2025").facts
    assert (old.id, old.subject) == (new.id, new.subject)


def test_a_charged_cycle_and_its_captured_payment_are_one_fact() -> None:
    charged, captured = told("razorpay/subscription_charged").facts, told("razorpay/subscription_charge_captured").facts
    assert charged[0].id == captured[0].id
