"""What the next period costs."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from billing.coming import coming
from billing.domain import Purchase

NOW = datetime(2026, 12, 1, tzinfo=UTC)
TEN = {"code": "TEN", "percent": 10, "amount": None}
ADDED = {"name": "VAT", "percent": "20", "inclusive": False}


def purchase(**more: Any) -> Purchase:
    values: dict[str, Any] = {"id": UUID(int=1), "customer_id": UUID(int=2), "product": "shop", "plan": "small"}
    values |= {"price_id": UUID(int=3), "cycle": "monthly", "amount": 900, "currency": "EUR", "provider": "stripe"}
    values |= {"livemode": False, "contact": {}, "parameters": {}, "success_url": "", "cancel_url": ""}
    values |= {"request_hash": "", "opened_at": NOW, "expires_at": NOW, "state_since": NOW}
    return Purchase(**(values | more))


@pytest.mark.parametrize(
    ("duration", "number", "expected"),
    [
        ("first", 0, (900, 900, 0)),
        ("first", 1, (900, 900, 0)),
        (3, 0, (900, 810, 2)),
        (3, 1, (900, 810, 2)),
        (3, 2, (900, 810, 1)),
        (3, 3, (900, 900, 0)),
        ("always", 77, (900, 810, "always")),
    ],
)
def test_a_coupon_counts_for_its_periods(duration: Any, number: int, expected: tuple[Any, ...]) -> None:
    found = coming(purchase(coupon=TEN | {"duration": duration}), number, 900)
    assert (found.full_price, found.next_price, found.discounted) == expected


def test_after_a_trial_the_coupons_first_period_and_the_set_up_fee_come() -> None:
    bought = purchase(trial_days=14, setup_fee=500, coupon=TEN | {"duration": "first"})
    assert coming(bought, 1, 900).said == {"cycle": "monthly", "full_price": 900, "next_price": 1310, "discounted": 1}
    assert coming(bought, 2, 900).said == {"cycle": "monthly", "full_price": 900, "next_price": 900, "discounted": 0}


def test_tax_that_is_added_is_part_of_it() -> None:
    assert coming(purchase(tax=ADDED), 4, 900).said == {
        "cycle": "monthly",
        "full_price": 1080,
        "next_price": 1080,
        "discounted": 0,
    }
