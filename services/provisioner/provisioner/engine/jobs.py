"""The life of a job: begun, waiting, superseded, completed, failed and undone. Each is one commit."""

from collections.abc import Callable, Mapping
from contextlib import suppress
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
from provisioner.engine import planning, telling, values
from provisioner.engine.begun import Begun
from provisioner.engine.telling import Says
from provisioner.errors import NameConflictError, OvertakenError
from provisioner.names import claim
from provisioner.records import Job, Record, Step, WaitReason
from provisioner.repository import installs, progress

JOB = "job"  # the kind of work; its key is the install's id
RETENTION = "retention"

# What an install is called while the job is under way; the others leave it as it is until they end.
WHILE: Mapping[Action, InstallState] = {"provision": "provisioning", "delete": "deleting", "suspend": "suspended"}
MAKING: frozenset[Action] = frozenset({"provision", "change_plan", "extend", "repair"})


class Blocked(Exception):
    """The job cannot have steps yet: parked, and the reason told."""

    def __init__(self, reason: WaitReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: WaitReason = reason
        self.detail = detail


async def begin(
    work: Work, deps: ProvisionerDeps, install_id: str, go: Callable[[Begun], None] = lambda _: None
) -> Begun | None:
    """The job to go on with, or a new one; None where the install is what is wanted. `go` begins its first steps, in
    the same commit. Raises `Wait` where the job is parked before its first step, or has nothing to do before a time."""
    look = deps.recorder.install
    while install := await look(UUID(install_id)):
        with suppress(OvertakenError):
            return await _begin(work, deps, install, go)
        look = deps.recorder.held
    return None


async def _begin(work: Work, deps: ProvisionerDeps, install: Install, go: Callable[[Begun], None]) -> Begun | None:
    now, rows = deps.clock.now(), progress.Rows()
    known = await _known(work, install)
    job = known.job
    if job and not job.undoing and job.revision != install.revision:
        old = Begun(work, install, job, now, known.steps, known.records)
        cancel(old)
        old.include()
        job, rows, known.steps = None, old.rows, []
        if next_action(install) is None:
            await deps.recorder.write(old, "begun")
    if job is None:
        action = next_action(install)
        if action is None:
            return None
        job = _new_job(install, action, now)
    begun = Begun(work, install, job, now, known.steps, known.records, known.secrets, rows=rows)
    waits = await _resumed(deps, begun, go)
    begun.include(install)
    await deps.recorder.write(begun, "begun")
    if waits:
        raise waits
    return begun


async def _known(work: Work, install: Install) -> progress.Known:
    if install.state == "pending":  # nothing of it is there to be read
        return progress.Known()
    async with work.transaction("read", hold=False) as tx:
        return await progress.known(tx, install.id)


async def _resumed(deps: ProvisionerDeps, begun: Begun, go: Callable[[Begun], None]) -> Wait | None:
    try:
        await _resume(deps, begun)
        go(begun)
    except Blocked as block:
        park(begun, begun.job, block)
        return Wait(block.reason, block.detail, until=None)
    except Wait as wait:
        return wait
    return None


def cancel(begun: Begun) -> None:
    """A newer wish: what was done stays recorded, and the next job starts from there."""
    begun.job.move_to("cancelled", begun.now)
    begun.note("job_superseded", action=begun.job.action)
    begun.rows.left |= {begun.named(name) for name in (*begun.records, *(step.name for step in begun.steps))}


def _new_job(install: Install, action: Action, now: datetime) -> Job:
    install.settled = False
    if action in WHILE:
        install.move_to(WHILE[action], now)
    if action == "change_plan":
        install.applied = {}  # between two plans: superseded now, it has neither
    return Job(id=uuid7(), install_id=install.id, action=action, revision=install.revision, created_at=now)


async def _resume(deps: ProvisionerDeps, begun: Begun) -> None:
    install, job, now = begun.install, begun.job, begun.now
    if job.action in MAKING and not job.undoing:
        await _take_names(begun, deps.settings.base_domain)
        begun.plans = _plans(deps, install)
    if job.state == "pending" and job.reason == RETENTION and job.due and job.due > now:
        raise Wait(RETENTION, "the data is kept until then", until=job.due)
    if not begun.steps or job.reason == RETENTION:
        begun.add(planning.rows(job.id, _planned(begun), after=len(begun.steps)))
        if job.reason != RETENTION:
            telling.requested(begun, install, job, [step.name for step in begun.steps])
    job.move_to("processing", now)
    job.attempts += 1


def _planned(begun: Begun) -> list[planning.Planned]:
    records = list(begun.records.values())
    match begun.job.action:
        case "suspend":
            return planning.suspending(records)
        case "resume":
            return planning.resuming(records)
        case "delete":
            return _removal(begun, records)
    return planning.making(begun.job.action, begun.plans, records)


def _removal(begun: Begun, records: list[Record]) -> list[planning.Planned]:
    """Suspended while the data is kept; after that, removed."""
    if begun.install.keeps_data_until(begun.now):
        return planning.suspending(records)
    begun.install.applied = None
    return planning.removing(records)


def _plans(deps: ProvisionerDeps, install: Install) -> dict[str, Plan]:
    blueprint = deps.blueprints.get(install.blueprint)
    if blueprint is None:
        raise Blocked("needs_operator", f"there is no blueprint {install.blueprint!r}")
    find = values.lookup(install, {}, deps.settings)
    return {name: plan for name, plan in blueprint.resources.items() if values.holds(plan.when, find)}


async def _take_names(begun: Begun, base_domain: str) -> None:
    try:
        begun.install.subdomain = await claim(begun.work, begun.install, base_domain)
    except NameConflictError as conflict:
        raise Blocked("needs_customer", str(conflict)) from None


def park(says: Says, job: Job, block: Blocked) -> None:
    told = (job.reason, job.detail) == (block.reason, block.detail)
    if job.state == "processing":
        job.move_to("pending", says.now)
    job.reason, job.detail, job.due = block.reason, telling.safe(block.detail), None
    if not told:
        telling.waiting(says, job, block.reason, job.detail, until=None)


async def wait(work: Work, begun: Begun, steps: list[Step]) -> Wait:
    """Nothing can go on now: the job is pending until the first of its steps is due, or somebody acts."""
    waits = [step for step in steps if step.state == "waiting"]
    timed = [(step.due, step.position, step) for step in waits if step.due]
    first = min(timed)[2] if timed else waits[0]
    job = begun.job
    async with work.transaction("waiting", hold=False) as tx:
        job.move_to("pending", tx.now)
        job.reason, job.due, job.step, job.detail = first.reason, first.due, first.name, first.detail
        await begun.write(tx)
    return Wait(first.reason or "retry", f"{first.name}: {first.detail}", until=first.due)


async def supersede(work: Work, begun: Begun) -> None:
    async with work.transaction("superseded", hold=False) as tx:
        begun.now = tx.now
        cancel(begun)
        begun.ends(again=tx.now)
        await begun.write(tx)


async def fail(work: Work, begun: Begun, step: Step) -> None:
    """Told once. Where the install was never ready, what it has is undone next."""
    job = begun.job
    async with work.transaction("failed", hold=False) as tx:
        install = await progress.locked(tx, begun.install.id)
        assert install is not None
        begun.install, begun.now = install, tx.now
        job.cause, job.detail, job.step = step.reason or "failed", step.detail, step.name
        telling.failed(begun, job, step)
        begun.note("job_failed", action=job.action, step=step.name, detail=step.detail)
        if job.action != "provision" or install.ready_at:
            job.move_to("failed", tx.now)
            install.failed_revision = job.revision
            if install.state == "provisioning":  # it was ready once; what it has is kept
                install.move_to("failed", tx.now)
        else:
            job.undoing = True
            _plan_undo(begun)
        await begun.write(tx, install)


def _plan_undo(begun: Begun) -> None:
    """What was surplus has its step already, and does not wait any more for what was to be made in its place."""
    surplus = {step.name: step for step in begun.steps if step.operation == "destroy"}
    planned = planning.removing(list(begun.records.values()))
    for one in planned:
        if step := surplus.get(one.name):
            step.needs = list(one.needs)
            begun.changed(step)
    left = [one for one in planned if one.name not in surplus]
    begun.add(planning.rows(begun.job.id, left, after=len(begun.steps)))


async def died(work: Work, error: BaseException, tx: Transaction) -> None:
    """A bug, or an outage of ours, outlasted every attempt: said of the job too, and its places at targets are free."""
    install = await progress.locked(tx, UUID(work.key))
    await installs.leave_slots(tx, UUID(work.key))
    if install and (job := await progress.open_job(tx, install.id)):
        begun = Begun(work, install, job, tx.now)
        park(begun, job, Blocked("needs_operator", cause_of(error).group(work.kind)))
        await begun.write(tx)


async def undone(work: Work, begun: Begun) -> None:
    async with work.transaction("undone", finish=True) as tx:
        install = await progress.locked(tx, begun.install.id)
        job = begun.job
        assert install is not None
        job.move_to("failed", tx.now)
        install.move_to("failed", tx.now)
        install.failed_revision, install.settled = job.revision, True
        left = [record for record in begun.records.values() if record.state != "gone"]
        if not left:
            await installs.forget_secrets(tx, install.id)
        if left or next_action(install):
            tx.schedule(JOB, str(install.id), subject=str(install.id))
        await begun.write(tx, install)
