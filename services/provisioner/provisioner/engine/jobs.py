"""The life of a job: begun, waiting, superseded, completed, failed and undone. Each is one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from keyturn.database import Transaction
from keyturn.errors import Wait
from keyturn.events import uuid7
from keyturn.retry import cause_of
from keyturn.work import Work
from provisioner.blueprints import Plan
from provisioner.deps import ProvisionerDeps
from provisioner.domain import Action, Install, InstallState, next_action
from provisioner.engine import ending, planning, telling, values
from provisioner.errors import NameConflictError
from provisioner.names import claim
from provisioner.records import Job, Record, Step, WaitReason
from provisioner.repository import installs, jobs

JOB = "job"  # the kind of work; its key is the install's id
RETENTION = "retention"

# What an install is called while the job is under way; the others leave it as it is until they end.
WHILE: Mapping[Action, InstallState] = {"provision": "provisioning", "delete": "deleting", "suspend": "suspended"}
MAKING: frozenset[Action] = frozenset({"provision", "change_plan", "extend", "repair"})


@dataclass
class Begun:
    """A job in a worker's hands. `plans`: what the blueprint wants for this install, `when` decided."""

    install: Install
    job: Job
    steps: list[Step]
    plans: Mapping[str, Plan]
    waits_until: datetime | None = None  # nothing to do before


class Blocked(Exception):
    """The job cannot have steps yet: parked, and the reason told."""

    def __init__(self, reason: WaitReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: WaitReason = reason
        self.detail = detail


async def begin(work: Work, deps: ProvisionerDeps, install_id: str) -> Begun | None:
    """The job to go on with, or a new one; None where the install is what is wanted. Raises `Wait` where it is parked
    before its first step."""
    async with work.transaction("begun") as tx:
        install = await installs.locked(tx, UUID(install_id))
        if install is None:
            return None
        job = await jobs.open_job(tx, install.id)
        if job and not job.undoing and job.revision != install.revision:
            await cancel(tx, job)
            job = None
        fresh = job is None
        if job is None:
            action = next_action(install)
            if action is None:
                return None
            job = _new_job(tx, install, action)
        blocked = None
        try:
            begun = await _resume(tx, deps, install, job, fresh=fresh)
        except Blocked as block:
            blocked = block
            _park(tx, job, block)
    if blocked:
        raise Wait(blocked.reason, blocked.detail, until=None)
    return begun


async def cancel(tx: Transaction, job: Job) -> None:
    """A newer wish: what was done stays recorded, and the next job starts from there."""
    job.move_to("cancelled", tx.now)
    await installs.leave_slots(tx, job.install_id)
    await installs.note(tx, job.install_id, "job_superseded", action=job.action)
    await tx.session.flush()


def _new_job(tx: Transaction, install: Install, action: Action) -> Job:
    job = Job(id=uuid7(), install_id=install.id, action=action, revision=install.revision, created_at=tx.now)
    installs.add(tx, job)
    install.settled = False
    if action in WHILE:
        install.move_to(WHILE[action], tx.now)
    if action == "change_plan":
        install.applied = {}  # between two plans: superseded now, it has neither
    return job


async def _resume(tx: Transaction, deps: ProvisionerDeps, install: Install, job: Job, *, fresh: bool) -> Begun:
    steps = await jobs.steps_of(tx, job.id) if not fresh else []
    makes = job.action in MAKING and not job.undoing
    if makes:
        await _take_names(tx, install, deps.settings.base_domain)
    plans = _plans(deps, install) if makes else {}
    if job.state == "pending" and job.reason == RETENTION and job.due and job.due > tx.now:
        return Begun(install, job, steps, plans, waits_until=job.due)
    if not steps or job.reason == RETENTION:
        records = await installs.records(tx, install.id)
        steps = [*steps, *planning.rows(job.id, _planned(tx, install, job, plans, records), after=len(steps))]
        installs.add(tx, *steps)
        if job.reason != RETENTION:
            telling.requested(tx, install, job, [step.name for step in steps])
    job.move_to("processing", tx.now)
    job.attempts += 1
    await tx.session.flush()
    return Begun(install, job, steps, plans)


def _planned(
    tx: Transaction, install: Install, job: Job, plans: Mapping[str, Plan], records: list[Record]
) -> list[planning.Planned]:
    match job.action:
        case "suspend":
            return planning.suspending(records)
        case "resume":
            return planning.resuming(records)
        case "delete":
            return removal(tx, install, records)
    return planning.making(job.action, plans, records)


def removal(tx: Transaction, install: Install, records: list[Record]) -> list[planning.Planned]:
    """Suspended while the data is kept; after that, removed."""
    if install.keeps_data_until(tx.now):
        return planning.suspending(records)
    install.applied = None
    return planning.removing(records)


def _plans(deps: ProvisionerDeps, install: Install) -> dict[str, Plan]:
    blueprint = deps.blueprints.get(install.blueprint)
    if blueprint is None:
        raise Blocked("needs_operator", f"there is no blueprint {install.blueprint!r}")
    find = values.lookup(install, {}, deps.settings)
    return {name: plan for name, plan in blueprint.resources.items() if values.holds(plan.when, find)}


async def _take_names(tx: Transaction, install: Install, base_domain: str) -> None:
    try:
        install.subdomain = await claim(tx, install, base_domain)
    except NameConflictError as conflict:
        raise Blocked("needs_customer", str(conflict)) from None


def _park(tx: Transaction, job: Job, block: Blocked) -> None:
    told = (job.reason, job.detail) == (block.reason, block.detail)
    if job.state == "processing":
        job.move_to("pending", tx.now)
    job.reason, job.detail, job.due = block.reason, telling.safe(block.detail), None
    if not told:
        telling.waiting(tx, job, block.reason, job.detail, until=None)


async def wait(work: Work, begun: Begun, steps: list[Step]) -> Wait:
    """Nothing can go on now: the job is pending until the first of its steps is due, or somebody acts."""
    waits = [step for step in steps if step.state == "waiting"]
    timed = [(step.due, step.position, step) for step in waits if step.due]
    first = min(timed)[2] if timed else waits[0]
    async with work.transaction("waiting") as tx:
        job = await jobs.get(tx, begun.job.id)
        job.move_to("pending", tx.now)
        job.reason, job.due, job.step, job.detail = first.reason, first.due, first.name, first.detail
    return Wait(first.reason or "retry", f"{first.name}: {first.detail}", until=first.due)


async def supersede(work: Work, begun: Begun) -> None:
    async with work.transaction("superseded", finish=True) as tx:
        job = await jobs.get(tx, begun.job.id)
        await cancel(tx, job)
        tx.schedule(JOB, str(job.install_id), subject=str(job.install_id))


async def fail(work: Work, begun: Begun, step: Step) -> list[Step]:
    """Told once. Where the install was never ready, what it has is then undone: the steps for that come back."""
    async with work.transaction("failed") as tx:
        install = await installs.locked(tx, begun.install.id)
        job = await jobs.get(tx, begun.job.id)
        assert install is not None
        job.cause, job.detail, job.step = step.reason or "failed", step.detail, step.name
        telling.failed(tx, job, step)
        await installs.note(tx, install.id, "job_failed", action=job.action, step=step.name, detail=step.detail)
        if job.action != "provision" or install.ready_at:
            job.move_to("failed", tx.now)
            install.failed_revision = job.revision
            await ending.stay(tx, install)
            return []
        job.undoing = True
        records = await installs.records(tx, install.id)
        before = await jobs.steps_of(tx, job.id)
        undo = planning.rows(job.id, planning.removing(records), after=len(before))
        installs.add(tx, *undo)
        begun.job = job
    return undo


async def died(work: Work, error: BaseException, tx: Transaction) -> None:
    """A bug, or an outage of ours, outlasted every attempt: said of the job too, and its places at targets are free."""
    install = await installs.locked(tx, UUID(work.key))
    if install and (job := await jobs.open_job(tx, install.id)):
        await installs.leave_slots(tx, job.install_id)
        _park(tx, job, Blocked("needs_operator", cause_of(error).group(work.kind)))


async def undone(work: Work, begun: Begun) -> None:
    async with work.transaction("undone", finish=True) as tx:
        install = await installs.locked(tx, begun.install.id)
        job = await jobs.get(tx, begun.job.id)
        assert install is not None
        job.move_to("failed", tx.now)
        install.move_to("failed", tx.now)
        install.failed_revision, install.settled = job.revision, True
        left = [r for r in await installs.records(tx, install.id) if r.state != "gone"]
        if not left:
            await installs.forget_secrets(tx, install.id)
        if left or next_action(install):
            tx.schedule(JOB, str(install.id), subject=str(install.id))
