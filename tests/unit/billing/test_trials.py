"""Trial days: what they mean for dates, coupons and the set-up fee."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from billing.coupons import Discount
from billing.domain import Purchase
from billing.owing import first_bill
from billing.subscriptions import Subscription
from billing.trials import setup_fee_of, taken_off

NOW = datetime(2027, 3, 27, 2, 30, tzinfo=UTC)


def purchase(**changes: Any) -> Purchase:
    texts = ("product", "plan", "success_url", "cancel_url", "request_hash")
    values: dict[str, Any] = dict.fromkeys(texts, "") | {
        "id": uuid4(),
        "customer_id": uuid4(),
        "price_id": uuid4(),
        "cycle": "monthly",
        "amount": 0,
        "setup_fee": 700,
        "currency": "EUR",
        "provider": "stripe",
        "livemode": False,
        "contact": {},
        "parameters": {},
        "opened_at": NOW,
        "expires_at": NOW,
        "state_since": NOW,
        "coupon": Discount(code="TEN", percent=10, duration=2).model_dump(),
    }
    return Purchase(**values | changes)


def subscription(zone: str | None) -> Subscription:
    return Subscription(
        purchase_id=uuid4(),
        state="trialing",
        state_since=NOW,
        began_at=NOW,
        cycle="monthly",
        plan="small",
        price_id=uuid4(),
        price=1000,
        zone=zone,
    )


@pytest.mark.parametrize(
    ("zone", "end", "then"),
    [
        (None, "2027-03-30T02:30", "2027-04-30T02:30"),
        ("Europe/Berlin", "2027-03-30T01:30", "2027-04-30T01:30"),  # the clocks went forward on the 28th
    ],
)
def test_a_trial_lasts_days_of_the_customers_zone_and_gives_the_paid_periods_their_day(
    zone: str | None, end: str, then: str
) -> None:
    tried = subscription(zone)
    tried.open_trial(NOW, 3)
    assert (tried.number, f"{tried.ends_at:%Y-%m-%dT%H:%M}") == (1, end)
    tried.move_to("active", NOW)
    assert tried.ends_at
    tried.open_period(tried.ends_at)
    assert (tried.number, f"{tried.starts_at:%Y-%m-%dT%H:%M}", f"{tried.ends_at:%Y-%m-%dT%H:%M}") == (2, end, then)


@pytest.mark.parametrize(
    ("days", "off", "fees"), [(0, [100, 100, 0, 0], [700, 0, 0, 0]), (14, [0, 100, 100, 0], [0, 700, 0, 0])]
)
def test_a_trial_uses_nothing_of_a_coupon_up_and_costs_no_setup_fee(days: int, off: list[int], fees: list[int]) -> None:
    bought = purchase(trial_days=days)
    price = {1: 0} if days else {}
    assert [taken_off(bought, number, price.get(number, 1000)) for number in range(1, 5)] == off
    assert [setup_fee_of(bought, number) for number in range(1, 5)] == fees


def test_the_first_bill_of_a_trial_is_nothing_at_all() -> None:
    bill = first_bill(purchase(trial_days=14))
    assert (bill.amount, bill.setup_fee, bill.discount, bill.price) == (0, 0, 0, 0)
    bought = first_bill(purchase(amount=1600, discount=100))
    assert (bought.setup_fee, bought.discount, bought.price) == (700, 100, 1000)
