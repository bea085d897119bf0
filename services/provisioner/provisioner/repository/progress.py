"""What a job has reached: its rows, read when it begins and written in one statement with each commit."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Table

from keyturn import outbox
from keyturn.database import Transaction
from keyturn.events.sealed import Sealed
from keyturn.outbox import OutboxRow
from provisioner.domain import Install
from provisioner.records import Job, Record, Step
from provisioner.repository.installs import LOCKED
from provisioner.repository.plain import all_as_json
from provisioner.tables import installs, jobs, resources, steps

OPEN_JOB = "SELECT * FROM jobs WHERE install_id = $1 AND state IN ('pending', 'processing')"
STEPS = "SELECT * FROM steps WHERE job_id = $1 ORDER BY position"
RECORDS = "SELECT * FROM resources WHERE install_id = $1 ORDER BY position"
SECRETS = "SELECT name, sealed FROM secrets WHERE install_id = $1"


def _upsert(table: Table, place: int, **instead: str) -> str:
    """Rows in parameter `place`, each written whole where it is there already, but for what `instead` says."""
    names = [column.name for column in table.columns]
    key = [column.name for column in table.primary_key]
    sets = (f"{name} = {instead.get(name, f'excluded.{name}')}" for name in names if name not in key)
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(names)} "  # noqa: S608 - our own names
        f"FROM json_populate_recordset(NULL::{table.name}, ${place}::text::json) WHERE {_HELD} "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(sets)}"
    )


def _named(place: int) -> str:
    return f"SELECT * FROM unnest(${place}::uuid[], ${place + 1}::text[])"  # noqa: S608 - numbers


_HELD = "(SELECT all_are FROM held)"
_NOTES = "CASE WHEN excluded.notes = '{}' THEN excluded.notes ELSE resources.notes END"
_OUTPUTS = (
    f"CASE WHEN (excluded.install_id, excluded.name) IN ({_named(7)}) THEN excluded.outputs ELSE resources.outputs END"
)

# One statement for what several jobs have reached, each under the fence of its work; where one of these is lost,
# nothing is written and nothing comes back. A driver's notes are written by itself (`NOTE`), and here only forgotten.
# Outputs are written where they are new: a change of the sealing key may have sealed the others again.
WRITE = f"""
WITH mine AS (
  SELECT installs.id, revision FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS mine(work, fence, install)
  JOIN work ON work.id = mine.work AND work.fence = mine.fence AND work.state = 'open'
  JOIN installs ON installs.id = mine.install FOR KEY SHARE OF work),
held AS (SELECT count(*) = cardinality($1::uuid[]) AS all_are FROM mine),
install AS ({_upsert(installs, 27)}),
line AS (
  INSERT INTO history (install_id, at, what, detail)
  SELECT install_id, at, what, detail FROM json_populate_recordset(NULL::history, $28::text::json) WHERE {_HELD}),
job AS ({_upsert(jobs, 4)}),
step AS ({_upsert(steps, 5)}),
resource AS ({_upsert(resources, 6, notes=_NOTES, outputs=_OUTPUTS)}),
place AS (DELETE FROM slots WHERE (install_id, resource) IN ({_named(9)}) AND {_HELD}),
number AS (DELETE FROM allocations WHERE (install_id, resource) IN ({_named(11)}) AND {_HELD}),
secret AS (
  INSERT INTO secrets (install_id, name, sealed, created_at)
  SELECT install_id, name, sealed, $16
  FROM unnest($13::uuid[], $14::text[], $15::text[]) AS new(install_id, name, sealed)
  WHERE {_HELD} ON CONFLICT DO NOTHING),
event AS ({outbox.insert(17, only_if=_HELD)})
SELECT id, revision FROM mine WHERE {_HELD}
"""  # noqa: S608 - our own names

NOTE = """
UPDATE resources SET notes = (notes || $3::text::jsonb) - $4::text[] WHERE install_id = $1 AND name = $2 RETURNING notes
"""


Named = tuple[UUID, str]  # a resource of an install


@dataclass
class Rows:
    """What has changed since the last commit. `outputs`: of which resources they are new; `left`: which have left their
    places at targets; `gone`: which hold no number any more; `secrets`: new ones, sealed."""

    installs: list[Install] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    steps: dict[UUID, Step] = field(default_factory=dict)
    records: dict[Named, Record] = field(default_factory=dict)
    outputs: set[Named] = field(default_factory=set)
    left: set[Named] = field(default_factory=set)
    gone: set[Named] = field(default_factory=set)
    secrets: dict[Named, Sealed[str]] = field(default_factory=dict)
    events: list[OutboxRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.steps or self.jobs or self.events)

    def take(self, other: "Rows") -> None:
        """What another job has changed, too."""
        self.installs += other.installs
        self.history += other.history
        self.jobs += other.jobs
        self.steps |= other.steps
        self.records |= other.records
        self.outputs |= other.outputs
        self.left |= other.left
        self.gone |= other.gone
        self.secrets |= other.secrets
        self.events += other.events


async def locked(tx: Transaction, install_id: UUID) -> Install | None:
    """The install, held until the commit. What is changed on it is written with the job."""
    found = await tx.run(LOCKED, install_id)
    return Install(**found[0]) if found else None


async def open_job(tx: Transaction, install_id: UUID) -> Job | None:
    found = await tx.run(OPEN_JOB, install_id)
    return Job(**found[0]) if found else None


async def steps_of(tx: Transaction, job_id: UUID) -> list[Step]:
    return [Step(**row) for row in await tx.run(STEPS, job_id)]


async def records(tx: Transaction, install_id: UUID) -> dict[str, Record]:
    return {row.name: Record(**row) for row in await tx.run(RECORDS, install_id)}


async def secrets(tx: Transaction, install_id: UUID) -> dict[str, Sealed[str]]:
    return {row.name: Sealed(row.sealed) for row in await tx.run(SECRETS, install_id)}


def parameters(fences: Sequence[tuple[UUID, int, UUID]], rows: Rows, now: datetime) -> list[object]:
    """Of `WRITE`. `fences`: work, its fence, and its install."""
    secrets = [(*named, sealed.ciphertext) for named, sealed in rows.secrets.items()]
    return [
        *_columns(fences, 3),
        all_as_json(rows.jobs),
        all_as_json(rows.steps.values()),
        all_as_json(rows.records.values()),
        *_columns(rows.outputs, 2),
        *_columns(rows.left, 2),
        *_columns(rows.gone, 2),
        *_columns(secrets, 3),
        now,
        *outbox.columns(rows.events),
        all_as_json(rows.installs),
        to_json(rows.history).decode(),
    ]


def _columns(rows: Collection[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[place] for row in rows] for place in range(width)]


async def note(tx: Transaction, owner: tuple[UUID, str], added: dict[str, Any], removed: Collection[str]) -> Any:
    """All notes of a resource, after these were added and removed."""
    return (await tx.run(NOTE, *owner, to_json(added).decode(), list(removed)))[0].notes
