"""What a failure means: the one place that turns an exception into a wait or a death, with its cause."""

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from keyturn.errors import Failure, GiveUp, KeyturnError, Retry, TooSlow, Unavailable, Wait
from keyturn.log import masked

LONGEST_MESSAGE = 500
_AWAY_WAIT = 1.0, 5.0  # seconds


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential back-off with full jitter and a cap; dead after so many attempts."""

    attempts: int = 10
    first: timedelta = timedelta(seconds=1)
    cap: timedelta = timedelta(minutes=10)

    def delay(self, attempt: int, draw: Callable[[], float] = random.random) -> timedelta:
        """The pause after the `attempt`-th failure (1-based)."""
        longest = min(self.first * (1 << min(attempt - 1, 30)), self.cap)
        return longest * draw()


DEFAULT = RetryPolicy()


@dataclass(frozen=True)
class Cause:
    """Why something failed: what operators group by (`error`, `place`), and a message without secrets."""

    error: str
    place: str
    message: str

    def group(self, what: str) -> str:
        return f"{what} {self.error} at {self.place}" if self.place else f"{what} {self.error}"


@dataclass(frozen=True)
class Outcome:
    """What follows from a failure. `due` None and state open: parked until somebody acts."""

    state: Literal["open", "dead"]
    due: datetime | None
    reason: str
    counts: bool
    cause: Cause


def judge(error: BaseException, *, attempt: int, now: datetime, retry: RetryPolicy) -> Outcome:
    cause = cause_of(error)
    match error:
        case Wait():
            return Outcome("open", error.until, error.reason, counts=False, cause=cause)
        case Unavailable() if not isinstance(error, TooSlow):
            pause = timedelta(seconds=random.uniform(*_AWAY_WAIT))  # noqa: S311 - jitter, not a secret
            return Outcome("open", now + pause, "unavailable", counts=False, cause=cause)
        case GiveUp():
            return Outcome("dead", None, "gave_up", counts=True, cause=cause)
    if attempt >= retry.attempts:
        return Outcome("dead", None, "attempts_used_up", counts=True, cause=cause)
    after = error.after if isinstance(error, Retry) else None
    return Outcome("open", now + (retry.delay(attempt) if after is None else after), "retry", counts=True, cause=cause)


def cause_of(error: BaseException) -> Cause:
    """A bug's own text may quote what customers told us, so only our own classes' texts are kept."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    own = str(error) if isinstance(error, KeyturnError) else f"SQLSTATE {state}" if state else ""
    message = masked(own)[:LONGEST_MESSAGE]
    return Cause(type(error).__name__, _place(error), message)


def _place(error: BaseException) -> str:
    """The innermost function of ours that the error came through; for a failure on purpose, where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "site-packages" not in f.filename and "/lib/python" not in f.filename]
    if not isinstance(error, Failure):
        ours = [f for f in ours if "/keyturn/" not in f.filename] or ours
    if not ours:
        return "unknown"
    module = ours[-1].filename.removesuffix(".py").split("/")[-1]
    return f"{module}.{ours[-1].name}"
