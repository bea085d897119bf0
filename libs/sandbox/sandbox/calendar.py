"""When a period ends at the providers, in UTC."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Any


def period_after(start: int, anchor: int, recurring: dict[str, Any]) -> int:
    """The end of the one that begins at `start`: day and time of day are the anchor's, or the last of a shorter
    month."""
    began, kept = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(anchor, UTC)
    count, interval = recurring["interval_count"], recurring["interval"]
    if interval in {"day", "week"}:
        return int((began + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    year, month = divmod(began.year * 12 + began.month - 1 + count * (12 if interval == "year" else 1), 12)
    day = min(kept.day, monthrange(year, month + 1)[1])
    return int(kept.replace(year=year, month=month + 1, day=day).timestamp())
