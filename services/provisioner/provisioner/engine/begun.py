"""A job in a worker's hands: all that is known of it, and what of that is not committed yet.

Nobody else writes a job's rows while the lease holds, so what was read when it began stays true. Drivers are called
between two commits: one before the call says what is intended, the next one says what came of it. A commit takes all
that has changed: what one step came to, and what the next ones intend.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
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

    async def write(self, tx: Transaction, *locked: Install) -> None:
        """Write what has changed, the job, and its install where this transaction has locked it. Raises `LeaseLost`."""
        self.rows.jobs.append(self.job)
        self.rows.installs += locked
        if not await tx.run(progress.WRITE, *progress.parameters([self.fence], self.rows, tx.now)):
            raise LeaseLost(f"job of {self.install.id}")
        if self.rows.events:
            tx.wake("outbox")
        tx.on_commit(self.written)

    def written(self) -> None:
        self.rows = progress.Rows()


class Recorder:
    """Commits what steps came to and what the next ones intend. Jobs that come at the same time share a commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[Begun, int] = Batcher(self._write)

    async def write(self, begun: Begun) -> int:
        """Gives the install's revision as it is now. Raises `LeaseLost`, `Unavailable`."""
        return await self._batcher.put(begun)

    async def _write(self, batch: Sequence[Begun]) -> Sequence[int]:
        rows = progress.Rows()
        for begun in batch:
            rows.take(begun.rows)
        parameters = progress.parameters([begun.fence for begun in batch], rows, self._database.clock.now())
        found = await self._database.run("job.step", progress.WRITE, *parameters, wake="outbox")
        if not found:  # the others are written without it
            raise LeaseLost(f"job of {batch[0].install.id}")
        revisions = {row.id: int(row.revision) for row in found}
        for begun in batch:
            begun.written()
        return [revisions[begun.install.id] for begun in batch]
