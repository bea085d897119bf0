"""How installs stand, for the daily comparison."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from keyturn.database import Transaction

# `held`: an operator, or abuse, or somebody asked for its removal. `parked`: its job goes on when somebody has acted.
BETWEEN = """
SELECT installs.id, version, installs.state, delete_after, installs.created_at,
  jsonb_array_length(own_reasons) > 0 OR removal_asked AS held,
  action, jobs.created_at AS begun_at, reason IS NOT NULL AND due IS NULL AS parked,
  concat_ws(': ', reason, step, detail) AS cause
FROM installs LEFT JOIN jobs ON install_id = installs.id AND jobs.state IN ('pending', 'processing')
WHERE installs.id > $1 AND installs.id <= $2 ORDER BY installs.id LIMIT $3
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
    action: str | None = None  # of the job that is open
    begun_at: datetime | None = None
    parked: bool = False
    cause: str = ""


async def standing_between(tx: Transaction, after: UUID, upto: UUID | None, limit: int) -> list[Standing]:
    return [Standing(**row) for row in await tx.run(BETWEEN, after, upto or LAST, limit)]
