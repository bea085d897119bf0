"""What happens to a subscription that nobody pays, while billing comes and goes."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.policy import Level, Policy
from billing.subscriptions import Subscription, with_subscription

BEGIN = datetime(2027, 1, 31, 10, tzinfo=UTC)
TOLD: dict[str, tuple[str, str]] = {"suspend": ("fall_behind", "past_due"), "give_up": ("suspend", "suspended")}


def begun(policy: Policy) -> Subscription:
    subscription = Subscription(
        purchase_id=UUID(int=1),
        state_since=BEGIN,
        began_at=BEGIN,
        cycle="monthly",
        plan="small",
        price_id=UUID(int=2),
        price=900,
        zone=None,
    )
    subscription.open_period(BEGIN)
    subscription.next_step_at = subscription.next_step(policy, asked=False)
    return subscription


class Billing:
    """Takes the steps that are due whenever it runs, and remembers what it told, and which date."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.subscription = begun(policy)
        self.asked = False
        self.told: list[tuple[str, datetime, datetime | None]] = []  # act, when, the consequence that it told

    def run(self, now: datetime) -> None:
        while (due := self.subscription.next_step(self.policy, asked=self.asked)) and due <= now:
            self._take(now)

    def _take(self, now: datetime) -> None:
        subscription, act = self.subscription, self.subscription.next_act(asked=self.asked)
        match act:
            case "ask":
                self.asked = True
            case "fall_behind":
                subscription.fall("past_due", self.policy, now)
            case "warn":
                subscription.warn(self.policy, now)
            case "suspend":
                subscription.fall("suspended", self.policy, now)
                subscription.hold(now)
            case _:
                subscription.move_to("ended", now)
        self.told.append((act, now, subscription.consequence_at))

    def when(self, act: str) -> datetime:
        return next(now for one, now, _ in self.told if one == act)


def policies() -> st.SearchStrategy[Policy]:
    days = st.integers(0, 20)
    return st.builds(
        Policy,
        renewal_days=st.integers(0, 27),
        grace_days=days,
        suspension_warning_days=days,
        delete_after_nonpayment_days=st.integers(1, 20),
        deletion_warning_days=st.integers(1, 20),
    )


# In hours: billing runs again after so many, and after days of outage.
PAUSES = st.lists(st.integers(1, 24 * 40), min_size=1, max_size=30)


@given(policy=policies(), pauses=PAUSES)
def test_whatever_the_outages_every_consequence_is_told_far_enough_ahead_and_comes_once(
    policy: Policy, pauses: list[int]
) -> None:
    billing, now = Billing(policy), BEGIN
    for hours in [*pauses, *[24] * 150]:
        now += timedelta(hours=hours)
        billing.run(now)
        before = list(billing.told)
        billing.run(now)
        assert billing.told == before
    assert [act for act, *_ in billing.told if act != "warn"] == ["ask", "fall_behind", "suspend", "give_up"]
    for consequence, (fall, state) in TOLD.items():
        wait = policy.grace_days if state == "past_due" else policy.delete_after_nonpayment_days
        ahead = policy.suspension_warning_days if state == "past_due" else policy.deletion_warning_days
        came = billing.when(consequence)
        acts = [act for act, *_ in billing.told]
        told = [billing.told[index][1:] for index in range(acts.index(fall), acts.index(consequence))]
        said_at, date = told[-1] if told else (came, came)
        assert date
        assert came >= date
        assert came - said_at >= timedelta(days=min(wait, ahead))
        assert came - billing.when(fall) >= timedelta(days=wait)
        assert len(told) <= 2
    assert billing.when("fall_behind") >= datetime(2027, 2, 28, 10, tzinfo=UTC)


def test_who_watches_the_clock_is_told_at_the_day() -> None:
    billing = Billing(Policy())
    for hour in range(24 * 80):
        billing.run(BEGIN + timedelta(hours=hour))
    end = datetime(2027, 2, 28, 10, tzinfo=UTC)
    assert [(act, (at - end).days, date and (date - end).days) for act, at, date in billing.told] == [
        ("ask", -7, None),
        ("fall_behind", 0, 3),
        ("warn", 1, 3),  # an hour early
        ("suspend", 3, 33),
        ("warn", 25, 33),
        ("give_up", 33, None),
    ]


def test_a_new_policy_changes_no_date_that_was_told() -> None:
    billing = Billing(Policy())
    end = datetime(2027, 2, 28, 10, tzinfo=UTC)
    billing.run(end)
    billing.policy = Policy(grace_days=0)
    billing.run(end + timedelta(days=1, hours=23))
    billing.run(end + timedelta(days=2, hours=23))
    assert billing.subscription.state == "past_due"
    assert billing.subscription.consequence_at == end + timedelta(days=3)


def test_time_under_a_dispute_puts_the_suspension_off() -> None:
    policy, end = Policy(), datetime(2027, 2, 28, 10, tzinfo=UTC)
    billing = Billing(policy)
    billing.run(end)
    subscription = billing.subscription
    subscription.hold(end + timedelta(days=1))
    assert subscription.next_step(policy, asked=True) is None
    subscription.ends_at = end - timedelta(days=20)  # so that the time given back does not make it paid
    subscription.release(end + timedelta(days=11))
    assert subscription.consequence_at == end + timedelta(days=13)


@pytest.mark.parametrize("because", ["cancelled", "nonpayment"])
def test_what_has_ended_gives_nothing_any_more_and_says_why(because: str) -> None:
    subscription = begun(Policy())
    subscription.move_to("ended", BEGIN)
    subscription.ended_because = because  # type: ignore[assignment]
    assert with_subscription(Level("on"), subscription) == Level("ended", (because,))
