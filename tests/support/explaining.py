"""What each statement reads: explained on its own connection just before it runs, and undone.

Whatever a service does through a database that is `watched` is looked at, so a new query is covered by itself. Each is
explained as it is planned for its own values, and as for any: a statement that was run a few times may get that plan.
A run over everybody has a few of its statements hundreds of times: those are explained for the first values alone.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.util import await_only

from keyturn.database import Database

LARGE = 1_000  # rows: a table beyond this is not read from one end to the other
FEW = 2_500  # rows that a statement may read of a table, unless its own limit is higher: a batch, and what is in hand
MOST = 100_000  # no limit is higher
ENOUGH = 20  # times that one statement is explained
PAGES = 1_500, 8  # pages that reading may touch: so many, and so many a row
ROWS = int(os.environ.get("SCALE_ROWS", "12000"))
# Of few rows it may be right to read all: with these the planner does as it would with a million.
SMALL = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"} if ROWS < 300_000 else {}
MODES = ("custom", "generic")
_ANALYZE = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE explained"
_PLANNED = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


@dataclass
class Seen:
    """What was executed, and what is wrong with it: a statement, and why."""

    large: set[str]
    statements: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    def enough(self, sql: str) -> bool:
        self.statements[sql] += 1
        return self.statements[sql] > ENOUGH

    def judge(self, sql: str, parameters: Sequence[object], mode: str, plan: dict[str, Any]) -> None:
        limits = [int(found) for found in re.findall(r"LIMIT (\d+)", sql)]
        limits += [value for value in parameters if type(value) is int and value <= MOST]
        for node in _nodes(plan):
            complaint = _complaint(node, max(FEW, *limits, 0)) if node.get("Relation Name") in self.large else None
            if complaint:
                self.wrong[sql] = f"{mode} plan, {node['Relation Name']}: {complaint}"


class Explaining(asyncpg.Connection):  # type: ignore[misc]
    """Statements that go straight to the driver."""

    seen: Seen

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        await self.explain(query, args)
        return await super().fetch(query, *args, **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        await self.explain(query.removeprefix("BEGIN;"), args)
        return await super().execute(query, *args, **options)

    async def explain(self, query: str, args: Any) -> None:
        if not _PLANNED.match(query) or self.seen.enough(query):
            return
        inside = self.is_in_transaction()
        await super().execute("SAVEPOINT explained" if inside else "BEGIN")
        try:
            await super().execute(f"PREPARE explained AS {query}")
            values = await self._literals(args)
            for mode in MODES:
                await super().execute(f"SAVEPOINT once; SET LOCAL plan_cache_mode = force_{mode}_plan")
                told = await super().fetchval(_ANALYZE + values)
                await super().execute("ROLLBACK TO once")
                # Decoded already where SQLAlchemy has set up the connection.
                plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
                self.seen.judge(query, args, mode, plan)
        finally:
            await super().execute("ROLLBACK TO explained" if inside else "ROLLBACK")
        await super().execute("DEALLOCATE explained")

    async def _literals(self, args: Any) -> str:
        """The parameters as EXECUTE takes them, which knows no parameters of its own."""
        types = await super().fetchval(PARAMETERS)
        if not types:
            return ""
        casts = ", ".join(f"quote_nullable(${place}::{type_}::text)" for place, type_ in enumerate(types, 1))
        return f"({', '.join(await super().fetchrow(f'SELECT {casts}', *args))})"


async def watched(database: Database) -> Seen:
    """From now on; while nobody uses the database."""
    await database.pool.close()
    connection = await asyncpg.connect(database.dsn)
    large = {row["relname"] for row in await connection.fetch(TABLES, LARGE)}
    await connection.close()
    seen = Seen(large)
    kind = connection_class(seen)

    @event.listens_for(database.engine.sync_engine, "do_connect")
    def connecting(dialect: Any, record: Any, args: Any, parameters: dict[str, Any]) -> None:
        parameters |= {"connection_class": kind, "server_settings": parameters["server_settings"] | SMALL}

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def executing(connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        driver = connection.connection.driver_connection
        await_only(driver.explain(sql, parameters[0] if many else parameters))

    return seen


def connection_class(seen: Seen) -> type[Explaining]:
    return type("Watched", (Explaining,), {"seen": seen})


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _complaint(node: dict[str, Any], most: int) -> str | None:
    if node["Node Type"] in {"Insert", "Update", "Delete", "ModifyTable"}:
        return None
    if node["Node Type"] == "Seq Scan" and node["Actual Loops"]:
        return "reads the whole table"
    removed = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    read = (node.get("Actual Rows", 0) + removed) * node.get("Actual Loops", 1)
    if read > most:
        return f"{node['Node Type']} reads {read:.0f} rows"
    pages = node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0)
    if pages > PAGES[0] + PAGES[1] * read:
        return f"{node['Node Type']} reads {pages} pages for {read:.0f} rows"
    return None


TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples > $1"
PARAMETERS = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'explained'"
