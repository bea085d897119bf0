"""What a completed job makes of its install, and the events that say so."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from keyturn.database import Transaction
from keyturn.events import (
    Gone,
    InstallDeleted,
    InstallPlanChanged,
    InstallReady,
    InstallResumed,
    InstallSuspended,
)
from provisioner import rendering
from provisioner.deps import ProvisionerDeps
from provisioner.domain import Install
from provisioner.engine import values
from provisioner.records import Job, Record
from provisioner.repository import installs, links, names
from provisioner.setup import activate, issue

Ended = Callable[[Transaction, ProvisionerDeps, Install, Job], Awaitable[datetime | None]]


async def complete(tx: Transaction, deps: ProvisionerDeps, install: Install, job: Job) -> datetime | None:
    """Bring the install to what the job has reached. A time comes back where the job goes on then."""
    until = await ENDS[job.action](tx, deps, install, job)
    if until is None:
        job.move_to("completed", tx.now)
        install.settled = True
        await installs.note(tx, install.id, "job_completed", action=job.action)
    return until


async def stay(tx: Transaction, install: Install) -> None:
    """A job failed and the install goes on as it was."""
    if install.state == "provisioning":  # it was ready once; what it has is kept
        install.move_to("failed", tx.now)


async def _provisioned(tx: Transaction, deps: ProvisionerDeps, install: Install, job: Job) -> None:
    blueprint = deps.blueprints[install.blueprint]
    records = await _take_outputs(tx, deps, install)
    first = install.ready_at is None
    waits = bool(blueprint.setup) and install.activated_at is None
    install.ready_at = install.ready_at or tx.now
    install.optional_open = any(plan.optional for plan in blueprint.resources.values())
    install.move_to("setup_pending" if waits else "active", tx.now)
    tx.publish(
        InstallReady(
            subject=str(install.id),
            time=tx.now,
            job_id=str(job.id),
            action=job.action,
            url=install.url,
            admin_url=install.admin_url,
            hostname=values.hostname(install, deps.settings.base_domain),
            setup=waits,
        )
    )
    if first and (blueprint.setup or blueprint.credentials):
        password = await _first_password(tx, deps, records, install) if blueprint.credentials else None
        await issue(tx, deps, install, credentials=password)
    if not waits:
        activate(tx, install)


async def _take_outputs(tx: Transaction, deps: ProvisionerDeps, install: Install) -> Mapping[str, Record]:
    records = {record.name: record for record in await installs.records(tx, install.id)}
    find = values.lookup(install, records, deps.settings)
    outputs = deps.blueprints[install.blueprint].outputs
    rendered = {name: rendering.plain(rendering.render(text, find)) for name, text in outputs.items()}
    install.url, install.admin_url = rendered.get("url"), rendered.get("admin_url")
    install.applied, install.repair = install.terms, False
    return records


async def _first_password(
    tx: Transaction, deps: ProvisionerDeps, records: Mapping[str, Record], install: Install
) -> str | None:
    made = await values.opened(tx, deps.keys, install.id, ["random.password"])
    return made["random.password"] if records else None


async def _changed(tx: Transaction, deps: ProvisionerDeps, install: Install, job: Job) -> None:
    await _take_outputs(tx, deps, install)
    told = InstallPlanChanged(
        subject=str(install.id), time=tx.now, job_id=str(job.id), action=job.action, plan=install.plan
    )
    tx.publish(told)


async def _repaired(tx: Transaction, deps: ProvisionerDeps, install: Install, _: Job) -> None:
    await _take_outputs(tx, deps, install)


async def _extended(_: Transaction, __: ProvisionerDeps, install: Install, ___: Job) -> None:
    install.optional_open = False


async def _suspended(tx: Transaction, _: ProvisionerDeps, install: Install, job: Job) -> None:
    told = InstallSuspended(
        subject=str(install.id), time=tx.now, job_id=str(job.id), action=job.action, reasons=install.suspended_for
    )
    tx.publish(told)


async def _resumed(tx: Transaction, _: ProvisionerDeps, install: Install, job: Job) -> None:
    install.move_to("active" if install.activated_at else "setup_pending", tx.now)
    tx.publish(
        InstallResumed(subject=str(install.id), time=tx.now, job_id=str(job.id), action=job.action, url=install.url)
    )


async def _deleted(tx: Transaction, _: ProvisionerDeps, install: Install, job: Job) -> datetime | None:
    """Rule 14: the data is kept for its time; then everything is gone, with proof; the credentials went last."""
    records = await installs.records(tx, install.id)
    if any(record.state != "gone" for record in records):
        return install.delete_after or tx.now
    await installs.forget_secrets(tx, install.id)
    await names.free(tx, install.id)
    await links.replace_all(tx, install.id)
    install.move_to("deleted", tx.now)
    install.deleted_at = tx.now
    tx.publish(
        InstallDeleted(
            subject=str(install.id),
            time=tx.now,
            job_id=str(job.id),
            action=job.action,
            proof=[_proof(record) for record in records],
        )
    )
    return None


def _proof(record: Record) -> Gone:
    assert record.gone_at is not None
    outcome = "deleted" if record.outcome == "deleted" else "not_found"
    return Gone(resource=record.name, kind=record.kind, outcome=outcome, at=record.gone_at)


ENDS: Mapping[str, Ended] = {
    "provision": _provisioned,
    "change_plan": _changed,
    "extend": _extended,
    "repair": _repaired,
    "suspend": _suspended,
    "resume": _resumed,
    "delete": _deleted,
}
