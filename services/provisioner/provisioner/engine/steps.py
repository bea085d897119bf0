"""One step of a job: what is intended is committed, the driver is called, and what came of it is committed. No more."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from keyturn.errors import KeyturnError
from keyturn.work import Work
from provisioner import rendering
from provisioner.blueprints import Plan
from provisioner.deps import ProvisionerDeps
from provisioner.engine import telling, values
from provisioner.engine.begun import Begun
from provisioner.engine.calls import Caller, Prepared, Result, checked, unexpected
from provisioner.engine.notes import sealed
from provisioner.engine.outcomes import Outcome, judge
from provisioner.errors import TemplateError
from provisioner.records import Record, Step
from provisioner.resources.port import DriverError, NeedsOperator

# Jobs that end in failure. In the others a step that fails for good is parked for an operator: nobody is helped by a
# suspension or removal that was given up.
MAY_FAIL = frozenset({"provision", "change_plan"})
POLLING = frozenset({"not_ready", "capacity"})


@dataclass
class StepRun:
    """One try of a step. `begin` and `end` change what the commits before and after the call write."""

    work: Work
    deps: ProvisionerDeps
    begun: Begun
    step: Step
    prepared: list[Prepared] = field(default_factory=list)
    ended: bool = False
    quiet: bool = False

    def begin(self) -> None:
        """It has ended already where there is nothing to call a driver with."""
        step, now = self.step, self.begun.now
        self.quiet = step.state == "waiting" and step.reason in POLLING
        step.state, step.started_at = "processing", step.started_at or now
        step.waiting_since = step.waiting_since or now
        step.attempts += 1
        self.begun.changed(step)
        problem: DriverError | None = None
        try:
            self.prepared = self._prepare()
        except TemplateError as error:
            problem = NeedsOperator(str(error))
        except DriverError as error:
            problem = error
        if problem:
            self.end(problem)

    def tell(self) -> None:
        """That it is under way, where it has not ended before that could be written."""
        if not (self.ended or self.quiet):
            telling.step_changed(self.begun, self.begun.job, self.step, "processing")

    def withdraw(self) -> None:
        """Not called after all."""
        self.step.state = "pending"
        self.step.attempts -= 1
        self.begun.changed(self.step)

    def _prepare(self) -> list[Prepared]:
        records = self.begun.records
        if self.step.operation == "probe":
            return [self._with_secrets(record) for record in records.values() if _counts(record)]
        record = self._intend() if self.step.operation == "ensure" else records[self.step.name]
        if self.step.operation in {"ensure", "resume"} and record.state == "suspended":
            record.state = "present"  # whatever becomes of the call: who suspends it next must not pass it over
            self.begun.changed(self.step, record)
        return [self._with_secrets(record)]

    def _with_secrets(self, record: Record) -> Prepared:
        return Prepared(record, self.begun.opened(self.deps.keys, rendering.secrets_in(record.parameters)))

    def _intend(self) -> Record:
        """The record with what the resource is to be; new secrets are sealed and written with it, before first use."""
        plan, begun = self.begun.plans[self.step.name], self.begun
        find = values.lookup(begun.install, begun.records, self.deps.settings)
        rendered = {key: rendering.render(value, find) for key, value in plan.parameters.items()}
        references = set(rendering.secrets_in(rendered))
        begun.make_secrets(self.deps.keys, values.random_names(references))
        checked(self.deps.kinds, plan.kind, rendered, begun.opened(self.deps.keys, references))  # or nothing to undo
        record = begun.records.get(plan.name)
        if record is None:
            record = begun.records[plan.name] = self._new_record(plan)
        elif record.state in {"gone", "orphan"}:
            _begin_again(record, keep=record.state == "orphan")
            begun.rows.outputs.add(begun.named(record.name))
        record.kind, record.parameters, record.customer_named = plan.kind, rendered, sorted(plan.customer_named)
        record.needs, record.optional = list(plan.needs), plan.optional
        begun.changed(self.step, record)
        return record

    def _new_record(self, plan: Plan) -> Record:
        return Record(
            install_id=self.begun.install.id,
            name=plan.name,
            kind=plan.kind,
            position=self.step.position,
            state="intended",
            optional=plan.optional,
            parameters={},
            customer_named=[],
            needs=[],
            intended_at=self.begun.now,
        )

    async def call(self) -> Result:
        """Raises `DriverError`."""
        caller = Caller(self.work, self.deps)
        try:
            if self.step.operation == "probe":
                await caller.probe(self.prepared)
                return Result(target="")
            return await caller.call(self.step.operation, self.prepared[0])
        except (DriverError, KeyturnError):
            raise
        except Exception as error:
            raise unexpected(error) from error

    def end(self, came: Result | DriverError) -> None:
        self.ended = True
        step, record = self.step, self.begun.records.get(self.step.name)
        self.begun.rows.left.add(self.begun.named(step.name))
        if isinstance(came, Result):
            self._succeeded(step, record, came)
        else:
            self._failed(step, record, self._judged(step, came))
        self.begun.changed(step, record)

    def _judged(self, step: Step, error: DriverError) -> Outcome:
        policy = self.deps.policy
        kind = self.deps.kinds.resources.get(step.kind)
        outcome = judge(
            error,
            step,
            now=self.begun.now,
            retry=policy.removal if self.begun.job.undoing else policy.retry,
            patience=kind.patience if kind else timedelta(minutes=20),
            capacity=policy.capacity_every,
        )
        undoing = self.begun.job.undoing
        gives_up = outcome.reason is None and (undoing or self.begun.job.action in MAY_FAIL)
        if outcome.reason is None and not gives_up:
            return Outcome("needs_operator", None, outcome.detail)
        if undoing and outcome.due is None:
            return Outcome(None, None, outcome.detail)  # an undo waits for nobody: what is left becomes an orphan
        return outcome

    def _succeeded(self, step: Step, record: Record | None, result: Result) -> None:
        begun = self.begun
        step.state, step.ended_at, step.due, step.reason, step.detail = "completed", begun.now, None, None, None
        if record is not None and step.operation != "probe":
            record.target, record.cause, record.message, record.attempts = result.target, None, None, 0
            self._changed(record, result)
        if result.gone:
            step.outcome = result.gone
            begun.rows.gone.add(begun.named(step.name))
        telling.step_changed(begun, begun.job, step, "undone" if begun.job.undoing else "completed")

    def _changed(self, record: Record, result: Result) -> None:
        now = self.begun.now
        match self.step.operation:
            case "ensure":
                record.state, record.present_at = "present", record.present_at or now
                record.outputs = self._outputs(record, result.outputs or {})
                self.begun.rows.outputs.add(self.begun.named(record.name))
            case "suspend":
                record.state = "suspended"
            case "resume":
                record.state = "present"
            case "destroy":
                record.state, record.gone_at, record.outcome = "gone", now, result.gone
                record.outputs, record.notes, record.parameters = {}, {}, {}
                self.begun.rows.outputs.add(self.begun.named(record.name))

    def _outputs(self, record: Record, outputs: Mapping[str, Any]) -> dict[str, Any]:
        places = {name: values.place(record.install_id, record.name, "outputs", name) for name in outputs}
        return {name: sealed(value, self.deps.keys, places[name]) for name, value in outputs.items()}

    def _failed(self, step: Step, record: Record | None, outcome: Outcome) -> None:
        begun, before = self.begun, (step.reason, step.detail)
        step.attempts -= 0 if outcome.counts else 1
        step.reason, step.detail, step.due = outcome.reason, outcome.detail, outcome.due
        step.state = "waiting" if outcome.reason else "failed"
        if step.operation == "destroy" and record and outcome.due is None:
            _strand(begun, record, outcome)
        if outcome.reason is None:
            step.ended_at = begun.now
            telling.step_changed(begun, begun.job, step, "failed")
        elif before != (step.reason, step.detail) or outcome.counts:
            telling.step_changed(begun, begun.job, step, "waiting")
            telling.waiting(begun, begun.job, outcome.reason, outcome.detail, step=step.name, until=outcome.due)


def _counts(record: Record) -> bool:
    return record.state == "present" and not record.optional


def _begin_again(record: Record, *, keep: bool) -> None:
    """`keep`: it may still be there, and its notes say where."""
    record.state, record.present_at, record.gone_at, record.outcome = "intended", None, None, None
    record.outputs = {}
    if not keep:
        record.notes = {}


def _strand(begun: Begun, record: Record, outcome: Outcome) -> None:
    """It could not be removed: listed, told once, and tried again."""
    found = record.state != "orphan"
    record.state, record.message = "orphan", outcome.detail
    record.cause = outcome.reason or "failed"
    record.attempts += 1
    if found:
        telling.orphan(begun, record)
