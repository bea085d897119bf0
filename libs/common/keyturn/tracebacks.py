"""Tracebacks for logs. PostgreSQL's and pydantic's error texts quote values (`DETAIL: Key (email)=(...)`), so of their
errors only the class is told, and what names no value: SQLSTATE, table, constraint."""

import traceback
from collections.abc import Iterator
from types import TracebackType

from pydantic import ValidationError

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

QUOTING = ("asyncpg", "sqlalchemy", "pydantic_core", "pydantic")
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def formatted(exc_info: ExcInfo) -> str:
    """As Python prints it, apart from those texts."""
    return "".join(_lines(exc_info[1], set())).removesuffix("\n")


def text_of(error: BaseException) -> str:
    """`ClassName: what it says`, or what may be told of it."""
    said = _named(error) if type(error).__module__.partition(".")[0] in QUOTING else str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _named(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        kinds = {one["type"] for one in error.errors(include_input=False, include_url=False, include_context=False)}
        return f"{error.title}: {', '.join(sorted(kinds))}"
    # The dialect wraps the driver's error in its own, and SQLAlchemy that one in a third.
    while inner := getattr(error, "orig", None) or _driver_error(error):
        error = inner
    names = {"SQLSTATE": "sqlstate", "table": "table_name", "constraint": "constraint_name"}
    return " ".join(f"{name} {value}" for name, field in names.items() if (value := getattr(error, field, None)))


def _driver_error(error: BaseException) -> BaseException | None:
    inside_dialect = type(error).__module__.startswith("sqlalchemy.dialects.")
    return error.__cause__ if inside_dialect else None


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        yield _CAUSE if error.__cause__ else _CONTEXT
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{text_of(error)}\n"
    for note in getattr(error, "__notes__", ()):
        yield f"{note}\n"
    if isinstance(error, BaseExceptionGroup):
        for number, one in enumerate(error.exceptions, 1):
            yield f"--- {number} of {len(error.exceptions)} in the group ---\n"
            yield from _lines(one, seen)
