"""Webhooks as the providers send them: their shapes, old and new, and their signatures."""

import hmac
import json
import time
from collections.abc import Mapping
from hashlib import sha256
from itertools import count
from typing import Any

STRIPE_SECRET = "whsec_test_0123456789abcdef"
RAZORPAY_SECRET = "razorpay-webhook-secret"
PURCHASE = "0190a4f2-7c3e-7d1a-9b2c-3d4e5f607182"
CREATED = 1_790_000_000

JSON = dict[str, Any]
Headers = dict[str, str]

_numbers = count(1)


def body_of(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def stripe_signature(body: bytes, *, secret: str = STRIPE_SECRET, at: float | None = None) -> str:
    stamp = str(int(time.time() if at is None else at))
    return f"t={stamp},v1={_mac(secret, stamp.encode() + b'.' + body)}"


def stripe_headers(body: bytes, *, secret: str = STRIPE_SECRET, at: float | None = None) -> Headers:
    signature = stripe_signature(body, secret=secret, at=at)
    return {"content-type": "application/json; charset=utf-8", "stripe-signature": signature}


def razorpay_headers(body: bytes, *, event_id: str | None = "evt_1", secret: str = RAZORPAY_SECRET) -> Headers:
    headers = {"content-type": "application/json", "x-razorpay-signature": _mac(secret, body)}
    return headers | ({"x-razorpay-event-id": event_id} if event_id else {})


def _mac(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, sha256).hexdigest()


def stripe_event(kind: str, thing: Mapping[str, Any], **envelope: Any) -> JSON:
    """The envelope of a snapshot event."""
    return {
        "id": f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": CREATED,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        "data": {"object": dict(thing)},
    } | envelope


def stripe_session(**fields: Any) -> JSON:
    return {
        "id": "cs_test_1",
        "object": "checkout.session",
        "amount_total": 4900,
        "client_reference_id": PURCHASE,
        "currency": "eur",
        "customer": "cus_1",
        "invoice": None,
        "livemode": False,
        "metadata": {"purchase_id": PURCHASE},
        "mode": "payment",
        "payment_intent": "pi_1",
        "payment_status": "paid",
        "status": "complete",
        "subscription": None,
    } | fields


def stripe_invoice(**fields: Any) -> JSON:
    """As since 2025-03-31.basil."""
    return {
        "id": "in_1",
        "object": "invoice",
        "amount_due": 4900,
        "amount_paid": 4900,
        "attempt_count": 1,
        "currency": "eur",
        "customer": "cus_1",
        "metadata": {},
        "next_payment_attempt": None,
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": "sub_1", "metadata": {"purchase_id": PURCHASE}},
        },
        "payments": {"object": "list", "data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]},
        "lines": {"object": "list", "data": [{"id": "il_1", "metadata": {}}]},
        "status": "paid",
    } | fields


def stripe_old_invoice(**fields: Any) -> JSON:
    """As before 2025-03-31: subscription, intent and charge at the top level."""
    invoice = stripe_invoice(subscription="sub_1", payment_intent="pi_1", charge="ch_1", paid=True)
    del invoice["parent"], invoice["payments"]
    return invoice | {"subscription_details": {"metadata": {"purchase_id": PURCHASE}}} | fields


def stripe_refund(**fields: Any) -> JSON:
    return {
        "id": "re_1",
        "object": "refund",
        "amount": 1500,
        "charge": "ch_1",
        "currency": "eur",
        "metadata": {},
        "payment_intent": "pi_1",
        "reason": None,
        "status": "succeeded",
    } | fields


def stripe_charge(**fields: Any) -> JSON:
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 4900,
        "amount_refunded": 1500,
        "currency": "eur",
        "metadata": {"purchase_id": PURCHASE},
        "payment_intent": "pi_1",
        "refunded": False,
    } | fields


def stripe_dispute(**fields: Any) -> JSON:
    return {
        "id": "dp_1",
        "object": "dispute",
        "amount": 4900,
        "balance_transactions": [],
        "charge": "ch_1",
        "currency": "eur",
        "metadata": {},
        "payment_intent": "pi_1",
        "reason": "fraudulent",
        "status": "needs_response",
    } | fields


def razorpay_event(kind: str, **entities: Mapping[str, Any]) -> JSON:
    return {
        "entity": "event",
        "account_id": "acc_1",
        "event": kind,
        "contains": list(entities),
        "payload": {name: {"entity": dict(entity)} for name, entity in entities.items()},
        "created_at": CREATED,
    }


def razorpay_payment(**fields: Any) -> JSON:
    return {
        "id": "pay_1",
        "entity": "payment",
        "amount": 49900,
        "currency": "INR",
        "status": "captured",
        "order_id": "order_1",
        "invoice_id": None,
        "captured": True,
        "email": "customer@example.com",
        "contact": "+919999999999",
        "notes": {"purchase_id": PURCHASE},
        "fee": 1176,
        "tax": 180,
        "error_code": None,
        "error_description": None,
        "error_reason": None,
        "created_at": CREATED,
    } | fields


def razorpay_order(**fields: Any) -> JSON:
    return {
        "id": "order_1",
        "entity": "order",
        "amount": 49900,
        "amount_paid": 49900,
        "currency": "INR",
        "receipt": PURCHASE,
        "status": "paid",
        "notes": [],
    } | fields


def razorpay_refund(**fields: Any) -> JSON:
    return {
        "id": "rfnd_1",
        "entity": "refund",
        "amount": 10000,
        "currency": "INR",
        "payment_id": "pay_1",
        "notes": [],
        "status": "processed",
    } | fields


def razorpay_dispute(**fields: Any) -> JSON:
    return {
        "id": "disp_1",
        "entity": "dispute",
        "payment_id": "pay_1",
        "amount": 49900,
        "currency": "INR",
        "amount_deducted": 0,
        "reason_code": "chargeback_authorization",
        "status": "open",
        "phase": "chargeback",
    } | fields


def razorpay_subscription(**fields: Any) -> JSON:
    return {
        "id": "sub_1",
        "entity": "subscription",
        "plan_id": "plan_1",
        "customer_id": "cust_1",
        "status": "active",
        "notes": {"purchase_id": PURCHASE},
    } | fields
