"""When a period ends: calendar months of the customer's own time zone."""

from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS: Mapping[str, int] = {"monthly": 1, "quarterly": 3, "yearly": 12, "biennial": 24, "triennial": 36}


def recurs(cycle: str) -> bool:
    return cycle in MONTHS


def end_of(start: datetime, cycle: str, anchor: datetime, zone: str | None) -> datetime:
    """The end of the period that begins at `start`. Day and time of day are those of `anchor`, the start of the first
    period: who began on the 31st pays on the 28th of February, and on the 31st of March again. An hour that the clock
    skips is the one after it, an hour that comes twice the first of the two."""
    where = zone_of(zone)
    began, kept = start.astimezone(where), anchor.astimezone(where)
    year, month = divmod(began.year * 12 + began.month - 1 + MONTHS[cycle], 12)
    day = min(kept.day, monthrange(year, month + 1)[1])
    return kept.replace(year=year, month=month + 1, day=day, fold=0).astimezone(UTC)


def days_after(start: datetime, days: int, zone: str | None) -> datetime:
    """The same time of day, so many days later."""
    local = start.astimezone(zone_of(zone)) + timedelta(days=days)
    return local.replace(fold=0).astimezone(UTC)


def zone_of(name: str | None) -> tzinfo:
    """UTC where there is no such zone."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
