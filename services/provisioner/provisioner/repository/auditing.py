"""How installs stand, for the daily comparison."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from keyturn.database import Transaction

# `held`: an operator, or abuse, or somebody asked for its removal.
BETWEEN = """
SELECT id, version, state, delete_after, created_at,
  jsonb_array_length(own_reasons) > 0 OR removal_asked AS held
FROM installs WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3
"""
LAST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True)
class Standing:
    id: UUID
    version: int
    state: str
    delete_after: datetime | None
    created_at: datetime
    held: bool


async def standing_between(tx: Transaction, after: UUID, upto: UUID | None, limit: int) -> list[Standing]:
    return [Standing(**row) for row in await tx.run(BETWEEN, after, upto or LAST, limit)]
