"""Invoices and credit."""

from collections.abc import Iterable, Mapping
from typing import Any

from billing.invoices import Invoice, taxes_in

JSON = dict[str, Any]


def invoice(found: Invoice) -> JSON:
    return {
        "number": found.number,
        "kind": found.kind,
        "purchase_id": str(found.purchase_id),
        "customer_id": str(found.customer_id),
        "email": found.buyer["email"],
        "period": found.period,
        "corrects": found.corrects,
        "livemode": found.livemode,
        "net": found.net,
        "tax": found.tax,
        "total": found.total,
        "credited": found.credited,
        "due": found.due,
        "currency": found.currency,
        "status": found.state,
        "issued_at": found.issued_at,
        "due_at": found.due_at,
        "paid_at": found.paid_at,
        "payment_id": str(found.payment_id) if found.payment_id else None,
    }


def whole_invoice(found: Invoice) -> JSON:
    taxes = [{"name": name, "tax": tax} for name, tax in taxes_in(found.lines).items()]
    return {**invoice(found), "seller": found.seller, "buyer": found.buyer, "lines": found.lines, "taxes": taxes}


def balances(found: Mapping[str, int]) -> list[JSON]:
    return [{"currency": currency, "balance": balance} for currency, balance in found.items()]


def credit_balances(rows: Iterable[Any]) -> list[JSON]:
    return [{"currency": row.currency, "balance": row.balance, "left_since": row.left_since} for row in rows]


def left(row: Any) -> JSON:
    """Beside a customer."""
    return {"credit_left": row.balance, "currency": row.currency, "left_since": row.left_since}


def credit(row: Any) -> JSON:
    return {
        "amount": row.amount,
        "currency": row.currency,
        "source": row.source,
        "reason": row.reason,
        "purchase_id": str(row.purchase_id) if row.purchase_id else None,
        "at": row.at,
    }
