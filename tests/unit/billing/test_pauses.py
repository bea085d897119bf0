"""A subscription's clock, and what is due next, while it stands still."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from billing.pausing import why_not
from billing.policy import Level, Policy
from billing.subscriptions import Subscription, with_subscription

NOW = datetime(2027, 3, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def subscription(**changes: Any) -> Subscription:
    known: dict[str, Any] = {"purchase_id": uuid4(), "state_since": NOW, "began_at": NOW}
    known |= {"plan": "small", "price_id": uuid4(), "price": 900}
    new = Subscription(**known | {"cycle": "monthly", "zone": None} | changes)
    new.open_period(NOW)
    return new


@pytest.mark.parametrize(("paid_early", "held", "released"), [(False, 10, 15), (True, 10, 15), (True, 26, 40)])
def test_what_is_paid_lasts_longer_by_the_time_that_it_stood_still(paid_early: bool, held: int, released: int) -> None:
    found = subscription()
    if paid_early:
        found.open_period(NOW)
    end = found.ends_at
    assert end
    found.hold(NOW + held * DAY)
    found.release(NOW + released * DAY)
    assert found.ends_at == end + (released - held) * DAY


def test_what_was_held_before_it_began_is_not_longer_for_it() -> None:
    found = subscription(held_since=NOW - 5 * DAY)
    end = found.ends_at
    assert end
    found.release(NOW + DAY)
    assert found.ends_at == end + DAY


def test_of_a_pause_its_end_is_announced_and_then_comes() -> None:
    found, policy = subscription(), Policy(pause_days=60, renewal_days=7)
    found.pause(NOW, policy.pause_days)
    found.hold(NOW)
    assert found.next_step(policy, asked=False) == NOW + 53 * DAY
    found.resume_told = True
    assert found.next_step(policy, asked=False) == NOW + 60 * DAY
    found.move_to("ended", NOW)
    assert found.next_step(policy, asked=False) is None


@pytest.mark.parametrize(
    ("of_money", "entitled"),
    [
        (Level("on"), Level("suspended", ("paused",))),
        (Level("suspended", ("dispute",)), Level("suspended", ("dispute", "paused"))),
        (Level("ended", ("refunded",)), Level("ended", ("refunded",))),
    ],
)
def test_a_pause_stands_beside_the_other_reasons(of_money: Level, entitled: Level) -> None:
    found = subscription()
    found.pause(NOW, 9)
    assert with_subscription(of_money, found) == entitled


def test_what_can_be_paused() -> None:
    assert why_not(subscription(), 90) is None
    assert why_not(subscription(), 0)
    assert why_not(subscription(number=-1), 90)  # not begun
    for changes in ({"state": "trialing"}, {"state": "past_due"}, {"cancel_at_period_end": True}):
        assert why_not(subscription(**changes), 90)
