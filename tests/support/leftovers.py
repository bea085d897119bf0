"""Everything that a database holds, as text: for looking for what must not be there any more."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

Rows = Callable[[str], Awaitable[Sequence[Any]]]
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


async def places(rows: Rows, words: Iterable[str]) -> set[str]:
    """The tables in which one of the words stands, in any column, also inside of JSON and of bytes."""
    return {column.partition(".")[0] for column in await columns(rows, words)}


async def columns(rows: Rows, words: Iterable[str]) -> set[str]:
    """The same, as `table.column`. Case means nothing."""
    wanted = [word.lower() for word in words]
    found = set()
    for table in await rows(TABLES):
        (name,) = _fields(table).values()
        for row in await rows(f'SELECT * FROM "{name}"'):
            texts = {column: _text(value).lower() for column, value in _fields(row).items()}
            found |= {f"{name}.{column}" for column, text in texts.items() if any(word in text for word in wanted)}
    return found


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _fields(row: Any) -> dict[str, Any]:
    """Of a row of the driver's or of SQLAlchemy's, or of a mapping."""
    return dict(row.items() if hasattr(row, "items") else row._mapping)
