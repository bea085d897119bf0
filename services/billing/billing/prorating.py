"""What the time that is left of paid periods is worth. Pure.

To the microsecond, and rounded to the nearest amount that can be paid in the currency, a half upwards. What is used of
a period is its price less what is left of it: so after any number of changes the parts add up, and no cent is lost or
made.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from billing.providers.money import step_of
from billing.subscriptions import Period

TICK = timedelta(microseconds=1)


def worth(price: int, left: timedelta, lasts: timedelta, currency: str) -> int:
    """Of a period of this price that lasts so long, with so much of it left."""
    step, whole = step_of(currency), lasts // TICK
    return (2 * price * (left // TICK) + step * whole) // (2 * step * whole) * step


def unused(newest_first: Iterable[Period], ends_at: datetime, at: datetime) -> Iterator[tuple[Period, timedelta]]:
    """What is left of each period. From the end backwards: where the clock stood still, a period ends later than it
    lasts, and one that was paid early has not begun."""
    left = ends_at - at
    for period in newest_first:
        if left <= timedelta():
            return
        part = min(left, period.lasts)
        yield period, part
        left -= part
