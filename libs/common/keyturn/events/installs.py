"""What happens to one install. `subject` is the purchase id, which is also the install's id."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from keyturn.events.envelope import Event
from keyturn.events.sealed import Sealed

# `extend`: what a blueprint calls optional, after InstallReady; `repair`: what was found dead is made again.
Action = Literal["provision", "change_plan", "extend", "repair", "suspend", "resume", "delete"]
StepStatus = Literal["pending", "processing", "waiting", "completed", "failed", "undone"]
WaitReason = Literal["retry", "not_ready", "capacity", "needs_operator", "needs_customer", "unknown_result"]


class JobEvent(Event):
    """The fields of every event that one job publishes."""

    job_id: str
    action: Action


class InstallRequested(JobEvent, wire="install.requested.v1", publisher="provisioner"):
    """A job was made for the install. `steps`: the resources it will touch, in order."""

    blueprint: str
    plan: str
    steps: list[str] = Field(default_factory=list)


class InstallStepChanged(JobEvent, wire="install.step_changed.v1", publisher="provisioner"):
    """One resource's part of the job moved on."""

    step: str
    kind: str
    status: StepStatus
    attempt: int = 0
    detail: str | None = None


class InstallWaiting(JobEvent, wire="install.waiting.v1", publisher="provisioner"):
    """The job waits, and why. `until` is when it goes on by itself; None where somebody must act first."""

    reason: WaitReason
    step: str | None = None
    until: AwareDatetime | None = None
    detail: str | None = None


class InstallReady(JobEvent, wire="install.ready.v1", publisher="provisioner"):
    """The real thing answered a probe. `setup`: the customer still has to choose a password."""

    url: str | None = None
    admin_url: str | None = None
    hostname: str | None = None
    setup: bool
    plan: str | None = None


class InstallFailed(JobEvent, wire="install.failed.v1", publisher="provisioner"):
    """The job's retries ended; published once, before the undo. `message` is masked."""

    step: str | None = None
    cause: str
    message: str
    attempts: int


class InstallActivated(Event, wire="install.activated.v1", publisher="provisioner"):
    """The customer is in: the password was set, or none was needed."""

    url: str | None = None
    admin_url: str | None = None


class InstallSuspended(JobEvent, wire="install.suspended.v1", publisher="provisioner"):
    """The install no longer serves. `reasons` is the whole set that holds it down."""

    reasons: list[str]


class InstallResumed(JobEvent, wire="install.resumed.v1", publisher="provisioner"):
    """The install serves again."""

    url: str | None = None


class InstallPlanChanged(JobEvent, wire="install.plan_changed.v1", publisher="provisioner"):
    """The install has the limits of its new plan."""

    plan: str


class Gone(BaseModel):
    """Proof for one resource: what it was, and how it went."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    resource: str
    kind: str
    outcome: Literal["deleted", "not_found"]
    at: AwareDatetime


class InstallDeleted(JobEvent, wire="install.deleted.v1", publisher="provisioner"):
    """Everything is gone, with proof for each resource."""

    proof: list[Gone]


class SetupLinkIssued(Event, wire="setup_link.issued.v1", publisher="provisioner"):
    """A setup link, the first or a reissue: the one trigger of the setup mail. `token` is for the notifier alone."""

    link_id: str
    token: Sealed[str]
    expires_at: AwareDatetime
    number: int = Field(ge=1)
    url: str | None = None
    credentials: Sealed[str] | None = None


class CertificateExpiring(Event, wire="certificate.expiring.v1", publisher="provisioner"):
    """A certificate ends soon and is not renewed yet: told when ever less time is left. `subject` is the purchase, or
    `certificate:<id>` where several use it. `detail`: why it was not renewed."""

    certificate_id: str
    names: list[str] = Field(max_length=100)
    expires_at: AwareDatetime
    days_left: int = Field(ge=0)
    detail: str | None = None


class OrphanFound(Event, wire="install.orphan_found.v1", publisher="provisioner"):
    """A resource that could not be undone or deleted; tried again, and listed for the operator."""

    resource: str
    kind: str
    target: str
    cause: str
    message: str
