"""Everything that a database holds, as text: for looking for what must not be there any more."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

Rows = Callable[[str], Awaitable[Sequence[Any]]]
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


async def places(rows: Rows, words: Iterable[str]) -> set[str]:
    """The tables in which one of the words stands, in any column, also inside of JSON and of bytes."""
    found = set()
    for table in await rows(TABLES):
        (name,) = _values(table)
        text = "\n".join(_texts(await rows(f'SELECT * FROM "{name}"')))
        if any(word in text for word in words):
            found.add(name)
    return found


def _texts(rows: Sequence[Any]) -> Iterable[str]:
    for row in rows:
        for value in _values(row):
            yield value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _values(row: Any) -> Iterable[Any]:
    """Of a row of the driver's or of SQLAlchemy's, or of a mapping."""
    return row.values() if hasattr(row, "values") else tuple(row)
