"""What keeps the tables small and visible: deletion after the retention time, and gauges."""

from datetime import datetime, timedelta

from keyturn.database import Database
from keyturn.metrics import OUTBOX_OLDEST, OUTBOX_PENDING, WORK_DEAD, WORK_OLDEST, WORK_OPEN
from keyturn.work import Work, WorkKind

KEEP = timedelta(days=30)  # providers list events for as long, so an operator's redrive still meets the inbox row
BATCH = 1_000

OLD = {
    "outbox": "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE published < $1 LIMIT $2) RETURNING id",
    "inbox": """DELETE FROM inbox WHERE (consumer, event_id) IN
      (SELECT consumer, event_id FROM inbox WHERE received < $1 LIMIT $2) RETURNING event_id""",
    "work": """DELETE FROM work WHERE id IN (SELECT id FROM work
      WHERE finished < $1 AND state NOT IN ('open', 'dead') LIMIT $2) RETURNING id""",
}

# Counts stop at 10,000: beyond, the number no longer matters, and counting must not cost more with it.
WORK_FIGURES = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM work WHERE state = 'open' LIMIT 10000) AS counted) AS open,
       (SELECT count(*) FROM (SELECT 1 FROM work WHERE state = 'dead' LIMIT 10000) AS counted) AS dead,
       (SELECT min(due) FROM work WHERE state = 'open') AS oldest
"""
OUTBOX_FIGURES = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE published IS NULL LIMIT 10000) AS counted) AS pending,
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


async def sample(database: Database) -> None:
    """Set the gauges of outbox and work."""
    async with database.transaction("sample") as tx:
        work = (await tx.run(WORK_FIGURES))[0]
        outbox = (await tx.run(OUTBOX_FIGURES))[0]
    WORK_OPEN.labels(database.service).set(work.open)
    WORK_DEAD.labels(database.service).set(work.dead)
    WORK_OLDEST.labels(database.service).set(_age(work.oldest, tx.now))
    OUTBOX_PENDING.labels(database.service).set(outbox.pending)
    OUTBOX_OLDEST.labels(database.service).set(_age(outbox.oldest, tx.now))


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


RETENTION: WorkKind[object] = WorkKind(delete_old, every=timedelta(hours=1))
