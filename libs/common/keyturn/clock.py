"""Time. Every due time is compared with `Clock.now()` as a parameter, never with the database's `now()`, so that
tests and the sandbox move time for all services at once. Leases, signatures and TLS use real time."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


def moment_of(text: str) -> datetime:
    """The moment in a text that `isoformat` wrote. Raises ValueError for one without a time zone, and for one in no
    year of UTC, which no database takes."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a moment has a time zone")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise ValueError("this moment is in no year") from None


class Clock(Protocol):
    def now(self) -> datetime:
        """The time now: aware, in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class MovableClock:
    """Real time plus an offset that tests and the sandbox move. With a file, several processes share the offset."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._offset = timedelta()

    def now(self) -> datetime:
        if self._file is not None:
            self._offset = _read(self._file)
        return datetime.now(UTC) + self._offset

    def move(self, by: timedelta) -> None:
        if self._file is None:
            self._offset += by
            return
        self._offset = _read(self._file) + by
        fresh = self._file.with_name(f"{self._file.name}.new")
        fresh.write_text(f"{self._offset.total_seconds()!r}\n")
        fresh.replace(self._file)  # a reader sees the old offset or the new one, never half a file


def _read(file: Path) -> timedelta:
    with suppress(FileNotFoundError):
        return timedelta(seconds=float(file.read_text()))
    return timedelta()
