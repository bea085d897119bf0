"""Periods follow each other without a gap and without an overlap, and keep the day on which the first began."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calendar import MONTHS, end_of, recurs

ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"}))
STARTS = st.integers(0, 40 * 366 * 24 * 60).map(
    lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
HOUR = timedelta(hours=1)


def ends(first: datetime, cycle: str, zone: str | None, count: int) -> list[datetime]:
    found = [first]
    for _ in range(count):
        found.append(end_of(found[-1], cycle, first, zone))
    return found


@pytest.mark.parametrize(
    ("first", "cycle", "then"),
    [
        ("2026-01-31", "monthly", ["2026-02-28", "2026-03-31", "2026-04-30"]),
        ("2027-12-30", "monthly", ["2028-01-30", "2028-02-29", "2028-03-30"]),
        ("2026-11-30", "quarterly", ["2027-02-28", "2027-05-30", "2027-08-30"]),
        ("2028-02-29", "yearly", ["2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]),
        ("2028-02-29", "biennial", ["2030-02-28", "2032-02-29"]),
        ("2026-08-31", "triennial", ["2029-08-31", "2032-08-31"]),
    ],
)
def test_the_anchor_day_is_kept(first: str, cycle: str, then: list[str]) -> None:
    found = ends(datetime.fromisoformat(f"{first}T10:30+00:00"), cycle, None, len(then))
    assert [f"{end:%Y-%m-%d %H:%M}" for end in found[1:]] == [f"{day} 10:30" for day in then]


@pytest.mark.parametrize(
    ("zone", "first", "end"),
    [
        ("Europe/Berlin", "2026-03-10T09:00+00:00", "2026-04-10T08:00+00:00"),  # 10:00 in both
        ("America/New_York", "2026-10-10T04:00+00:00", "2026-11-10T05:00+00:00"),  # midnight in both
        ("Asia/Kolkata", "2026-01-30T20:00+00:00", "2026-02-27T20:00+00:00"),  # there it was the 31st already
        ("Europe/Berlin", "2026-02-28T01:30+00:00", "2026-03-28T01:30+00:00"),
        ("Europe/Berlin", "2026-03-01T01:30+00:00", "2026-04-01T00:30+00:00"),
        ("Mars/Phobos", "2026-01-31T10:00+00:00", "2026-02-28T10:00+00:00"),
        ("", "2026-01-31T10:00+00:00", "2026-02-28T10:00+00:00"),
        ("../etc/passwd", "2026-01-31T10:00+00:00", "2026-02-28T10:00+00:00"),
    ],
)
def test_a_month_is_one_of_the_customers_own_zone(zone: str, first: str, end: str) -> None:
    start = datetime.fromisoformat(first)
    assert end_of(start, "monthly", start, zone) == datetime.fromisoformat(end)


def test_a_skipped_hour_moves_one_end_only() -> None:
    """On 29 March 2026 there is no 02:30 in Berlin: that period ends at 03:30, and the next one at 02:30 again."""
    berlin = ZoneInfo("Europe/Berlin")
    found = ends(datetime(2026, 1, 29, 2, 30, tzinfo=berlin), "monthly", "Europe/Berlin", 3)
    told = [f"{end.astimezone(berlin):%m-%d %H:%M}" for end in found]
    assert told == ["01-29 02:30", "02-28 02:30", "03-29 03:30", "04-29 02:30"]


@given(STARTS, st.sampled_from(sorted(MONTHS)), ZONES)
def test_hundreds_of_periods_have_no_gap_no_overlap_and_one_day(first: datetime, cycle: str, zone: str) -> None:
    where = ZoneInfo(zone)
    kept = first.astimezone(where)
    months = MONTHS[cycle]
    found = ends(first, cycle, zone, 240 // months if months > 1 else 240)
    for number, (start, end) in enumerate(pairwise(found), 1):
        local = end.astimezone(where)
        year, month = divmod(kept.year * 12 + kept.month - 1 + number * months, 12)
        day = min(kept.day, monthrange(year, month + 1)[1])
        wanted = kept.replace(year=year, month=month + 1, day=day, fold=0)
        assert timedelta(days=28 * months) - 25 * HOUR <= end - start <= timedelta(days=31 * months) + 25 * HOUR
        assert abs(local.replace(tzinfo=None) - wanted.replace(tzinfo=None)) <= HOUR


def test_what_is_paid_once_does_not_recur() -> None:
    assert not recurs("one_time")
    assert all(map(recurs, MONTHS))
