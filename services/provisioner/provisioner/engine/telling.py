"""The events of a job, built in one place."""

from datetime import datetime

from keyturn.database import Transaction
from keyturn.events import InstallFailed, InstallRequested, InstallStepChanged, InstallWaiting, OrphanFound
from keyturn.log import masked
from provisioner.domain import Install
from provisioner.records import Job, Record, Step, StepState, WaitReason

LONGEST = 500


def requested(tx: Transaction, install: Install, job: Job, steps: list[str]) -> None:
    tx.publish(
        InstallRequested(
            subject=str(install.id),
            time=tx.now,
            job_id=str(job.id),
            action=job.action,
            blueprint=install.blueprint,
            plan=install.plan,
            steps=steps,
        )
    )


def step_changed(tx: Transaction, job: Job, step: Step, status: StepState) -> None:
    tx.publish(
        InstallStepChanged(
            subject=str(job.install_id),
            time=tx.now,
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
    tx: Transaction, job: Job, reason: WaitReason, detail: str, *, step: str | None = None, until: datetime | None
) -> None:
    tx.publish(
        InstallWaiting(
            subject=str(job.install_id),
            time=tx.now,
            job_id=str(job.id),
            action=job.action,
            reason=reason,
            step=step,
            until=until,
            detail=detail,
        )
    )


def failed(tx: Transaction, job: Job, step: Step) -> None:
    tx.publish(
        InstallFailed(
            subject=str(job.install_id),
            time=tx.now,
            job_id=str(job.id),
            action=job.action,
            step=step.name,
            cause=f"{step.kind} {step.reason or 'failed'}",
            message=step.detail or "",
            attempts=step.attempts,
        )
    )


def orphan(tx: Transaction, record: Record) -> None:
    tx.publish(
        OrphanFound(
            subject=str(record.install_id),
            time=tx.now,
            resource=record.name,
            kind=record.kind,
            target=record.target or record.kind.partition(".")[0],
            cause=record.cause or "unknown",
            message=record.message or "",
        )
    )


def safe(text: object) -> str:
    """What may be stored and shown of a driver's own words."""
    return masked(str(text))[:LONGEST]
