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
from keyturn.work import ending
from provisioner.domain import Install, SetupLink
from provisioner.records import Job, Record, Step
from provisioner.repository.plain import all_as_json
from provisioner.tables import installs, jobs, resources, setup_links, steps

# `seen` names this writing of the row: it changes with every other one.
LOOK = "SELECT *, xmin::text::bigint AS seen FROM installs WHERE id = ANY($1::uuid[])"
LOCKED = f"{LOOK} FOR NO KEY UPDATE"
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
_LINK = ", ".join(column.name for column in setup_links.columns)
_NOTES = "CASE WHEN excluded.notes = '{}' THEN excluded.notes ELSE resources.notes END"
_OUTPUTS = (
    f"CASE WHEN (excluded.install_id, excluded.name) IN ({_named(7)}) THEN excluded.outputs ELSE resources.outputs END"
)

# One statement for what several jobs have reached, each under the fence of its work. Where one of these is lost, or an
# install that is to be written is not the one that was seen, nothing is written. One that somebody holds is about to be
# changed: the others do not wait for that. A driver's notes are written by itself (`NOTE`), and here only forgotten.
# Outputs are written where they are new: a change of the sealing key may have sealed the others again.
WRITE = f"""
WITH mine AS (
  SELECT installs.id, revision FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS mine(work, fence, install)
  JOIN work ON work.id = mine.work AND work.fence = mine.fence AND work.state = 'open'
  JOIN installs ON installs.id = mine.install FOR KEY SHARE OF work),
seen AS (
  SELECT FROM json_to_recordset($27::text::json) AS new(id uuid, seen bigint)
  JOIN installs ON installs.id = new.id AND installs.xmin::text::bigint = new.seen
  FOR NO KEY UPDATE OF installs SKIP LOCKED),
held AS (
  SELECT (SELECT count(*) FROM mine) = cardinality($1::uuid[])
    AND (SELECT count(*) FROM seen) = json_array_length($27::text::json) AS all_are),
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
link AS (
  INSERT INTO setup_links ({_LINK}) SELECT {_LINK} FROM json_populate_recordset(NULL::setup_links, $29::text::json)
  WHERE {_HELD}),
forgotten AS (DELETE FROM secrets WHERE install_id = ANY($30::uuid[]) AND {_HELD}),
freed AS (DELETE FROM names WHERE owner = ANY($30::uuid[]) AND {_HELD}),
dead AS (
  UPDATE setup_links SET state = 'replaced', claimed_until = NULL
  WHERE install_id = ANY($30::uuid[]) AND state IN ('open', 'completing', 'expired') AND {_HELD}),
done AS (
  UPDATE work SET {ending("$16", "done.following")}
  FROM unnest($31::uuid[], $32::bigint[], $33::timestamptz[]) AS done(id, fence, following)
  WHERE work.id = done.id AND work.fence = done.fence AND work.state = 'open' AND {_HELD}),
event AS ({outbox.insert(17, only_if=_HELD)})
SELECT id, revision, pg_current_xact_id()::xid::text::bigint AS seen, {_HELD} AS written FROM mine
"""  # noqa: S608 - our own names

NOTE = """
UPDATE resources SET notes = (notes || $3::text::jsonb) - $4::text[] WHERE install_id = $1 AND name = $2 RETURNING notes
"""


Named = tuple[UUID, str]  # a resource of an install


@dataclass
class Rows:
    """What has changed since the last commit. `outputs`: of which resources they are new; `left`: which have left their
    places at targets; `gone`: which hold no number any more; `secrets`: new ones, sealed. `forgotten`: installs whose
    secrets, names and links go; `ended`: work that is done, its fence, and when it is due again."""

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
    links: list[SetupLink] = field(default_factory=list)
    forgotten: list[UUID] = field(default_factory=list)
    ended: list[tuple[UUID, int, datetime | None]] = field(default_factory=list)

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
        self.links += other.links
        self.forgotten += other.forgotten
        self.ended += other.ended


@dataclass
class Known:
    """What there is of an install, but for its own row."""

    job: Job | None = None
    steps: list[Step] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    secrets: dict[str, Sealed[str]] = field(default_factory=dict)


async def known(tx: Transaction, install_id: UUID) -> Known:
    job = await open_job(tx, install_id)
    steps = await steps_of(tx, job.id) if job else []
    return Known(job, steps, await records(tx, install_id), await secrets(tx, install_id))


async def locked(tx: Transaction, install_id: UUID) -> Install | None:
    """The install, held until the commit. What is changed on it is written with the job."""
    found = await tx.run(LOCKED, [install_id])
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
        all_as_json(rows.links),
        rows.forgotten,
        *_columns(rows.ended, 3),
    ]


def _columns(rows: Collection[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[place] for row in rows] for place in range(width)]


async def note(tx: Transaction, owner: tuple[UUID, str], added: dict[str, Any], removed: Collection[str]) -> Any:
    """All notes of a resource, after these were added and removed."""
    return (await tx.run(NOTE, *owner, to_json(added).decode(), list(removed)))[0].notes
