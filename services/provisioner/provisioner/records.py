"""A job, its steps, and the resources that they make, keep and remove: the engine's own records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from provisioner.domain import Action
from provisioner.errors import ImpossibleTransitionError

JobState = Literal["pending", "processing", "completed", "failed", "cancelled"]
StepState = Literal["pending", "processing", "waiting", "completed", "failed", "undone"]
WaitReason = Literal["retry", "not_ready", "capacity", "needs_operator", "needs_customer", "unknown_result"]
RecordState = Literal["intended", "present", "suspended", "orphan", "gone"]
Operation = Literal["ensure", "probe", "suspend", "resume", "destroy"]

JOB: Mapping[JobState, frozenset[JobState]] = {
    "pending": frozenset({"processing", "cancelled"}),
    "processing": frozenset({"pending", "completed", "failed", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


@dataclass(eq=False)
class Job:
    """`undoing`: its retries have ended, InstallFailed is published, and what it created is being removed."""

    id: UUID
    install_id: UUID
    action: Action
    revision: int
    created_at: datetime
    state: JobState = "pending"
    reason: str | None = None
    due: datetime | None = None
    step: str | None = None
    detail: str | None = None
    cause: str | None = None
    undoing: bool = False
    attempts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def move_to(self, state: JobState, now: datetime) -> None:
        if state == self.state:
            return
        if state not in JOB[self.state]:
            raise ImpossibleTransitionError("job", self.state, state)
        self.state = state
        if state == "processing":
            self.started_at = self.started_at or now
            self.reason = self.due = self.step = self.detail = None
        if state in {"completed", "failed", "cancelled"}:
            self.ended_at, self.due = now, None


@dataclass(eq=False)
class Step:
    """One resource's part in a job. `needs`: the steps that must be completed first."""

    id: UUID
    job_id: UUID
    name: str
    kind: str
    operation: Operation
    position: int
    needs: list[str]
    state: StepState = "pending"
    attempts: int = 0
    due: datetime | None = None
    reason: str | None = None
    detail: str | None = None
    outcome: str | None = None
    waiting_since: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def may_go(self, now: datetime) -> bool:
        """A parked step (waiting, without a due time) goes on whenever the job is run: somebody acted."""
        return self.state in {"pending", "processing"} or (
            self.state == "waiting" and (self.due is None or self.due <= now)
        )


@dataclass(eq=False)
class Record:
    """One resource, written before the first call about it. `parameters`: what it was last asked to be, secrets as
    references. `customer_named`: the parameters in which a customer's words stand."""

    install_id: UUID
    name: str
    kind: str
    position: int
    state: RecordState
    optional: bool
    parameters: dict[str, Any]
    customer_named: list[str]
    needs: list[str]
    intended_at: datetime
    target: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    present_at: datetime | None = None
    gone_at: datetime | None = None
    outcome: str | None = None
    cause: str | None = None
    message: str | None = None
    attempts: int = 0
