"""Changes of plan over random times: what is charged and credited is the price of the time, and not a cent else."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plan_changes import PlanChange
from billing.prorating import TICK, unused, worth
from billing.providers.money import step_of
from billing.subscriptions import Period

START = datetime(2027, 1, 31, 10, tzinfo=UTC)
MONTH = timedelta(days=28)
CURRENCIES = st.sampled_from(["EUR", "JPY", "KWD"])
MOMENTS = st.lists(st.timedeltas(timedelta(), MONTH), max_size=12).map(sorted)


def period(number: int, price: int, lasts: timedelta = MONTH) -> Period:
    start = START + (number - 1) * MONTH
    return Period(
        purchase_id=UUID(int=1),
        number=number,
        starts_at=start,
        ends_at=start + lasts,
        lasts=lasts,
        price=price,
        payment_id=UUID(int=number),
        opened_at=start,
    )


@given(st.data(), CURRENCIES, MOMENTS)
def test_no_cent_is_lost_or_made_by_any_changes_at_any_times(
    data: st.DataObject, currency: str, moments: list[timedelta]
) -> None:
    """`paid` is the price less what is credited, plus what is charged, change after change; `exact` is the integral of
    the prices over the time. Each change rounds twice, each time by half of what can be paid at most."""
    step = step_of(currency)
    prices = st.integers(0, 10**7).map(lambda price: price * step)
    known = period(1, data.draw(prices))
    paid = known.price
    exact, since = Fraction(), timedelta()
    for moment in moments:
        new = data.draw(prices)
        ((one, left),) = list(unused([known], known.ends_at, START + moment)) or [(known, timedelta())]
        paid += worth(new, left, one.lasts, currency) - worth(one.price, left, one.lasts, currency)
        exact += Fraction(known.price) * ((moment - since) // TICK) / (MONTH // TICK)
        known.price, since = new, moment
    exact += Fraction(known.price) * ((MONTH - since) // TICK) / (MONTH // TICK)
    assert paid % step == 0
    assert abs(paid - exact) <= len(moments) * step


@given(st.integers(0, 10**9), st.timedeltas(timedelta(), MONTH), CURRENCIES)
def test_there_and_back_at_once_costs_nothing_and_the_ends_are_exact(
    units: int, left: timedelta, currency: str
) -> None:
    price = units * step_of(currency)
    assert worth(price, MONTH, MONTH, currency) == price
    assert worth(price, timedelta(), MONTH, currency) == 0
    assert 0 <= worth(price, left, MONTH, currency) <= price
    there = worth(2 * price, left, MONTH, currency) - worth(price, left, MONTH, currency)
    assert there + worth(price, left, MONTH, currency) - worth(2 * price, left, MONTH, currency) == 0


@pytest.mark.parametrize(
    ("at", "ends", "left"),
    [
        (10, 28, {1: 18}),
        (10, 56, {2: 28, 1: 18}),  # the second was paid early
        (10, 33, {1: 23}),  # five days stood still
        (30, 56, {2: 26}),
        (28, 28, {}),
    ],
)
def test_what_is_left_is_counted_from_the_end(at: int, ends: int, left: dict[int, int]) -> None:
    known = [period(2, 0), period(1, 0)] if ends > 50 else [period(1, 0)]
    found = unused(known, START + timedelta(days=ends), START + timedelta(days=at))
    assert {one.number: part.days for one, part in found} == left


@pytest.mark.parametrize(
    ("unused_", "cost", "tax", "charge", "credit"),
    [(450, 1450, 190, 1190, 0), (1450, 450, 190, 0, 1190), (5, 5, 0, 0, 0)],
)
def test_a_difference_is_charged_or_credited_with_its_tax(
    unused_: int, cost: int, tax: int, charge: int, credit: int
) -> None:
    change = PlanChange(
        id=UUID(int=1),
        purchase_id=UUID(int=2),
        state_since=START,
        from_plan="small",
        to_plan="large",
        price_id=UUID(int=3),
        price=2900,
        unused=unused_,
        cost=cost,
        tax={},
        tax_added=tax,
        currency="EUR",
        period=1,
        until=START,
        quoted_at=START,
        expires_at=START,
    )
    assert (change.charge, change.credit) == (charge, credit)
