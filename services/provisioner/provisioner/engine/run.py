"""A job run by one worker: whatever may go on goes on, side by side, until nothing can."""

import asyncio
from datetime import datetime

from keyturn.work import Work
from provisioner.deps import ProvisionerDeps
from provisioner.engine import ending, jobs
from provisioner.engine.begun import Begun
from provisioner.engine.calls import Result
from provisioner.engine.orphans import retry_orphans
from provisioner.engine.steps import StepRun
from provisioner.errors import SupersededError
from provisioner.records import Step
from provisioner.resources.port import DriverError

MET = frozenset({"completed"})
AT_ONCE = 0.02  # seconds: a probe that takes longer is worth a commit of its own
UNDO_MET = frozenset({"completed", "failed"})  # what could not be removed keeps nothing else from being removed


async def run_job(work: Work, deps: ProvisionerDeps) -> None:
    """Bring one install a job nearer to what is wanted. Raises `Wait` until the job's next due time."""
    begins: list[_Steps] = []  # the steps of the job, the first of them begun with it; of several tries the last holds

    def go(begun: Begun) -> None:
        begins.append(steps := _Steps(work, deps, begun))
        steps.begin()
        steps.tell()

    begun = await jobs.begin(work, deps, work.key, go)
    if begun is None:
        await retry_orphans(work, deps)
        return
    try:
        await _run(work, deps, begun, begins[-1])
    except SupersededError:
        await jobs.supersede(work, begun)


async def _run(work: Work, deps: ProvisionerDeps, begun: Begun, going: "_Steps") -> None:
    while True:
        steps = await going.until_nothing_can()
        if begun.job.undoing:
            if not any(step.state == "waiting" for step in steps):
                await jobs.undone(work, begun)
                return
        elif failed := next((step for step in steps if step.state == "failed"), None):
            await jobs.fail(work, begun, failed)
            if not begun.job.undoing:
                await retry_orphans(work, deps)  # what it could not remove
                return
            going = _Steps(work, deps, begun)
            continue
        elif all(step.state == "completed" for step in steps):
            await ending.complete(deps, begun)
            return
        raise await jobs.wait(work, begun, steps)


def _undoing(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.operation == "destroy"]


class _Steps:
    """The steps of one job, each begun as soon as what it needs is met."""

    def __init__(self, work: Work, deps: ProvisionerDeps, begun: Begun) -> None:
        self._work = work
        self._deps = deps
        self._begun = begun
        undoing = begun.job.undoing
        self._steps = _undoing(begun.steps) if undoing else begun.steps
        self._met = UNDO_MET if undoing else MET
        self._fresh: list[StepRun] = []  # begun, and not called yet
        self._running: dict[asyncio.Task[Result], StepRun] = {}
        self._parked: list[Step] = []  # tried in this run, and waiting for somebody
        self._superseded = False

    async def until_nothing_can(self) -> list[Step]:
        """The steps of the job; what they came to last is written with whatever follows. Raises `SupersededError` once
        what was running has ended."""
        try:
            await self._go_on()
            while self.begin() or self._running:
                await self._write()
                await self._go_on()
        finally:
            await self._cancel()
        if self._superseded:
            raise SupersededError
        return self._steps

    def begin(self) -> bool:
        """Begin what may go, in memory."""
        stopping = self._superseded or (self._met is MET and any(step.state == "failed" for step in self._steps))
        now = self._begun.now = self._deps.clock.now()
        for step in self._steps:
            if stopping or len(self._running) + len(self._fresh) >= self._deps.policy.side_by_side:
                break
            if self._may_begin(step, now):
                self._fresh.append(run := StepRun(self._work, self._deps, self._begun, step))
                run.begin()
                self._park(step)
        return bool(self._fresh)

    def tell(self, *more: StepRun) -> None:
        """That it is under way, of what is begun, with the commit that says so."""
        for run in (*self._fresh, *more):
            run.tell()

    def _may_begin(self, step: Step, now: datetime) -> bool:
        if step in (run.step for run in self._running.values()) or step in self._parked or not step.may_go(now):
            return False
        return all(other.state in self._met for other in self._steps if other.name in step.needs)

    async def _write(self) -> None:
        """What has ended and what is begun, in one commit. A probe changes nothing, and is asked meanwhile; where it
        answers at once and ends the job, what it was asked about is written with the end."""
        probes = [run for run in self._fresh if run.step.operation == "probe"]
        for run in probes:
            self._fresh.remove(run)
            self._call(run)
        if probes and not self._fresh and await self._answered(AT_ONCE):
            return
        self.tell(*probes)
        if self._begun.rows:
            revision = await self._deps.recorder.write(self._begun)
            self._superseded |= revision != self._begun.job.revision and not self._begun.job.undoing

    async def _go_on(self) -> None:
        """Call the drivers of what is begun, unless a newer wish has come, and wait until one has answered."""
        for run in self._fresh:
            if self._superseded and not run.ended:
                run.withdraw()
            else:
                self._call(run)
        self._fresh = []
        if self._running:
            await self._take_what_ended()

    def _call(self, run: StepRun) -> None:
        if not run.ended:
            self._running[asyncio.create_task(run.call(), name=f"step-{run.step.name}")] = run

    async def _answered(self, within: float | None) -> set[asyncio.Task[Result]]:
        return (await asyncio.wait(self._running, timeout=within, return_when=asyncio.FIRST_COMPLETED))[0]

    async def _take_what_ended(self) -> None:
        done = await self._answered(self._until_due())
        self._begun.now = self._deps.clock.now()
        for task in done:
            run = self._running.pop(task)
            try:
                came: Result | DriverError = task.result()
            except DriverError as error:
                came = error
            run.end(came)
            self._park(run.step)

    def _park(self, step: Step) -> None:
        if step.state == "waiting" and step.due is None:
            self._parked.append(step)

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
