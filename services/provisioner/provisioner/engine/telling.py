"""The events of a job, built in one place."""

from datetime import datetime
from typing import Protocol

from keyturn.events import Event, InstallFailed, InstallRequested, InstallStepChanged, InstallWaiting, OrphanFound
from keyturn.log import masked
from provisioner.domain import Install
from provisioner.records import Job, Record, Step, StepState, WaitReason

LONGEST = 500


class Says(Protocol):
    """Whatever takes events for a commit: a transaction, or a job on its way to one."""

    @property
    def now(self) -> datetime: ...

    def publish(self, event: Event) -> None: ...


def requested(says: Says, install: Install, job: Job, steps: list[str]) -> None:
    says.publish(
        InstallRequested(
            subject=str(install.id),
            time=says.now,
            job_id=str(job.id),
            action=job.action,
            blueprint=install.blueprint,
            plan=install.plan,
            steps=steps,
        )
    )


def step_changed(says: Says, job: Job, step: Step, status: StepState) -> None:
    says.publish(
        InstallStepChanged(
            subject=str(job.install_id),
            time=says.now,
            job_id=str(job.id),
            action=job.action,
            step=step.name,
            kind=step.kind,
            status=status,
            attempt=step.attempts,
            detail=step.detail,
        )
    )


def waiting(
    says: Says, job: Job, reason: WaitReason, detail: str, *, step: str | None = None, until: datetime | None
) -> None:
    says.publish(
        InstallWaiting(
            subject=str(job.install_id),
            time=says.now,
            job_id=str(job.id),
            action=job.action,
            reason=reason,
            step=step,
            until=until,
            detail=detail,
        )
    )


def failed(says: Says, job: Job, step: Step) -> None:
    says.publish(
        InstallFailed(
            subject=str(job.install_id),
            time=says.now,
            job_id=str(job.id),
            action=job.action,
            step=step.name,
            cause=f"{step.kind} {step.reason or 'failed'}",
            message=step.detail or "",
            attempts=step.attempts,
        )
    )


def orphan(says: Says, record: Record) -> None:
    says.publish(
        OrphanFound(
            subject=str(record.install_id),
            time=says.now,
            resource=record.name,
            kind=record.kind,
            target=record.target or record.kind.partition(".")[0],
            cause=record.cause or "unknown",
            message=record.message or "",
        )
    )


def safe(text: object) -> str:
    """What may be stored and shown of a driver's own words: no secret, and no character that no database keeps."""
    return masked(str(text)).replace("\0", "").encode(errors="replace").decode()[:LONGEST]
