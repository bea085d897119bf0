"""What operators are shown: installs in pages, and one with all that belongs to it. No parameters, notes or secrets."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import literal, select, tuple_

from keyturn.clock import moment_of
from keyturn.database import Transaction
from provisioner.domain import Install, InstallState
from provisioner.records import Job, Record, Step
from provisioner.repository import installs as rows
from provisioner.repository import jobs as job_rows
from provisioner.repository import progress
from provisioner.tables import installs


async def page(
    tx: Transaction, status: InstallState | None, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """The newest first, and where the next page begins. Raises ValueError for a cursor that is not ours."""
    query = select(installs).order_by(installs.c.created_at.desc(), installs.c.id.desc()).limit(limit + 1)
    if status:
        query = query.where(installs.c.state == literal(status, literal_execute=True))
    if cursor:
        query = query.where(tuple_(installs.c.created_at, installs.c.id) < tuple_(*_position(cursor)))
    found = [Install(**row._mapping) for row in await tx.session.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name
    following = _cursor(found[limit - 1]) if len(found) > limit else None
    return [summary(install) for install in found[:limit]], following


async def details(tx: Transaction, install_id: UUID) -> dict[str, Any] | None:
    install = await rows.get(tx, install_id)
    if install is None:
        return None
    jobs = await job_rows.latest(tx, install_id)
    steps = await progress.steps_of(tx, jobs[0].id) if jobs else []
    records = (await progress.records(tx, install_id)).values()
    return {
        **summary(install),
        "wanted": install.level,
        "reasons": install.suspended_for,
        "version": install.version,
        "url": install.url,
        "admin_url": install.admin_url,
        "job": _job(jobs[0]) if jobs else None,
        "jobs": [_job(job) for job in jobs],
        "steps": [_step(step) for step in steps],
        "waits": [_step(step) for step in steps if step.state == "waiting"],
        "resources": [_record(record) for record in records],
        "orphans": [_record(record) for record in records if record.state == "orphan"],
        "history": [
            {**{k: v for k, v in row.items() if k != "install_id"}, "at": _text(row["at"])}
            for row in await rows.history_of(tx, install_id)
        ],
    }


ORPHANS = "SELECT * FROM resources WHERE state = 'orphan' ORDER BY install_id, name LIMIT $1"


async def orphans(tx: Transaction, limit: int) -> Sequence[dict[str, Any]]:
    found = [Record(**row) for row in await tx.run(ORPHANS, limit)]
    return [{"install_id": str(record.install_id), **_record(record)} for record in found]


def summary(install: Install) -> dict[str, Any]:
    return {
        "id": str(install.id),
        "status": install.state,
        "status_since": _text(install.state_since),
        "product": install.product,
        "plan": install.plan,
        "blueprint": install.blueprint,
        "subdomain": install.subdomain,
        "domain": install.parameters.get("domain"),
        "created_at": _text(install.created_at),
        "ready_at": _text(install.ready_at),
        "activated_at": _text(install.activated_at),
        "delete_after": _text(install.delete_after),
        "deleted_at": _text(install.deleted_at),
    }


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "action": job.action,
        "status": job.state,
        "reason": job.reason,
        "due": _text(job.due),
        "step": job.step,
        "detail": job.detail,
        "undoing": job.undoing,
        "created_at": _text(job.created_at),
        "ended_at": _text(job.ended_at),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "kind": step.kind,
        "operation": step.operation,
        "status": step.state,
        "attempts": step.attempts,
        "reason": step.reason,
        "due": _text(step.due),
        "detail": step.detail,
        "data": {"outcome": step.outcome} if step.outcome else {},
        "started_at": _text(step.started_at),
        "ended_at": _text(step.ended_at),
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "name": record.name,
        "kind": record.kind,
        "status": record.state,
        "target": record.target,
        "optional": record.optional,
        "outputs": {name: value for name, value in record.outputs.items() if not isinstance(value, dict)},
        "present_at": _text(record.present_at),
        "gone_at": _text(record.gone_at),
        "outcome": record.outcome,
        "cause": record.cause,
        "message": record.message,
        "attempts": record.attempts,
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _cursor(install: Install) -> str:
    return urlsafe_b64encode(f"{install.created_at.isoformat()}|{install.id}".encode()).decode()


def _position(cursor: str) -> tuple[datetime, UUID]:
    at, _, install_id = urlsafe_b64decode(cursor.encode()).decode().partition("|")
    return moment_of(at), UUID(install_id)
