"""When the scheduled runs begin: a cron expression each, in one time zone. No framework and no database."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

OFF = "off"
DEFAULTS: Mapping[str, str] = {
    "billing": "0 2 * * *",
    "suspension": "0 3 * * *",
    "expiry": "15 * * * *",
    "reconciliation": "0 4 * * *",
    "audit": "0 5 * * *",
    "canary": "45 * * * *",
}


@dataclass(frozen=True)
class Schedule:
    """Raises `ValueError` for an expression that is none."""

    name: str
    cron: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            self.following(datetime.now(UTC))
        except (CronSimError, StopIteration):
            raise ValueError(f"{self.name}: {self.cron!r} is no cron expression") from None
        except (ZoneInfoNotFoundError, OSError):
            raise ValueError(f"there is no time zone {self.zone!r}") from None

    def following(self, now: datetime) -> datetime:
        """The first time after this moment. What falls into the hour that spring leaves out is done after it, what
        falls into the one that autumn has twice is done once, unless it is done every hour."""
        return next(CronSim(self.cron, now.astimezone(ZoneInfo(self.zone)))).astimezone(UTC)

    def last(self, now: datetime) -> datetime:
        """The last time up to this moment."""
        past = CronSim(self.cron, (now + timedelta(minutes=1)).astimezone(ZoneInfo(self.zone)), reverse=True)
        return next(found for found in (time.astimezone(UTC) for time in past) if found <= now)


@dataclass(frozen=True)
class Schedules:
    on: tuple[Schedule, ...]

    @classmethod
    def of(cls, chosen: Mapping[str, str], zone: str) -> Self:
        """The defaults, but for what was chosen otherwise."""
        if unknown := sorted(set(chosen) - set(DEFAULTS)):
            raise ValueError(f"there is no run {', '.join(unknown)}; there are {', '.join(DEFAULTS)}")
        every: Iterable[tuple[str, str]] = (dict(DEFAULTS) | dict(chosen)).items()
        return cls(tuple(Schedule(name, cron, zone) for name, cron in every if cron != OFF))
