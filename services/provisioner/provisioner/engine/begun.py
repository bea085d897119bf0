"""A job in a worker's hands: all that is known of it, and what of that is not committed yet.

Nobody else writes a job's rows while the lease holds, so what was read when it began stays true. Drivers are called
between two commits: one before the call says what is intended, the next one says what came of it. A commit takes all
that has changed: what one step came to, and what the next ones intend.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

from keyturn import tracing
from keyturn.batching import Batcher
from keyturn.database import Database, Transaction
from keyturn.errors import LeaseLost
from keyturn.events import Event
from keyturn.events.sealed import Sealed
from keyturn.outbox import event_row
from keyturn.sealing import KeyRing
from keyturn.work import Work
from provisioner.blueprints import Plan
from provisioner.domain import Install
from provisioner.engine import values
from provisioner.errors import OvertakenError
from provisioner.records import Job, Record, Step
from provisioner.repository import installs, progress


@dataclass
class Begun:
    """`plans`: what the blueprint wants for this install, `when` decided. `now`: of what is changed next."""

    work: Work
    install: Install
    job: Job
    now: datetime
    steps: list[Step] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    secrets: dict[str, Sealed[str]] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    rows: progress.Rows = field(default_factory=progress.Rows)

    def publish(self, event: Event) -> None:
        """With the next commit."""
        origin = {"causationid": self.work.causationid, "traceparent": tracing.current()}
        service = self.work.database.service
        self.rows.events.append(event_row(event.model_copy(update=origin), service, self.now))

    def note(self, what: str, **detail: Any) -> None:
        """A line in the install's history, with the next commit."""
        self.rows.history.append({"install_id": self.install.id, "at": self.now, "what": what, "detail": detail})

    def changed(self, step: Step, record: Record | None = None) -> None:
        self.rows.steps[step.id] = step
        if record:
            self.rows.records[self.named(record.name)] = record

    def add(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.steps.append(step)
            self.rows.steps[step.id] = step

    def has_orphans(self) -> bool:
        return any(record.state == "orphan" for record in self.records.values())

    def opened(self, keys: KeyRing, references: Iterable[str]) -> dict[str, str]:
        """The plaintext behind each reference, for one call."""
        return values.opened(keys, self.install.id, references, self.secrets, self.records)

    def make_secrets(self, keys: KeyRing, names: Iterable[str]) -> None:
        """Those that are not there yet: a secret is made once, whatever is tried how often."""
        for name, value in values.new_secrets(set(names) - set(self.secrets)).items():
            sealed = keys.seal(value, place=installs.secret_place(self.install.id, name))
            self.secrets[name] = self.rows.secrets[self.named(name)] = sealed

    def named(self, name: str) -> progress.Named:
        return (self.install.id, name)

    @property
    def fence(self) -> tuple[UUID, int, UUID]:
        return (self.work.id, self.work.fence, self.install.id)

    def include(self, *installs: Install) -> None:
        """With the next commit: the job, and its install."""
        self.rows.jobs.append(self.job)
        self.rows.installs += installs

    def ends(self, again: datetime | None = None) -> None:
        """With the next commit: the work is done, or due once more."""
        self.rows.ended.append((self.work.id, self.work.fence, again))

    def copy(self, now: datetime) -> "Begun":
        """To be changed and written, or forgotten."""
        rows = progress.Rows()
        rows.take(self.rows)
        return replace(self, install=replace(self.install), job=replace(self.job), now=now, rows=rows)

    async def write(self, tx: Transaction, *locked: Install) -> None:
        """Write what has changed, the job, and its install where this transaction has locked it. Raises `LeaseLost`."""
        self.include(*locked)
        found = await tx.run(progress.WRITE, *progress.parameters([self.fence], self.rows, tx.now))
        if not (found and found[0].written):
            raise LeaseLost(f"job of {self.install.id}")
        if self.rows.events:
            tx.wake("outbox")
        tx.on_commit(partial(self.written, found[0].seen))

    def written(self, seen: int) -> None:
        for install in self.rows.installs:
            install.seen = seen
        self.work.finished = self.work.finished or bool(self.rows.ended)
        self.rows = progress.Rows()


Commit = Literal["begun", "step", "completed"]
COMMITS: tuple[Commit, ...] = ("begun", "step", "completed")


class Recorder:
    """Commits how jobs begin, what steps came to and what the next ones intend, and how jobs are completed. Jobs that
    come at the same time share a commit. None holds its install meanwhile: where that was changed by somebody else,
    nothing is written, and whoever comes too late looks once more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks: Batcher[UUID, Install | None] = Batcher(self._look)
        self._writes: dict[Commit, Batcher[Begun, int]] = {
            commit: Batcher(partial(self._write, commit)) for commit in COMMITS
        }

    async def install(self, install_id: UUID) -> Install | None:
        return await self._looks.put(install_id)

    async def held(self, install_id: UUID) -> Install | None:
        """For who was overtaken: waits, by itself, for whoever holds the install."""
        found = await self._database.run("job.read", progress.LOCKED, [install_id])
        return Install(**found[0]) if found else None

    async def write(self, begun: Begun, commit: Commit = "step") -> int:
        """Gives the install's revision as it is now. Raises `LeaseLost`, `OvertakenError`, `Unavailable`."""
        return await self._writes[commit].put(begun)

    async def _look(self, ids: Sequence[UUID]) -> Sequence[Install | None]:
        found = {row.id: row for row in await self._database.run("job.read", progress.LOOK, ids)}
        return [Install(**found[one]) if one in found else None for one in ids]

    async def _write(self, commit: Commit, batch: Sequence[Begun]) -> Sequence[int]:
        rows = progress.Rows()
        for begun in batch:
            rows.take(begun.rows)
        parameters = progress.parameters([begun.fence for begun in batch], rows, self._database.clock.now())
        rows_found = await self._database.run(f"job.{commit}", progress.WRITE, *parameters, wake="outbox")
        found = {row.id: row for row in rows_found}
        if len(found) < len(batch):  # the others are written without it
            raise LeaseLost(f"job of {batch[0].install.id}")
        if not rows_found[0].written:
            raise OvertakenError(f"install {batch[0].install.id} was changed meanwhile")
        for begun in batch:
            begun.written(found[begun.install.id].seen)
        return [int(found[begun.install.id].revision) for begun in batch]
