"""An invoice as its page and its PDF show it."""

import subprocess
import sys
from typing import Any

import pytest
from fontTools.ttLib import TTFont

from gateway.pages.documents import document
from gateway.pages.printing import FONTS, pdf
from gateway.pages.rendering import page

LINE: dict[str, Any] = {
    "text": "Web hosting, Small", "since": "2026-12-01T00:00:00+00:00", "until": "2027-01-01T00:00:00+00:00", "amount": 500,
    "discount": 50, "net": 378, "tax": 72, "rate": "VAT 19 %", "percent": "19", "inclusive": True,
}  # fmt: skip
SAID: dict[str, Any] = {
    "number": "INV-2026-000007", "kind": "invoice", "corrects": None, "livemode": True, "net": 378, "tax": 72, "total": 450,
    "credited": 0, "due": 450, "currency": "EUR", "status": "paid", "issued_at": "2026-12-01T10:00:00+00:00",
    "due_at": "2026-12-08T10:00:00+00:00", "lines": [LINE], "taxes": [{"name": "VAT 19 %", "tax": 72}],
    "seller": {"name": "Shop", "address": ["1 Street"], "country": "DE", "tax_id": "DE1", "email": None, "footer": "Thanks"},
    "buyer": {"email": "ada@example.com", "name": "Ada", "company": None, "country": None, "tax_id": None},
}  # fmt: skip


def test_what_was_charged_is_told_in_words() -> None:
    made = document(SAID)
    assert (made.title, made.seller, made.buyer) == (
        "Invoice",
        ["Shop", "1 Street", "Tax id DE1"],
        ["Ada", "ada@example.com"],
    )
    assert made.facts == [("Number", "INV-2026-000007"), ("Date", "1 December 2026"), ("Status", "Paid")]
    (row,) = made.rows
    assert (row.text, row.more) == ("Web hosting, Small", ["1 December 2026 to 1 January 2027", "€5.00 less €0.50"])
    assert (row.net, row.tax, row.total) == ("€3.78", "€0.72 (19 %)", "€4.50")
    assert made.sums == [("Net", "€3.78"), ("VAT 19 %", "€0.72"), ("Total", "€4.50")]
    assert made.notes == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": "open"}, ("Due", "8 December 2026")),
        ({"status": "open"}, ("Status", "To be paid")),
        ({"kind": "credit_note", "corrects": "INV-2026-000001"}, ("For invoice", "INV-2026-000001")),
        ({"kind": "credit_note", "corrects": "INV-2026-000001"}, ("Status", "Paid back")),
        (
            {"kind": "credit_note", "corrects": "INV-2026-000001", "credited": 300, "due": 150},
            ("Back as credit", "-€3.00"),
        ),
        (
            {"kind": "credit_note", "corrects": "INV-2026-000001", "credited": 300, "due": 150},
            ("Back as money", "€1.50"),
        ),
        ({"credited": 300, "due": 150}, ("Your credit", "-€3.00")),
        ({"credited": 300, "due": 150}, ("Total", "€1.50")),
    ],
)
def test_how_it_stands(changes: dict[str, Any], told: tuple[str, str]) -> None:
    made = document(SAID | changes)
    assert told in [*made.facts, *made.sums]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"livemode": False}, "A test: no real money has moved, and this is no bill."),
        ({"status": "void"}, "This document is void."),
        ({"taxes": [{"name": "VAT, reverse charge", "tax": 0}]}, "Reverse charge: the tax is owed by the customer."),
    ],
)
def test_what_has_to_be_said(changes: dict[str, Any], note: str) -> None:
    assert document(SAID | changes).notes == [note]


@pytest.mark.parametrize(("currency", "total"), [("JPY", "¥450"), ("KWD", "KWD0.450"), ("INR", "₹4.50")])
def test_amounts_have_the_decimals_of_their_currency(currency: str, total: str) -> None:
    assert document(SAID | {"currency": currency}).sums[-1] == ("Total", total)


def test_a_pdf_is_the_same_bytes_each_time_and_another_for_another_invoice() -> None:
    first = pdf(document(SAID))
    assert first.startswith(b"%PDF-")
    assert pdf(document(SAID)) == first
    assert pdf(document(SAID | {"number": "INV-2026-000008"})) != first


@pytest.mark.parametrize(
    "typed",
    [
        "x" * 500,
        "\u202eevil\x00\ud7ff",
        "日本語",
        "Ω" * 100,
        "<b>bold</b> & **more**",
        " \n\n ",
        "👩‍👩‍👧",
        "{{ 7 * 7 }}",
    ],
)
def test_whatever_a_customer_typed_is_printed_and_shown_as_text(typed: str) -> None:
    made = document(
        SAID | {"buyer": SAID["buyer"] | {"name": typed, "company": typed}, "lines": [LINE | {"text": typed}] * 3}
    )
    assert pdf(made).startswith(b"%PDF-")
    html = bytes(page("invoice.html", purchase="p", document=made).body).decode()
    assert "<b>" not in html
    assert ">49<" not in html
    assert "\u202e" not in html


def test_many_lines_go_on_on_the_next_page() -> None:
    assert pdf(document(SAID | {"lines": [LINE] * 80})).count(b"/Type /Page\n") > 2


@pytest.mark.parametrize("font", ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"])
def test_the_fonts_have_latin_greek_cyrillic_and_the_signs_of_currencies(font: str) -> None:
    known = TTFont(FONTS / font).getBestCmap()
    letters = [
        *range(0x20, 0x7F),
        *range(0xA0, 0x180),
        *range(0x391, 0x3A2),
        *range(0x3B1, 0x3CA),
        *range(0x400, 0x460),
    ]
    assert [chr(one) for one in [*letters, *map(ord, "€₹¥£₩₺₽₴₪₫")] if one not in known] == []


def test_what_prints_is_not_loaded_before_something_is_printed() -> None:
    """It takes 17 MB, of the 120 that an idle service may hold."""
    loaded = "import sys, gateway.app; print('fpdf' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
