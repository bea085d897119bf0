"""W3C trace context: made at the edge, stored with every event and all work, taken up where that is handled."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FORM = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current() -> str | None:
    """The traceparent of what this task is doing, if it has one."""
    return _current.get()


def traceparent() -> str:
    """The traceparent to send on: of the current trace, or of a new one."""
    found = _FORM.fullmatch(_current.get() or "")
    return _new(found["trace"]) if found else _new()


def trace_id(header: str | None) -> str | None:
    found = _FORM.fullmatch(header or "")
    return found["trace"] if found else None


def _new(trace: str = "") -> str:
    """Of that trace, or of a new one; with a new span."""
    random = os.urandom(24).hex()
    return f"00-{trace or random[16:]}-{random[:16]}-01"


@contextmanager
def trace(header: str | None) -> Iterator[str]:
    """Everything inside belongs to the trace in `header`, or to a new one where that is missing or malformed."""
    made = header if trace_id(header) else _new()
    assert made is not None
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
