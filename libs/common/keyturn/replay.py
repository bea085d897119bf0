"""Publishing once more what was published before, under the same event ids: consumers' inboxes tell it from the new."""

from datetime import datetime

from keyturn.database import Database

BATCH = 1_000

REPLAY = """
UPDATE outbox SET published = NULL, attempts = 0, due = $2
WHERE id IN (SELECT id FROM outbox WHERE published >= $1 AND published < $2 AND exchange = 'keyturn.events'
             AND ($3::text IS NULL OR subject = $3) ORDER BY published LIMIT $4)
RETURNING id
"""


async def replay(database: Database, since: datetime, *, subject: str | None = None) -> int:
    """Publish again everything published since then, or only what is about one subject; gives the number of events."""
    until, count = database.clock.now(), 0
    while True:
        async with database.transaction("replay") as tx:
            rows = await tx.run(REPLAY, since, until, subject, BATCH)
            tx.wake_at("outbox", tx.now)
        count += len(rows)
        if len(rows) < BATCH:
            return count
