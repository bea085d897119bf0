"""Invoices: what was charged to whom by whom, as it was then. Pure: no database.

One is immutable but for its state: nothing that changes later, in the catalogue or of the customer, changes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from billing.domain import moves
from billing.taxes import Charge, Line, Seller, told

InvoiceKind = Literal["invoice", "credit_note"]
InvoiceState = Literal["open", "paid", "void"]

NEXT: Mapping[str, frozenset[str]] = {
    "open": frozenset({"paid", "void"}),
    "paid": frozenset({"void"}),  # of a credit note alone: its refund failed
    "void": frozenset(),
}


@dataclass(kw_only=True, eq=False)
class Invoice:
    """`source`: what it is for, once for each purchase as long as it is not void. `credited` of the total is paid by
    the customer's credit, the rest is `due`. A credit note `corrects` an invoice; its amounts are what went back."""

    id: UUID
    kind: InvoiceKind
    number: str
    purchase_id: UUID
    customer_id: UUID
    source: str
    period: int | None
    livemode: bool
    currency: str
    net: int
    tax: int
    total: int
    credited: int
    state: InvoiceState
    issued_at: datetime
    due_at: datetime
    paid_at: datetime | None = None
    payment_id: UUID | None = None
    corrects: str | None = None
    seller: dict[str, Any]
    buyer: dict[str, Any]
    lines: list[dict[str, Any]]

    def move_to(self, state: InvoiceState) -> bool:
        if not moves(self.kind, NEXT, self.state, state):
            return False
        self.state = state
        return True

    @property
    def due(self) -> int:
        return self.total - self.credited


def series_of(seller: Seller, kind: InvoiceKind, at: datetime, *, livemode: bool) -> str:
    """Each year has its own, and so has what is only tried out."""
    prefix = seller.series if kind == "invoice" else seller.credit_series
    return f"{'' if livemode else 'TEST-'}{prefix}-{at.year}"


def numbered(series: str, place: int) -> str:
    return f"{series}-{place:06}"


def period_source(number: int) -> str:
    return f"period-{number}"


def lines_of(charged: Charge) -> list[dict[str, Any]]:
    """As they are kept: with the rate that was charged on each."""
    return [_kept(line, charged) for line in charged.lines]


def taxes_in(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How much tax of which name and rate."""
    found: dict[str, int] = {}
    for line in lines:
        if line["rate"]:
            found[line["rate"]] = found.get(line["rate"], 0) + line["tax"]
    return found


def _kept(line: Line, charged: Charge) -> dict[str, Any]:
    item, rate = line.item, charged.rate
    return {
        "text": item.text,
        "since": item.since.isoformat() if item.since else None,
        "until": item.until.isoformat() if item.until else None,
        "amount": item.amount,
        "discount": item.discount,
        "net": line.net,
        "tax": line.tax,
        "rate": told(rate),
        "percent": f"{rate.percent.normalize():f}",
        "inclusive": rate.inclusive,
    }
