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
from provisioner.engine.begun import Begun
from provisioner.records import Record
from provisioner.repository import installs, links, names
from provisioner.setup import activate, issue

Ended = Callable[[Transaction, ProvisionerDeps, Begun], Awaitable[datetime | None]]


async def complete(tx: Transaction, deps: ProvisionerDeps, begun: Begun) -> datetime | None:
    """Bring the install to what the job has reached. A time comes back where the job goes on then."""
    install, job, begun.now = begun.install, begun.job, tx.now
    until = await ENDS[job.action](tx, deps, begun)
    if until is None:
        job.move_to("completed", tx.now)
        install.settled = True
        begun.note("job_completed", action=job.action)
    return until


async def stay(tx: Transaction, install: Install) -> None:
    """A job failed and the install goes on as it was."""
    if install.state == "provisioning":  # it was ready once; what it has is kept
        install.move_to("failed", tx.now)


async def _provisioned(tx: Transaction, deps: ProvisionerDeps, begun: Begun) -> None:
    install, job = begun.install, begun.job
    blueprint = deps.blueprints[install.blueprint]
    _take_outputs(deps, begun)
    first = install.ready_at is None
    waits = bool(blueprint.setup) and install.activated_at is None
    install.ready_at = install.ready_at or tx.now
    install.optional_open = any(plan.optional for plan in blueprint.resources.values())
    install.move_to("setup_pending" if waits else "active", tx.now)
    begun.publish(
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
    password = _first_password(deps, begun) if first and blueprint.credentials else None
    if first and (blueprint.setup or password):
        begun.publish(await issue(tx, deps, install, credentials=password))
    if not waits:
        activate(begun, install)


def _take_outputs(deps: ProvisionerDeps, begun: Begun) -> None:
    install = begun.install
    find = values.lookup(install, begun.records, deps.settings)
    outputs = deps.blueprints[install.blueprint].outputs
    rendered = {name: rendering.plain(rendering.render(text, find)) for name, text in outputs.items()}
    install.url, install.admin_url = rendered.get("url"), rendered.get("admin_url")
    install.applied, install.repair = install.terms, False


def _first_password(deps: ProvisionerDeps, begun: Begun) -> str | None:
    """None where the order leaves out whatever would have had one: then there is nothing to tell."""
    name = "random.password"
    return begun.opened(deps.keys, [name])[name] if "password" in begun.secrets else None


async def _changed(tx: Transaction, deps: ProvisionerDeps, begun: Begun) -> None:
    install, job = begun.install, begun.job
    _take_outputs(deps, begun)
    told = InstallPlanChanged(
        subject=str(install.id), time=tx.now, job_id=str(job.id), action=job.action, plan=install.plan
    )
    begun.publish(told)


async def _repaired(_: Transaction, deps: ProvisionerDeps, begun: Begun) -> None:
    _take_outputs(deps, begun)


async def _extended(_: Transaction, __: ProvisionerDeps, begun: Begun) -> None:
    begun.install.optional_open = False


async def _suspended(tx: Transaction, _: ProvisionerDeps, begun: Begun) -> None:
    install, job = begun.install, begun.job
    told = InstallSuspended(
        subject=str(install.id), time=tx.now, job_id=str(job.id), action=job.action, reasons=install.suspended_for
    )
    begun.publish(told)


async def _resumed(tx: Transaction, _: ProvisionerDeps, begun: Begun) -> None:
    install, job = begun.install, begun.job
    install.move_to("active" if install.activated_at else "setup_pending", tx.now)
    begun.publish(
        InstallResumed(subject=str(install.id), time=tx.now, job_id=str(job.id), action=job.action, url=install.url)
    )


async def _deleted(tx: Transaction, _: ProvisionerDeps, begun: Begun) -> datetime | None:
    """Rule 14: the data is kept for its time; then everything is gone, with proof; the credentials went last."""
    install, job, records = begun.install, begun.job, begun.records.values()
    if any(record.state != "gone" for record in records):
        return install.delete_after or tx.now
    await installs.forget_secrets(tx, install.id)
    await names.free(tx, install.id)
    await links.replace_all(tx, install.id)
    install.move_to("deleted", tx.now)
    install.deleted_at = tx.now
    begun.publish(
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
