"""What a completed job makes of its install, and the events that say so."""

from collections.abc import Callable, Mapping
from datetime import datetime

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
from provisioner.domain import next_action
from provisioner.engine import values
from provisioner.engine.begun import Begun
from provisioner.engine.jobs import RETENTION, cancel
from provisioner.errors import OvertakenError
from provisioner.records import Record
from provisioner.setup import activate, first_link

Ended = Callable[[ProvisionerDeps, Begun], datetime | None]


async def complete(deps: ProvisionerDeps, begun: Begun) -> None:
    """The install is what the job has brought it to. In the same commit the work is done, unless more is wanted."""
    while True:
        ended = _completed(deps, begun.copy(deps.clock.now()))
        try:
            await deps.recorder.write(ended, "completed")
        except OvertakenError:
            begun.install = await deps.recorder.held(begun.install.id) or begun.install
        else:
            return


def _completed(deps: ProvisionerDeps, begun: Begun) -> Begun:
    install, job, now = begun.install, begun.job, begun.now
    if install.revision != job.revision:
        cancel(begun)
        begun.include()
        begun.ends(again=now)
        return begun
    if until := ENDS[job.action](deps, begun):
        job.move_to("pending", now)
        job.reason, job.due = RETENTION, until
    else:
        job.move_to("completed", now)
        install.settled = True
        begun.note("job_completed", action=job.action)
    more = now if next_action(install) or begun.has_orphans() else None
    begun.include(install)
    begun.ends(again=until or more)
    return begun


def _provisioned(deps: ProvisionerDeps, begun: Begun) -> None:
    install, job, now = begun.install, begun.job, begun.now
    blueprint = deps.blueprints[install.blueprint]
    _take_outputs(deps, begun)
    first = install.ready_at is None
    waits = bool(blueprint.setup) and install.activated_at is None
    install.ready_at = install.ready_at or now
    install.optional_open = any(plan.optional for plan in blueprint.resources.values())
    install.move_to("setup_pending" if waits else "active", now)
    begun.publish(
        InstallReady(
            subject=str(install.id),
            time=now,
            job_id=str(job.id),
            action=job.action,
            url=install.url,
            admin_url=install.admin_url,
            hostname=values.hostname(install, deps.settings.base_domain),
            setup=waits,
            plan=install.plan,
        )
    )
    password = _first_password(deps, begun) if first and blueprint.credentials else None
    if first and (blueprint.setup or password):
        link, issued = first_link(deps, install, now, password)
        begun.rows.links.append(link)
        begun.publish(issued)
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


def _changed(deps: ProvisionerDeps, begun: Begun) -> None:
    install, job, now = begun.install, begun.job, begun.now
    _take_outputs(deps, begun)
    told = InstallPlanChanged(
        subject=str(install.id), time=now, job_id=str(job.id), action=job.action, plan=install.plan
    )
    begun.publish(told)


def _repaired(deps: ProvisionerDeps, begun: Begun) -> None:
    _take_outputs(deps, begun)


def _extended(_: ProvisionerDeps, begun: Begun) -> None:
    begun.install.optional_open = False


def _suspended(_: ProvisionerDeps, begun: Begun) -> None:
    install, job, now = begun.install, begun.job, begun.now
    told = InstallSuspended(
        subject=str(install.id), time=now, job_id=str(job.id), action=job.action, reasons=install.suspended_for
    )
    begun.publish(told)


def _resumed(_: ProvisionerDeps, begun: Begun) -> None:
    install, job, now = begun.install, begun.job, begun.now
    install.move_to("active" if install.activated_at else "setup_pending", now)
    begun.publish(
        InstallResumed(subject=str(install.id), time=now, job_id=str(job.id), action=job.action, url=install.url)
    )


def _deleted(_: ProvisionerDeps, begun: Begun) -> datetime | None:
    """Rule 14: the data is kept for its time; then everything is gone, with proof; the credentials went last."""
    install, job, now, records = begun.install, begun.job, begun.now, begun.records.values()
    if any(record.state != "gone" for record in records):
        return install.delete_after or now
    begun.rows.forgotten.append(install.id)
    install.move_to("deleted", now)
    install.deleted_at = now
    begun.publish(
        InstallDeleted(
            subject=str(install.id),
            time=now,
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
