"""What can go wrong, by class.

KeyturnError
├── Failure          what a handler or work says of a failure
│   ├── Retry        try again after a back-off; counts an attempt
│   ├── Wait         not yet; counts no attempt
│   ├── GiveUp       dead at once
│   └── Unavailable  broker or database away; counts against nothing
│       └── TooSlow  the database ended a statement; counts an attempt of whatever item sent it
├── Misconfigured    settings or a file of the operator's that no start can do with
├── LeaseLost        another worker has the work now
├── SealError        a sealed value that cannot be opened
└── Problem          an answer to an HTTP caller

Any other exception in a handler or in work is a bug: tried again up to the policy's attempts, then dead. Messages of
these classes are stored and shown to operators, so they hold no secret and no personal data.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Union

JSON = Union[str, int, float, bool, None, Sequence["JSON"], Mapping[str, "JSON"]]  # noqa: UP007 - a recursive alias needs Union at run time


class KeyturnError(Exception):
    """The root of all our errors."""


class Failure(KeyturnError):
    """What a handler or work says of a failure, by the class it raises."""


class Retry(Failure):
    """Counts an attempt. Back-off with full jitter, unless `after` says when."""

    def __init__(self, message: str, *, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class Wait(Failure):
    """Counts no attempt. `until=None`: parked until somebody acts."""

    def __init__(self, reason: str, message: str, *, until: datetime | None) -> None:
        super().__init__(message)
        self.reason = reason
        self.until = until


class GiveUp(Failure):
    """Dead at once; the message is its cause."""


class Unavailable(Failure):
    """The broker or the database is away: counts against nothing."""


class TooSlow(Unavailable):
    """The database answers, but ended a statement that took too long. A caller may take it for one that is away; for
    whoever works through items it is the item's own failure: what always takes too long must not go on for ever."""


class Misconfigured(KeyturnError):
    """What an operator wrote cannot be used: told as it is, without a traceback, and the process ends with code 2."""


class LeaseLost(KeyturnError):
    """Another worker has taken the work, or somebody closed it: nothing more may be written."""


class SealError(KeyturnError):
    """A sealed value cannot be opened. Never carries content."""


class Problem(KeyturnError):
    """Becomes an RFC 9457 document. `code` is a stable slug in snake_case, from which the title is derived."""

    def __init__(self, status: int, code: str, detail: str, **extra: JSON) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra

    @property
    def title(self) -> str:
        return self.code.replace("_", " ").capitalize()
