"""Money that came, and what took it back."""

from typing import Any

from billing.domain import Payment
from billing.reversals import Dispute, Refund, RefundRequest

JSON = dict[str, Any]


def payment(found: Payment) -> JSON:
    return {
        "id": str(found.id),
        "purchase_id": str(found.purchase_id) if found.purchase_id else None,
        "reference": found.reference,
        "provider": found.provider,
        "payment_key": found.payment_key,
        "refs": found.refs,
        "amount": found.amount,
        "currency": found.currency,
        "livemode": found.livemode,
        "state": found.state,
        "period": found.period,
        "review_reason": found.review_reason,
        "found_by": found.found_by,
        "recorded_at": found.recorded_at,
    }


def refund(found: Refund) -> JSON:
    return {
        "refund_id": found.refund_id,
        "payment_id": str(found.payment_id),
        "amount": found.amount,
        "currency": found.currency,
        "state": "failed" if found.failed else "booked",
        "booked_at": found.booked_at,
    }


def refund_request(found: RefundRequest) -> JSON:
    return {
        "id": str(found.id),
        "payment_id": str(found.payment_id),
        "amount": found.amount,
        "credit": found.credit,
        "state": found.state,
        "refund_id": found.refund_id,
        "requested_at": found.requested_at,
    }


def asked_back(made: RefundRequest) -> JSON:
    return {
        "refund_request": str(made.id),
        "status": made.state,
        "amount": made.amount,
        "credit": made.credit,
    }


def dispute(found: Dispute) -> JSON:
    return {
        "dispute_id": found.dispute_id,
        "payment_id": str(found.payment_id),
        "state": found.state,
        "amount": found.amount,
        "currency": found.currency,
        "reason": found.reason,
        "deducted": found.deducted,
        "told_at": found.told_at,
    }
