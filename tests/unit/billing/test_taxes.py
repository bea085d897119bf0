"""What of a bill is tax: by whose rule, and that no cent is lost or made."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog import parse_catalog
from billing.errors import CatalogError
from billing.invoices import lines_of, taxes_in
from billing.providers.money import step_of
from billing.taxes import Buyer, Charge, Item, Rate, Sale, Seller, TaxRule, charge, rate_of, shared, told

CURRENCIES = st.sampled_from(["JPY", "KRW", "EUR", "USD", "INR", "KWD", "TND"])  # 0, 2 and 3 decimals
PERCENTS = st.decimals(0, 100, places=3)
RATES = st.builds(Rate, name=st.just("VAT"), percent=PERCENTS, inclusive=st.booleans())
AMOUNTS = st.integers(0, 10**12)
SELLER = Seller(name="Shop", country="DE")
RULES = {
    "DE": TaxRule(person=Decimal(19), company=Decimal(16)),
    "FR": TaxRule(person=Decimal("5.5"), company=Decimal(20), reverse_charge=True),
    "IN": TaxRule(name="GST", person=Decimal(18), company=Decimal(18), inclusive=False),
}


@st.composite
def charges(draw: st.DrawFn) -> tuple[list[Item], Rate, str, Charge]:
    currency, rate = draw(CURRENCIES), draw(RATES)
    step = step_of(currency)
    items = []
    for amount in draw(st.lists(AMOUNTS, max_size=6)):
        off = draw(st.integers(0, amount // step)) * step
        items.append(Item("x", amount // step * step, min(off, amount // step * step)))
    return items, rate, currency, charge(items, rate, currency)


@given(charges())
def test_the_lines_add_up_to_what_is_paid_and_nothing_is_negative(
    made: tuple[list[Item], Rate, str, Charge],
) -> None:
    items, rate, currency, found = made
    prices = sum(item.amount - item.discount for item in items)
    assert found.total == prices + found.added
    assert found.total == sum(line.net + line.tax for line in found.lines)
    assert found.total % step_of(currency) == 0
    for line in found.lines:
        price = line.item.amount - line.item.discount
        assert line.net >= 0
        assert line.tax >= 0
        assert (line.net + line.tax if rate.inclusive else line.net) == price


@given(charges())
def test_the_tax_of_a_bill_is_exact_to_half_of_the_smallest_amount_and_of_a_line_to_one(
    made: tuple[list[Item], Rate, str, Charge],
) -> None:
    items, rate, currency, found = made
    part = Fraction(rate.percent) / 100
    of = part / (1 + part) if rate.inclusive else part
    step = 1 if rate.inclusive else step_of(currency)
    exact = of * sum(item.amount - item.discount for item in items)
    assert abs(found.tax - exact) <= Fraction(step, 2)
    for line in found.lines:
        assert abs(line.tax - of * (line.item.amount - line.item.discount)) < 2 * step


@given(st.lists(AMOUNTS, max_size=8), st.integers(0, 10**12), st.sampled_from([1, 10]))
def test_what_is_shared_adds_up_and_exceeds_no_part(weights: list[int], total: int, step: int) -> None:
    weights = [weight * step for weight in weights]
    total = min(total * step, sum(weights))
    parts = shared(total, weights, step)
    assert sum(parts) == total
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))
    assert shared(total, weights, step) == parts


def test_amounts_that_can_be_checked_by_hand() -> None:
    items = [Item("plan", 1000, 100), Item("fee", 333)]
    inclusive = charge(items, Rate(name="VAT", percent=Decimal(19)), "EUR")
    assert [(line.net, line.tax) for line in inclusive.lines] == [(756, 144), (280, 53)]
    assert (inclusive.net, inclusive.tax, inclusive.total, inclusive.added) == (1036, 197, 1233, 0)
    exclusive = charge(items, Rate(name="GST", percent=Decimal(18), inclusive=False), "INR")
    assert [(line.net, line.tax) for line in exclusive.lines] == [(900, 162), (333, 60)]
    assert (exclusive.total, exclusive.added) == (1455, 222)
    dinars = charge([Item("plan", 4990)], Rate(name="VAT", percent=Decimal(5), inclusive=False), "KWD")
    assert (dinars.tax, dinars.total) == (250, 5240)  # 249.5: both providers want the last decimal to be 0
    assert taxes_in(lines_of(inclusive)) == {"VAT 19 %": 197}


@pytest.mark.parametrize(
    ("buyer", "expected"),
    [
        ({}, "VAT 19 %"),
        ({"country": "DE"}, "VAT 19 %"),
        ({"company": "Firm"}, "VAT 16 %"),
        ({"company": "Firm", "tax_id": "DE1", "country": "DE"}, "VAT 16 %"),
        ({"country": "FR"}, "VAT 5.5 %"),
        ({"country": "FR", "tax_id": "FR1"}, "VAT 5.5 %"),
        ({"country": "FR", "company": "Firm"}, "VAT 20 %"),
        ({"country": "FR", "company": "Firm", "tax_id": "FR1"}, "VAT, reverse charge"),
        ({"country": "IN", "company": "Firm", "tax_id": "IN1"}, "GST 18 %"),
        ({"country": "BR"}, None),
    ],
)
def test_who_is_taxed_at_what(buyer: dict[str, Any], expected: str | None) -> None:
    rate = rate_of(Sale(SELLER, RULES, Buyer(email="ada@example.com", **buyer)))
    assert told(rate) == expected
    assert (rate.percent == 0) == (expected is None or "reverse" in expected)


def test_nobody_is_taxed_where_nothing_is_said() -> None:
    assert rate_of(Sale(Seller(), {}, Buyer(email="ada@example.com", country="DE"))) == Rate()
    assert charge([Item("plan", 900)], Rate(), "EUR").tax == 0


SOLD = """\
default: shop
seller: {country: DE}
tax:
  DE: {person: 19, company: 19}
products:
  shop:
    name: Shop
    blueprint: notes
    plans: {small: {name: Small, prices: [{cycle: monthly, currency: EUR, amount: 900}]}}
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("DE: {person", "XX: {person", "catalog.yaml:4: tax.XX: Value error, not a country"),
        ("country: DE", "country: Germany", "catalog.yaml:2: seller.country: Value error, not a country"),
        ("seller: {country: DE}", "seller: {}", "catalog.yaml:3: tax: taxes need the `country` of the `seller`"),
        ("person: 19", "person: 119", "catalog.yaml:4: tax.DE.person: Input should be less than or equal to 100"),
        ("person: 19", "person: 1.2345", "catalog.yaml:4: tax.DE.person: Decimal input should have no more than 3"),
        (", company: 19", "", "catalog.yaml:4: tax.DE.company: Field required"),
    ],
)
def test_faults_are_told_with_their_line(old: str, new: str, told: str) -> None:
    assert parse_catalog(SOLD).tax["DE"].person == 19
    with pytest.raises(CatalogError, match=f"^{told.replace('.', '[.]')}"):
        parse_catalog(SOLD.replace(old, new, 1))
