"""What keeps the tables small and visible: deletion after the retention time, and gauges."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from keyturn.database import Database
from keyturn.metrics import OUTBOX_OLDEST, OUTBOX_PENDING, WORK_DEAD, WORK_OLDEST, WORK_OPEN
from keyturn.work import Work, WorkKind

KEEP = timedelta(days=30)  # providers list events for as long, so an operator's redrive still meets the inbox row
BATCH = 1_000

# Each is read along its index, also where a plan that reads the table from its beginning looks cheaper: what was
# deleted there, or is waiting elsewhere, has to be passed over every time. An array is looked up row by row, where a
# join may be planned as one with the whole table.
OLD = {
    "outbox": """DELETE FROM outbox WHERE id = ANY(ARRAY(
      SELECT id FROM outbox WHERE published < $1 ORDER BY published LIMIT $2)) RETURNING id""",
    "inbox": """DELETE FROM inbox WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM inbox WHERE received < $1 ORDER BY received LIMIT $2)) RETURNING event_id""",
    "work": """DELETE FROM work WHERE id = ANY(ARRAY(SELECT id FROM work
      WHERE finished < $1 AND state NOT IN ('open', 'dead') ORDER BY finished LIMIT $2)) RETURNING id""",
}

# Counts stop at 10,000: beyond, the number no longer matters, and counting must not cost more with it.
WORK_FIGURES = """
SELECT (SELECT count(*) FROM (SELECT FROM work WHERE state = 'open' ORDER BY kind, due LIMIT 10000) AS one) AS open,
       (SELECT count(*) FROM (SELECT FROM work WHERE state = 'dead' ORDER BY cause LIMIT 10000) AS one) AS dead,
       (SELECT min(first.due) FROM unnest($1::text[]) AS mine(kind) CROSS JOIN LATERAL (
          SELECT due FROM work WHERE state = 'open' AND work.kind = mine.kind ORDER BY due LIMIT 1) AS first) AS oldest
"""
OUTBOX_FIGURES = """
SELECT (SELECT count(*) FROM (SELECT FROM outbox WHERE published IS NULL ORDER BY id LIMIT 10000) AS one) AS pending,
       (SELECT created FROM outbox WHERE published IS NULL ORDER BY id LIMIT 1) AS oldest
"""


async def delete_old(work: Work, _deps: object) -> None:
    """Delete what is past the retention time, in batches small enough to disturb nobody."""
    database = work.database
    before = database.clock.now() - KEEP
    for table, sql in OLD.items():
        while await _delete(database, table, sql, before) == BATCH:
            pass


async def _delete(database: Database, table: str, sql: str, before: datetime) -> int:
    async with database.transaction(f"retention.{table}") as tx:
        return len(await tx.run(sql, before, BATCH))


async def sample(database: Database, kinds: Sequence[str]) -> None:
    """Set the gauges of the outbox, and of work of these kinds."""
    async with database.transaction("sample") as tx:
        work = (await tx.run(WORK_FIGURES, kinds))[0]
        outbox = (await tx.run(OUTBOX_FIGURES))[0]
    WORK_OPEN.labels(database.service).set(work.open)
    WORK_DEAD.labels(database.service).set(work.dead)
    WORK_OLDEST.labels(database.service).set(_age(work.oldest, tx.now))
    OUTBOX_PENDING.labels(database.service).set(outbox.pending)
    OUTBOX_OLDEST.labels(database.service).set(_age(outbox.oldest, tx.now))


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


RETENTION: WorkKind[object] = WorkKind(delete_old, every=timedelta(hours=1))
