"""An invoice or credit note as people read it: what its page and its PDF both show."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.pages.rendering import money

TITLES = {"invoice": "Invoice", "credit_note": "Credit note"}
STATES = {"open": "To be paid", "paid": "Paid", "void": "Void"}


@dataclass(frozen=True)
class Row:
    """`more`: the time it is for, and what a coupon took off."""

    text: str
    more: Sequence[str]
    net: str
    tax: str
    total: str


@dataclass(frozen=True)
class Document:
    title: str
    number: str
    issued: datetime
    facts: Sequence[tuple[str, str]]
    seller: Sequence[str]
    buyer: Sequence[str]
    rows: Sequence[Row]
    sums: Sequence[tuple[str, str]]  # the last one is what counts
    notes: Sequence[str]
    footer: str


def document(said: Mapping[str, Any]) -> Document:
    """Of billing's answer."""
    issued = datetime.fromisoformat(said["issued_at"])
    seller = said["seller"]
    return Document(
        title=TITLES[said["kind"]],
        number=said["number"],
        issued=issued,
        facts=list(_facts(said, issued)),
        seller=_lines(seller["name"], *seller["address"], _tax_id(seller), seller["email"]),
        buyer=_lines(said["buyer"]["company"], said["buyer"]["name"], said["buyer"]["email"], *_place(said["buyer"])),
        rows=[_row(line, said["currency"]) for line in said["lines"] if line["amount"]],
        sums=list(_sums(said)),
        notes=list(_notes(said)),
        footer=plain(seller["footer"]),
    )


def plain(text: str | None) -> str:
    """On one line, without characters that turn text around or hide it."""
    kept = (" " if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"} else char for char in text or "")
    return " ".join("".join(kept).split())


def _facts(said: Mapping[str, Any], issued: datetime) -> Iterator[tuple[str, str]]:
    yield "Number", said["number"]
    yield "Date", _day(issued)
    if said["corrects"]:
        yield "For invoice", said["corrects"]
    elif said["status"] == "open":
        yield "Due", _day(datetime.fromisoformat(said["due_at"]))
    yield "Status", "Paid back" if said["corrects"] and said["status"] == "paid" else STATES[said["status"]]


def _row(line: Mapping[str, Any], currency: str) -> Row:
    more = []
    if line["since"] and line["until"]:
        since, until = (datetime.fromisoformat(line[name]) for name in ("since", "until"))
        more.append(f"{_day(since)} to {_day(until)}")
    if line["discount"]:
        more.append(f"{money(line['amount'], currency)} less {money(line['discount'], currency)}")
    tax = f"{money(line['tax'], currency)}" + (f" ({line['percent']} %)" if line["rate"] else "")
    return Row(plain(line["text"]), more, money(line["net"], currency), tax, money(line["net"] + line["tax"], currency))


def _sums(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    def told(amount: int) -> str:
        return money(amount, said["currency"])

    yield "Net", told(said["net"])
    for tax in said["taxes"]:
        yield plain(tax["name"]), told(tax["tax"])
    if said["credited"]:
        yield "Sum", told(said["total"])
        yield "Back as credit" if said["corrects"] else "Your credit", told(-said["credited"])
    yield "Back as money" if said["corrects"] and said["credited"] else "Total", told(said["due"])


def _notes(said: Mapping[str, Any]) -> Iterator[str]:
    if any("reverse charge" in tax["name"] for tax in said["taxes"]):
        yield "Reverse charge: the tax is owed by the customer."
    if said["status"] == "void":
        yield "This document is void."
    if not said["livemode"]:
        yield "A test: no real money has moved, and this is no bill."


def _tax_id(of: Mapping[str, Any]) -> str | None:
    return f"Tax id {of['tax_id']}" if of["tax_id"] else None


def _place(buyer: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return buyer["country"], _tax_id(buyer)


def _lines(*texts: str | None) -> list[str]:
    return [text for text in map(plain, texts) if text]


def _day(at: datetime) -> str:
    return f"{at:%-d %B %Y}"
