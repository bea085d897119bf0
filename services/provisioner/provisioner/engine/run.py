"""A job run by one worker: whatever may go on goes on, side by side, until nothing can."""

import asyncio
from datetime import datetime

from keyturn.errors import Wait
from keyturn.work import Work
from provisioner.deps import ProvisionerDeps
from provisioner.domain import next_action
from provisioner.engine import ending, jobs
from provisioner.engine.jobs import JOB, RETENTION, Begun
from provisioner.engine.orphans import retry_orphans
from provisioner.engine.steps import StepRun
from provisioner.errors import SupersededError
from provisioner.records import Step
from provisioner.repository import installs
from provisioner.repository import jobs as rows

MET = frozenset({"completed"})
UNDO_MET = frozenset({"completed", "failed"})  # what could not be removed keeps nothing else from being removed


async def run_job(work: Work, deps: ProvisionerDeps) -> None:
    """Bring one install a job nearer to what is wanted. Raises `Wait` until the job's next due time."""
    begun = await jobs.begin(work, deps, work.key)
    if begun is None:
        await retry_orphans(work, deps)
        return
    if begun.waits_until:
        raise Wait(RETENTION, "the data is kept until then", until=begun.waits_until)
    try:
        await _run(work, deps, begun)
    except SupersededError:
        await jobs.supersede(work, begun)


async def _run(work: Work, deps: ProvisionerDeps, begun: Begun) -> None:
    while True:
        steps = await _Steps(work, deps, begun).until_nothing_can()
        if begun.job.undoing:
            if not any(step.state == "waiting" for step in steps):
                await jobs.undone(work, begun)
                return
        elif failed := next((step for step in steps if step.state == "failed"), None):
            undo = await jobs.fail(work, begun, failed)
            if not undo:
                return
            begun.steps = undo
            continue
        elif all(step.state == "completed" for step in steps):
            await _complete(work, deps, begun)
            return
        raise await jobs.wait(work, begun, steps)


async def _complete(work: Work, deps: ProvisionerDeps, begun: Begun) -> None:
    """In the same commit the work is done, unless more is wanted already."""
    async with work.transaction("completed", finish=True) as tx:
        install = await installs.locked(tx, begun.install.id)
        job = await rows.get(tx, begun.job.id)
        assert install is not None
        again: datetime | None = tx.now
        if install.revision != job.revision:
            await jobs.cancel(tx, job)
        elif until := await ending.complete(tx, deps, install, job):
            job.move_to("pending", tx.now)
            job.reason, job.due = RETENTION, until
            again = until
        elif next_action(install) is None:
            again = None
        if again:
            tx.schedule(JOB, str(install.id), due=again, subject=str(install.id))


def _undoing(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.operation == "destroy"]


class _Steps:
    """The steps of one job, each started as soon as what it needs is met."""

    def __init__(self, work: Work, deps: ProvisionerDeps, begun: Begun) -> None:
        self._work = work
        self._deps = deps
        self._begun = begun
        undoing = begun.job.undoing
        self._steps = _undoing(begun.steps) if undoing else begun.steps
        self._met = UNDO_MET if undoing else MET
        self._running: dict[asyncio.Task[Step], int] = {}  # where in `_steps` it stands
        self._parked: set[int] = set()  # tried in this run, and waiting for somebody
        self._superseded = False

    async def until_nothing_can(self) -> list[Step]:
        """All steps of the job as committed last. Raises `SupersededError` once what was running has ended."""
        try:
            while self._start():
                done, _ = await asyncio.wait(
                    self._running, timeout=self._until_due(), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    self._take(task)
        finally:
            await self._cancel()
        if self._superseded:
            raise SupersededError
        return self._steps

    def _start(self) -> bool:
        """Start what may go; whether anything runs."""
        stopping = self._superseded or (self._met is MET and any(step.state == "failed" for step in self._steps))
        now = self._deps.clock.now()
        for index, step in enumerate(self._steps):
            if stopping or len(self._running) >= self._deps.policy.side_by_side:
                break
            if self._may_start(index, step, now):
                run = StepRun(self._work, self._deps, self._begun.job, step, self._begun.plans)
                self._running[asyncio.create_task(run.run(), name=f"step-{step.name}")] = index
        return bool(self._running)

    def _may_start(self, index: int, step: Step, now: datetime) -> bool:
        if index in self._running.values() or index in self._parked or not step.may_go(now):
            return False
        return all(other.state in self._met for other in self._steps if other.name in step.needs)

    def _take(self, task: asyncio.Task[Step]) -> None:
        index = self._running.pop(task)
        try:
            self._steps[index] = task.result()
        except SupersededError:
            self._superseded = True
        else:
            if self._steps[index].state == "waiting" and self._steps[index].due is None:
                self._parked.add(index)

    def _until_due(self) -> float | None:
        """While others run, a step that waits for its time is not kept waiting for them."""
        now = self._deps.clock.now()
        dues = [step.due for step in self._steps if step.state == "waiting" and step.due and step.due > now]
        return (min(dues) - now).total_seconds() if dues else None

    async def _cancel(self) -> None:
        """The lease is lost, or we are told to stop: no step goes on without the others."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
