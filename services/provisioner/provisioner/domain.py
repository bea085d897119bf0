"""An install, its jobs and their steps, its resources and setup links: their states and what follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from provisioner.errors import ImpossibleTransitionError

Wanted = Literal["on", "suspended", "ended"]
InstallState = Literal[
    "pending", "provisioning", "setup_pending", "active", "suspended", "failed", "deleting", "deleted"
]
# `extend`: what is optional, after the install is ready; `repair`: ensure again what was found dead.
Action = Literal["provision", "change_plan", "extend", "repair", "suspend", "resume", "delete"]
JobState = Literal["pending", "processing", "completed", "failed", "cancelled"]
StepState = Literal["pending", "processing", "waiting", "completed", "failed", "undone"]
WaitReason = Literal["retry", "not_ready", "capacity", "needs_operator", "needs_customer", "unknown_result"]
RecordState = Literal["intended", "present", "suspended", "orphan", "gone"]
Operation = Literal["ensure", "probe", "suspend", "resume", "destroy"]

# `provisioning ⇄ suspended`: held before it was ever ready. From `deleting` back: entitled again while the data is
# still kept.
INSTALL: Mapping[InstallState, frozenset[InstallState]] = {
    "pending": frozenset({"provisioning", "deleting"}),
    "provisioning": frozenset({"setup_pending", "active", "failed", "suspended", "deleting"}),
    "setup_pending": frozenset({"active", "suspended", "deleting"}),
    "active": frozenset({"suspended", "deleting"}),
    "suspended": frozenset({"active", "setup_pending", "provisioning", "deleting"}),
    "failed": frozenset({"provisioning", "suspended", "deleting"}),
    "deleting": frozenset({"provisioning", "suspended", "deleted"}),
    "deleted": frozenset(),
}
JOB: Mapping[JobState, frozenset[JobState]] = {
    "pending": frozenset({"processing", "cancelled"}),
    "processing": frozenset({"pending", "completed", "failed", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


@dataclass(eq=False)
class Install:
    """`version` is the entitlement's; `revision` grows with every change of what is wanted, by billing or by us.

    `reasons` are billing's, `own_reasons` ours (operator, abuse): it is suspended while either holds one.
    `applied`: the terms that its resources have
    now; None where some of them are gone. `failed_revision`: where a job gave up, so that only a later
    wish, or an operator, starts another. `settled`: no job has left things half done.
    """

    id: UUID
    state: InstallState
    state_since: datetime
    version: int
    revision: int
    wanted: Wanted
    reasons: list[str]
    own_reasons: list[str]
    product: str
    plan: str
    blueprint: str
    parameters: dict[str, str]
    limits: dict[str, Any]
    contact: dict[str, Any]
    delete_after: datetime | None
    created_at: datetime
    removal_asked: bool = False
    applied: dict[str, Any] | None = None
    failed_revision: int | None = None
    settled: bool = True
    repair: bool = False
    optional_open: bool = False
    subdomain: str | None = None
    url: str | None = None
    admin_url: str | None = None
    ready_at: datetime | None = None
    activated_at: datetime | None = None
    deleted_at: datetime | None = None

    def move_to(self, state: InstallState, now: datetime) -> bool:
        """False where it is there already. Raises `ImpossibleTransitionError`."""
        if state == self.state:
            return False
        if state not in INSTALL[self.state]:
            raise ImpossibleTransitionError("install", self.state, state)
        self.state, self.state_since = state, now
        return True

    @property
    def terms(self) -> dict[str, Any]:
        """What its resources are made from."""
        return {
            "blueprint": self.blueprint,
            "plan": self.plan,
            "limits": self.limits,
            "parameters": self.parameters,
        }

    @property
    def level(self) -> Wanted:
        """What is wanted by billing and by us together."""
        if self.wanted == "ended" or self.removal_asked:
            return "ended"
        return "suspended" if self.wanted == "suspended" or self.own_reasons else "on"

    @property
    def suspended_for(self) -> list[str]:
        billing = (self.reasons or ["billing"]) if self.wanted == "suspended" else []
        return sorted({*billing, *self.own_reasons})

    def keeps_data_until(self, now: datetime) -> datetime | None:
        """When the data of an ended install may go; None where it may go now. What was never ready holds none."""
        kept = self.ready_at and self.delete_after and self.delete_after > now
        return self.delete_after if kept else None


def next_action(install: Install) -> Action | None:
    """What has to be done so that the install becomes what is wanted; None where it is that already."""
    if install.state == "deleted":
        return None
    if install.level == "ended":
        return "delete"
    if install.failed_revision == install.revision:
        return None
    return _to_suspended(install) if install.level == "suspended" else _to_on(install)


def _to_suspended(install: Install) -> Action | None:
    """What has not been begun is not begun; what failed and was undone has nothing to suspend."""
    nothing = install.state == "pending" or (install.state == "failed" and install.ready_at is None)
    return None if nothing or (install.state == "suspended" and install.settled) else "suspend"


def _to_on(install: Install) -> Action | None:
    if install.state == "suspended" and install.ready_at and install.applied is not None:
        return "resume"
    if install.state not in {"active", "setup_pending"}:
        return "provision"
    if install.applied != install.terms:
        return "change_plan"
    if install.repair:
        return "repair"
    return "extend" if install.optional_open else None


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


LinkState = Literal["open", "completing", "used", "expired", "replaced"]
LINK: Mapping[LinkState, frozenset[LinkState]] = {
    "open": frozenset({"completing", "expired", "replaced"}),
    "completing": frozenset({"used", "open", "replaced"}),
    "used": frozenset(),
    "expired": frozenset({"replaced"}),
    "replaced": frozenset(),
}


@dataclass(eq=False)
class SetupLink:
    """`attempt` grows with every claim: an answer to an older claim is not written over a newer one's."""

    id: UUID
    install_id: UUID
    number: int
    token_hash: str
    state: LinkState
    created_at: datetime
    expires_at: datetime
    attempt: int = 0
    claimed_until: datetime | None = None
    operation: dict[str, Any] | None = None
    detail: str | None = None
    used_at: datetime | None = None

    def seen(self, now: datetime) -> LinkState:
        """Its state at this time. A claim that ran out (its process died) has left the link open."""
        state = self.state
        if state == "completing" and self.operation is None and self.claimed_until and self.claimed_until <= now:
            state = "open"
        return "expired" if state == "open" and self.expires_at <= now else state

    def move_to(self, state: LinkState) -> None:
        if state != self.state and state not in LINK[self.state]:
            raise ImpossibleTransitionError("setup link", self.state, state)
        self.state = state
