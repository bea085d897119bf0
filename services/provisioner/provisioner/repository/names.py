"""Names that must be unique: one row for each, whoever reserved or claimed it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select

from keyturn.database import Transaction
from keyturn.errors import LeaseLost
from keyturn.work import Work
from provisioner.tables import names

# What one has claimed stays claimed, and what is reserved for hours is not for minutes because it is asked for again.
# The unique key decides between two who ask at once.
TAKE = """
INSERT INTO names (kind, name, owner, reserved_until) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, name) DO UPDATE SET owner = excluded.owner, reserved_until =
  CASE WHEN excluded.reserved_until IS NOT NULL THEN greatest(names.reserved_until, excluded.reserved_until) END
WHERE names.reserved_until <= $5
  OR (names.owner = excluded.owner AND (excluded.reserved_until IS NULL OR names.reserved_until IS NOT NULL))
RETURNING 1
"""
# The first that nobody else has. It looks before it takes: to be refused a name means to wait for whoever is being
# given it just now. It waits for no disk: what a crash of the server forgets, the job that begins next forgets as well.
TAKE_ONE = """
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO names (kind, name, owner)
SELECT 'subdomain', name, $1 FROM unnest($2::text[]) WITH ORDINALITY AS possible(name, place), quick
WHERE EXISTS (SELECT FROM work WHERE id = $4 AND fence = $5 AND state = 'open')
  AND NOT EXISTS (
    SELECT FROM names WHERE kind = 'subdomain' AND names.name = possible.name AND owner <> $1
      AND coalesce(reserved_until > $3, true))
ORDER BY place LIMIT 1
ON CONFLICT (kind, name) DO UPDATE SET owner = excluded.owner, reserved_until = NULL
WHERE names.reserved_until <= $3 OR names.owner = excluded.owner
RETURNING name
"""
OWNER = "SELECT 1 FROM names WHERE kind = $1 AND name = $2 AND owner = $3"
RELEASE_OTHERS = "DELETE FROM names WHERE owner = $1 AND kind = $2 AND name <> $3"
FORGET_LAPSED = """
DELETE FROM names WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM names WHERE reserved_until <= $1 ORDER BY reserved_until LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING name
"""


async def take(tx: Transaction, kind: str, name: str, owner: UUID, until: datetime | None) -> bool:
    """Reserve until a time, or claim (None); False where it is somebody else's."""
    taken = await tx.run(TAKE, kind, name, owner, until, tx.now)
    return bool(taken or await tx.run(OWNER, kind, name, owner))


async def take_one(work: Work, owner: UUID, possible: Sequence[str]) -> str:
    """Claim the first of these subdomains that is free; one of them is nobody else's. Raises `LeaseLost`."""
    for _ in range(2):  # somebody else may have been faster
        parameters = owner, possible, work.database.clock.now(), work.id, work.fence
        if taken := await work.database.run("job.named", TAKE_ONE, *parameters):
            return str(taken[0].name)
    raise LeaseLost(f"{work.kind} {work.id}")


async def is_free(tx: Transaction, kind: str, name: str) -> bool:
    query = select(names.c.reserved_until).where(names.c.kind == kind, names.c.name == name)
    row = (await tx.session.execute(query)).one_or_none()
    return row is None or (row.reserved_until is not None and row.reserved_until <= tx.now)


async def release_reserved(tx: Transaction, owner: UUID) -> None:
    """What was never claimed."""
    await tx.session.execute(delete(names).where(names.c.owner == owner, names.c.reserved_until.is_not(None)))


async def release_others(tx: Transaction, owner: UUID, kind: str, keep: str) -> None:
    """What the owner reserved and did not take in the end."""
    await tx.run(RELEASE_OTHERS, owner, kind, keep)


async def forget_lapsed(tx: Transaction, before: datetime, limit: int) -> int:
    """Forgets so many at most; gives how many it was."""
    return len(await tx.run(FORGET_LAPSED, before, limit))
