"""What coupons take off, and whom they are refused to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from billing.catalog import parse_catalog
from billing.coupons import Coupon, Discount, StoredCoupon, code_of, discount_for, discount_of
from billing.errors import CatalogError
from billing.providers.money import smallest, step_of, written
from keyturn.errors import Problem

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CURRENCIES = st.sampled_from(["JPY", "KRW", "EUR", "USD", "INR", "KWD", "TND"])  # 0, 2 and 3 decimals
PRICES = st.integers(0, 10**12)
DURATIONS = st.one_of(st.sampled_from(["first", "always"]), st.integers(1, 1000))
DISCOUNTS = st.builds(Discount, code=st.just("A1"), percent=st.integers(1, 100), duration=DURATIONS) | st.builds(
    Discount, code=st.just("A1"), amount=st.integers(1, 10**9).map(lambda amount: amount * 10), duration=DURATIONS
)


def percent(off: int, duration: Any = "first") -> Discount:
    return Discount(code="A1", percent=off, duration=duration)


@given(DISCOUNTS, st.integers(1, 2000), PRICES, CURRENCIES)
def test_a_discount_never_exceeds_the_price_and_leaves_what_can_be_paid(
    discount: Discount, number: int, price: int, currency: str
) -> None:
    price -= price % step_of(currency)
    off = discount_for(discount, number, price, currency)
    assert 0 <= off <= price
    assert (price - off) % step_of(currency) == 0


@given(st.integers(1, 100), PRICES, CURRENCIES)
def test_a_percentage_is_exact_to_half_of_the_smallest_payable_amount_and_a_half_is_the_customers(
    off: int, price: int, currency: str
) -> None:
    step = step_of(currency)
    price -= price % step
    error = 100 * discount_for(percent(off), 1, price, currency) - price * off  # in hundredths
    assert -50 * step < error <= 50 * step


@given(PRICES, CURRENCIES)
def test_all_of_it_is_all_of_it(price: int, currency: str) -> None:
    assert discount_for(percent(100), 1, price, currency) == price


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=9), st.integers(1, 100))
def test_a_higher_price_has_no_smaller_discount(prices: list[int], off: int) -> None:
    taken = [discount_for(percent(off), 1, price, "EUR") for price in sorted(prices)]
    assert taken == sorted(taken)


@pytest.mark.parametrize(
    ("off", "price", "currency", "taken"),
    [
        (10, 4900, "EUR", 490),
        (10, 4905, "EUR", 491),  # 490.5
        (10, 4904, "EUR", 490),
        (10, 449900, "INR", 44990),
        (15, 1500, "JPY", 225),
        (33, 50, "JPY", 17),  # 16.5
        (10, 12350, "KWD", 1240),  # 1235, and the last digit must be 0
        (1, 40, "EUR", 0),
    ],
)
def test_percentages_in_currencies_with_two_none_and_three_decimals(
    off: int, price: int, currency: str, taken: int
) -> None:
    assert discount_for(percent(off), 1, price, currency) == taken


@pytest.mark.parametrize(
    ("duration", "discounted"), [("first", {1}), (1, {1}), (3, {1, 2, 3}), ("always", {1, 2, 3, 4, 240})]
)
def test_the_duration_says_which_periods_are_discounted(duration: Any, discounted: set[int]) -> None:
    periods = [1, 2, 3, 4, 240]
    assert {number for number in periods if discount_for(percent(10, duration), number, 4900, "EUR")} == discounted


def test_without_a_coupon_nothing_is_taken_off() -> None:
    assert discount_for(None, 1, 4900, "EUR") == 0


def test_an_amount_larger_than_the_price_takes_the_price() -> None:
    assert discount_for(Discount(code="A1", amount=5000, duration="first"), 1, 4900, "EUR") == 4900


def stored(*, ended: bool = False, since: datetime | None = None, **terms: Any) -> StoredCoupon:
    made = Coupon.model_validate({"percent": 10, "from": since} | terms)
    over = NOW - DAY if ended else None
    return StoredCoupon(code="A1", terms=made, source="catalog", redeemed=0, created_at=NOW, ended_at=over)


@pytest.mark.parametrize(
    ("coupon", "code"),
    [
        (stored(until=NOW), "coupon_expired"),
        (stored(active=False), "coupon_expired"),
        (stored(ended=True), "coupon_expired"),
        (stored(since=NOW + DAY), "coupon_not_yet_valid"),
        (stored(products=["blog"]), "coupon_not_for_product"),
        (stored(currencies=["USD"]), "coupon_not_for_currency"),
        (stored(percent=None, amount={"USD": 500}), "coupon_not_for_currency"),
    ],
)
def test_each_reason_to_refuse_a_coupon_has_its_code(coupon: StoredCoupon, code: str) -> None:
    with pytest.raises(Problem) as refused:
        discount_of(coupon, product="shop", currency="EUR", now=NOW)
    assert (refused.value.code, refused.value.status) == (code, 422)


@pytest.mark.parametrize(
    ("coupon", "given_"),
    [
        (stored(since=NOW, until=NOW + DAY, products=["shop"], currencies=["EUR"]), (10, None)),
        (stored(percent=None, amount={"EUR": 500, "USD": 600}, duration=3), (None, 500)),
    ],
)
def test_what_fits_is_kept_with_the_purchase(coupon: StoredCoupon, given_: tuple[int | None, int | None]) -> None:
    kept = discount_of(coupon, product="shop", currency="EUR", now=NOW)
    assert (kept.percent, kept.amount) == given_
    assert kept.duration == coupon.terms.duration
    assert Discount.model_validate(kept.model_dump()) == kept


@pytest.mark.parametrize("text", ["welcome10", " WELCOME10 ", "Welcome10"])
def test_case_and_blanks_around_a_code_mean_nothing(text: str) -> None:
    assert code_of(text) == "WELCOME10"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "A" * 41,
        "A B",
        "A1\nB2",
        "A1;DROP",
        "-A1",
        "ÄB1",
        "\u017fale10",
        "\u212aEY10",
        "A1\x00",
        "%00",
        "A\u0661\u0662",
    ],
)
def test_what_can_be_no_code_is_none(text: str) -> None:
    assert code_of(text) is None


GOOD = """\
default: shop
products:
  shop:
    name: Shop
    blueprint: sandbox-app
    plans:
      basic:
        name: Basic
        prices:
          - {cycle: one_time, currency: EUR, amount: 4900}
coupons:
  SUMMER:
    percent: 15
    duration: 3
    products: [shop]
    currencies: [EUR]
    limit: 100
    limit_per_customer: 1
    from: 2026-06-01T00:00:00Z
    until: 2026-09-01T00:00:00Z
  FIVE-OFF:
    amount: {EUR: 500, KWD: 1500}
"""


def test_coupons_stand_in_the_catalogue() -> None:
    coupons = parse_catalog(GOOD).coupons
    assert (coupons["SUMMER"].percent, coupons["SUMMER"].duration) == (15, 3)
    assert coupons["SUMMER"].starts == datetime(2026, 6, 1, tzinfo=UTC)
    assert (coupons["FIVE-OFF"].amount, coupons["FIVE-OFF"].duration) == ({"EUR": 500, "KWD": 1500}, "first")
    for coupon in coupons.values():
        assert Coupon.model_validate(coupon.model_dump(mode="json")) == coupon


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("  SUMMER:", "  Summer:", "catalog.yaml:12: coupons.Summer"),
        ("  SUMMER:", "  SUM MER:", "catalog.yaml:12: coupons.SUM MER"),
        ("percent: 15", "percent: 101", "catalog.yaml:13: coupons.SUMMER.percent"),
        ("percent: 15", "percent: 12.5", "catalog.yaml:13: coupons.SUMMER.percent"),
        (
            "percent: 15",
            "amount: {EUR: 5}",
            "catalog.yaml:12: coupons.SUMMER: Value error, the currencies of an amount",
        ),
        ("    percent: 15\n", "", "catalog.yaml:12: coupons.SUMMER: Value error, a coupon has either"),
        ("duration: 3", "duration: 0", "catalog.yaml:14: coupons.SUMMER.duration"),
        ("duration: 3", "duration: twice", "catalog.yaml:14: coupons.SUMMER.duration"),
        ("products: [shop]", "products: [shop, blog]", "coupons.SUMMER.products.1: there is no product 'blog'"),
        ("limit: 100", "limit: 0", "catalog.yaml:17: coupons.SUMMER.limit"),
        ("2026-09-01T00:00:00Z", "2026-05-01T00:00:00Z", "coupons.SUMMER: Value error, `until` must be later"),
        ("2026-09-01T00:00:00Z", "2026-09-01T00:00:00", "catalog.yaml:20: coupons.SUMMER.until"),
        ("KWD: 1500", "KWD: 1505", "coupons.FIVE-OFF: Value error, an amount in KWD must end in 0"),
        ("amount: {EUR: 500, KWD: 1500}", "amount: {}", "catalog.yaml:22: coupons.FIVE-OFF.amount"),
        ("  FIVE-OFF:", "  SUMMER:", "coupons.SUMMER: stands twice"),
    ],
)
def test_each_fault_of_a_coupon_is_named_with_its_line(good: str, bad: str, told: str) -> None:
    assert good in GOOD
    with pytest.raises(CatalogError) as refused:
        parse_catalog(GOOD.replace(good, bad, 1))
    assert told in str(refused.value)


def test_a_coupon_takes_no_word_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        Coupon.model_validate({"percent": 10, "percentage": 20})


@pytest.mark.parametrize(
    ("amount", "currency", "told"),
    [(4900, "EUR", "49.00 EUR"), (5, "EUR", "0.05 EUR"), (500, "JPY", "500 JPY"), (12340, "KWD", "12.340 KWD")],
)
def test_amounts_are_written_with_the_decimals_of_their_currency(amount: int, currency: str, told: str) -> None:
    assert written(amount, currency) == told


@pytest.mark.parametrize(
    ("provider", "currency", "least"),
    [("razorpay", "INR", 100), ("stripe", "EUR", 50), ("stripe", "HUF", 17500), ("stripe", "XAF", 1)],
)
def test_what_a_provider_takes_at_least(provider: str, currency: str, least: int) -> None:
    assert smallest(provider, currency) == least
