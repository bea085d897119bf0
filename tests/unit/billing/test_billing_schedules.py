"""When scheduled runs are due: cron expressions in a time zone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from billing.runs import RUNS
from billing.schedules import DEFAULTS, Schedule, Schedules
from billing.settings import BillingSettings

DATABASE = "postgresql://billing@127.0.0.1/billing"
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
CRONS = st.sampled_from([*DEFAULTS.values(), "30 2 * * *", "*/15 * * * *", "0 0 29 2 *", "0 9 * * 1-5"])
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2034, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as given


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_there_is_a_time_for_each_run() -> None:
    assert set(DEFAULTS) == set(RUNS)
    assert {one.name: one.cron for one in Schedules.of({}, "UTC").on} == DEFAULTS


def test_a_run_begins_by_the_clock_of_its_zone() -> None:
    berlin = Schedule("billing", "0 2 * * *", "Europe/Berlin")
    assert berlin.following(at("2026-12-01T00:59")) == at("2026-12-01T01:00")
    assert berlin.following(at("2026-12-01T01:00")) == at("2026-12-02T01:00")
    assert berlin.last(at("2026-12-01T01:00")) == at("2026-12-01T01:00")
    assert berlin.last(at("2026-12-01T00:59")) == at("2026-11-30T01:00")
    assert berlin.last(at("2026-07-01T12:00")) == at("2026-07-01T00:00")


def test_the_hour_that_spring_leaves_out_and_autumn_has_twice_is_one_run() -> None:
    berlin = Schedule("billing", "30 2 * * *", "Europe/Berlin")
    spring = berlin.following(at("2027-03-27T12:00"))
    assert at("2027-03-28T00:00") < spring < at("2027-03-28T03:00")
    assert berlin.following(spring) == at("2027-03-29T00:30")
    autumn = berlin.following(at("2027-10-30T12:00"))
    assert autumn == at("2027-10-31T00:30")
    assert berlin.following(autumn) == at("2027-11-01T01:30")


@given(CRONS, ZONES, MOMENTS)
def test_the_last_time_is_the_last_one(cron: str, zone: str, now: datetime) -> None:
    schedule = Schedule("billing", cron, zone)
    last = schedule.last(now)
    assert last <= now < schedule.following(now)
    assert schedule.following(last) > now
    assert schedule.following(last - timedelta(minutes=1)) == last


def test_what_is_chosen_holds_instead_of_the_defaults() -> None:
    settings = BillingSettings(
        _env_file=None,
        database_url=DATABASE,
        schedules={"billing": "30 1 * * *", "suspension": "off"},
        schedule_timezone="Europe/Berlin",
    )
    found = {one.name: (one.cron, one.zone) for one in settings.runs.on}
    assert found == {
        name: ("30 1 * * *" if name == "billing" else cron, "Europe/Berlin")
        for name, cron in DEFAULTS.items()
        if name != "suspension"
    }


@pytest.mark.parametrize(
    ("schedules", "zone"),
    [({"billing": "61 * * * *"}, "UTC"), ({"bills": "0 2 * * *"}, "UTC"), ({}, "Europe/Nowhere"), ({}, "../etc")],
)
def test_what_is_no_schedule_is_no_start(schedules: dict[str, str], zone: str) -> None:
    with pytest.raises(ValidationError):
        BillingSettings(_env_file=None, database_url=DATABASE, schedules=schedules, schedule_timezone=zone)
