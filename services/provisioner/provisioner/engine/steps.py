"""One step of a job: its intent is committed, the driver is called, and what came of it is committed. No more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from keyturn.database import Transaction
from keyturn.errors import KeyturnError
from keyturn.work import Work
from provisioner import rendering
from provisioner.blueprints import Plan
from provisioner.deps import ProvisionerDeps
from provisioner.domain import Install
from provisioner.engine import telling, values
from provisioner.engine.calls import Caller, Prepared, Result, checked, leave, prepare, unexpected
from provisioner.engine.notes import sealed
from provisioner.engine.outcomes import Outcome, judge
from provisioner.errors import SupersededError, TemplateError
from provisioner.records import Job, Record, Step
from provisioner.repository import installs, jobs
from provisioner.resources.port import DriverError, NeedsOperator

# Jobs that end in failure. In the others a step that fails for good is parked for an operator: nobody is helped by a
# suspension or removal that was given up.
MAY_FAIL = frozenset({"provision", "change_plan"})
POLLING = frozenset({"not_ready", "capacity"})


@dataclass
class StepRun:
    """Works on one step; `plans` are the resources that the blueprint wants for this install."""

    work: Work
    deps: ProvisionerDeps
    job: Job
    step: Step
    plans: Mapping[str, Plan]

    async def run(self) -> Step:
        """The step as it was committed last. Raises `SupersededError` before anything is begun."""
        try:
            result = await self._call(await self._begin())
        except DriverError as error:
            return await self._end(None, error)
        return await self._end(result, None)

    async def _begin(self) -> list[Prepared]:
        async with self.work.transaction("step_begun") as tx:
            install = await installs.get(tx, self.job.install_id)
            if install.revision != self.job.revision and not self.job.undoing:
                raise SupersededError
            step = await jobs.step(tx, self.step.id)
            quiet = step.state == "waiting" and step.reason in POLLING
            step.state, step.started_at = "processing", step.started_at or tx.now
            step.waiting_since = step.waiting_since or tx.now
            step.attempts += 1
            self.step = step
            prepared: list[Prepared] = []
            problem: DriverError | None = None
            try:
                prepared = await self._prepare(tx, install)
            except TemplateError as error:
                problem = NeedsOperator(str(error))
            except DriverError as error:
                problem = error
            if not quiet:
                telling.step_changed(tx, self.job, step, "processing")
        if problem:
            raise problem
        return prepared

    async def _prepare(self, tx: Transaction, install: Install) -> list[Prepared]:
        if self.step.operation == "probe":
            return [await prepare(tx, self.deps, r) for r in await installs.records(tx, install.id) if _counts(r)]
        if self.step.operation == "ensure":
            record = await self._intend(tx, install)
        else:
            found = await installs.record(tx, install.id, self.step.name)
            assert found is not None
            record = found
        return [await prepare(tx, self.deps, record)]

    async def _intend(self, tx: Transaction, install: Install) -> Record:
        """The record with what the resource is to be; new secrets are sealed and written here, before first use."""
        plan = self.plans[self.step.name]
        known = {record.name: record for record in await installs.records(tx, install.id)}
        find = values.lookup(install, known, self.deps.settings)
        rendered = {key: rendering.render(value, find) for key, value in plan.parameters.items()}
        wanted = values.random_names(rendering.secrets_in(rendered))
        missing = set(wanted) - set(await installs.secrets_of(tx, install.id)) if wanted else set()
        await installs.make_secrets(tx, install.id, values.new_secrets(missing), self.deps.keys)
        opened = await values.opened(tx, self.deps.keys, install.id, rendering.secrets_in(rendered))
        checked(self.deps.kinds, plan.kind, rendered, opened)  # what no driver would take leaves no record to undo
        record = known.get(plan.name)
        if record is None:
            record = _new_record(install, plan, position=self.step.position, tx=tx)
            installs.add(tx, record)
        elif record.state in {"gone", "orphan"}:
            _begin_again(record, keep=record.state == "orphan")
        record.kind, record.parameters, record.customer_named = plan.kind, rendered, plan.customer_named
        record.needs, record.optional = list(plan.needs), plan.optional
        await tx.session.flush()
        return record

    async def _call(self, prepared: list[Prepared]) -> Result:
        caller = Caller(self.work, self.deps)
        try:
            if self.step.operation == "probe":
                await caller.probe(prepared)
                return Result(target="")
            return await caller.call(self.step.operation, prepared[0])
        except (DriverError, KeyturnError):
            raise
        except Exception as error:
            raise unexpected(error) from error

    async def _end(self, result: Result | None, error: DriverError | None) -> Step:
        async with self.work.transaction("step_ended") as tx:
            step = await jobs.step(tx, self.step.id)
            record = await installs.record(tx, self.job.install_id, step.name)
            await leave(tx, self.job.install_id, step.name)
            if result:
                await self._succeeded(tx, step, record, result)
            else:
                assert error is not None
                self._failed(tx, step, record, self._judged(tx, step, error))
        return step

    def _judged(self, tx: Transaction, step: Step, error: DriverError) -> Outcome:
        policy = self.deps.policy
        kind = self.deps.kinds.resources.get(step.kind)
        outcome = judge(
            error,
            step,
            now=tx.now,
            retry=policy.removal if self.job.undoing else policy.retry,
            patience=kind.patience if kind else timedelta(minutes=20),
            capacity=policy.capacity_every,
        )
        gives_up = outcome.reason is None and (self.job.undoing or self.job.action in MAY_FAIL)
        if outcome.reason is None and not gives_up:
            return Outcome("needs_operator", None, outcome.detail)
        if self.job.undoing and outcome.due is None:
            return Outcome(None, None, outcome.detail)  # an undo waits for nobody: what is left becomes an orphan
        return outcome

    async def _succeeded(self, tx: Transaction, step: Step, record: Record | None, result: Result) -> None:
        step.state, step.ended_at, step.due, step.reason, step.detail = "completed", tx.now, None, None, None
        if record is not None and step.operation != "probe":
            record.target, record.cause, record.message, record.attempts = result.target, None, None, 0
            self._changed(record, result, tx)
        if result.gone:
            step.outcome = result.gone
            await installs.give_back(tx, self.job.install_id, step.name)
        telling.step_changed(tx, self.job, step, "undone" if self.job.undoing else "completed")

    def _changed(self, record: Record, result: Result, tx: Transaction) -> None:
        match self.step.operation:
            case "ensure":
                record.state, record.present_at = "present", record.present_at or tx.now
                record.outputs = self._outputs(record, result.outputs or {})
            case "suspend":
                record.state = "suspended"
            case "resume":
                record.state = "present"
            case "destroy":
                record.state, record.gone_at, record.outcome = "gone", tx.now, result.gone
                record.outputs, record.notes, record.parameters = {}, {}, {}

    def _outputs(self, record: Record, outputs: Mapping[str, Any]) -> dict[str, Any]:
        places = {name: values.place(record.install_id, record.name, "outputs", name) for name in outputs}
        return {name: sealed(value, self.deps.keys, places[name]) for name, value in outputs.items()}

    def _failed(self, tx: Transaction, step: Step, record: Record | None, outcome: Outcome) -> None:
        before = (step.reason, step.detail)
        step.attempts -= 0 if outcome.counts else 1
        step.reason, step.detail, step.due = outcome.reason, outcome.detail, outcome.due
        step.state = "waiting" if outcome.reason else "failed"
        if step.operation == "destroy" and record and outcome.due is None:
            _strand(tx, record, outcome)
        if outcome.reason is None:
            step.ended_at = tx.now
            telling.step_changed(tx, self.job, step, "failed")
        elif before != (step.reason, step.detail) or outcome.counts:
            telling.step_changed(tx, self.job, step, "waiting")
            telling.waiting(tx, self.job, outcome.reason, outcome.detail, step=step.name, until=outcome.due)


def _counts(record: Record) -> bool:
    return record.state == "present" and not record.optional


def _new_record(install: Install, plan: Plan, *, position: int, tx: Transaction) -> Record:
    return Record(
        install_id=install.id,
        name=plan.name,
        kind=plan.kind,
        position=position,
        state="intended",
        optional=plan.optional,
        parameters={},
        customer_named=[],
        needs=[],
        intended_at=tx.now,
    )


def _begin_again(record: Record, *, keep: bool) -> None:
    """`keep`: it may still be there, and its notes say where."""
    record.state, record.present_at, record.gone_at, record.outcome = "intended", None, None, None
    record.outputs = {}
    if not keep:
        record.notes = {}


def _strand(tx: Transaction, record: Record, outcome: Outcome) -> None:
    """It could not be removed: listed, told once, and tried again."""
    found = record.state != "orphan"
    record.state, record.message = "orphan", outcome.detail
    record.cause = outcome.reason or "failed"
    record.attempts += 1
    if found:
        telling.orphan(tx, record)
