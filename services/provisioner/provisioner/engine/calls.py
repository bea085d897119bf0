"""One operation of one resource: the driver built from its record, called at the target's pace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from keyturn import failpoints
from keyturn.database import Transaction
from keyturn.log import hidden
from keyturn.work import Work
from provisioner import rendering
from provisioner.deps import ProvisionerDeps
from provisioner.engine import values
from provisioner.engine.notes import CommittedNotes
from provisioner.records import Operation, Record
from provisioner.repository import jobs
from provisioner.resources import Kinds
from provisioner.resources.port import Given, Gone, NotReady, Outputs, Pace, Permanent, Transient


@dataclass(frozen=True)
class Prepared:
    """A record with its secrets at hand; lives as long as one call."""

    record: Record
    secrets: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Prepared({self.record.name})"


@dataclass(frozen=True)
class Result:
    """What a call came to. `target`: where it went."""

    target: str
    outputs: Outputs | None = None
    gone: Gone | None = None


async def prepare(tx: Transaction, deps: ProvisionerDeps, record: Record) -> Prepared:
    references = rendering.secrets_in(record.parameters)
    return Prepared(record, await values.read(tx, deps.keys, record.install_id, references))


class Caller:
    """Calls drivers for one work: their notes are written under its fence."""

    def __init__(self, work: Work, deps: ProvisionerDeps) -> None:
        self._work = work
        self._deps = deps

    async def call(self, operation: Operation, prepared: Prepared) -> Result:
        """Raises what the driver raises."""
        record = prepared.record
        stopped = record.state != "intended" or record.cause is not None  # or may be: something was cut short
        with hidden(*prepared.secrets.values()):
            driver = self._driver(prepared)
            notes = CommittedNotes(self._work, self._deps.keys, record)
            if operation == "ensure":
                await driver.choose(notes)
            target = await driver.target(notes)
            async with self._deps.paces.call(target, driver.pace):
                if operation != "probe":  # asking disturbs nobody
                    await self._enter(target, driver.pace, record)
                await failpoints.hit(f"provisioner.driver.{operation}.before")
                match operation:
                    case "ensure":
                        result = Result(target, outputs=await driver.ensure(notes))
                        if stopped:
                            await driver.resume(notes)
                    case "destroy":
                        result = Result(target, gone=await driver.destroy(notes))
                    case "suspend":
                        result = Result(target)
                        await driver.suspend(notes)
                    case "resume":
                        result = Result(target)
                        await driver.resume(notes)
                    case "probe":
                        result = Result(target)
                        await _well(record.name, driver, notes)
                await failpoints.hit(f"provisioner.driver.{operation}.after")
        return result

    async def probe(self, all_prepared: Sequence[Prepared]) -> None:
        """Rule 9: every one of them answers. Raises `NotReady` for the first that does not."""
        for prepared in all_prepared:
            await self.call("probe", prepared)

    def _driver(self, prepared: Prepared) -> Any:
        record, kinds = prepared.record, self._deps.kinds
        parameters = checked(kinds, record.kind, record.parameters, prepared.secrets)
        given = Given(record.install_id, record.name, parameters, frozenset(record.customer_named))
        return kinds.resource(record.kind, given)

    async def _enter(self, target: str, pace: Pace, record: Record) -> None:
        """A place at a target that takes only so many over all replicas; left when the step's outcome is written."""
        if pace.strict:
            async with self._work.transaction("slot") as tx:
                free = await jobs.enter(tx, target, record.install_id, record.name, pace.together)
            if not free:
                raise Busy(f"{target} is busy with another install")


def checked(kinds: Kinds, kind: str, rendered: Mapping[str, Any], secrets: Mapping[str, str]) -> BaseModel:
    """The parameters as the driver takes them. Raises `Permanent` where it would not."""
    if kind not in kinds.resources:
        raise Permanent(f"there is no kind {kind!r} in this release")
    try:
        return kinds.resources[kind].Parameters.model_validate(rendering.reveal(rendered, secrets))
    except ValidationError as error:
        one = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise Permanent(f"parameter {'.'.join(map(str, one['loc']))} is not right: {one['type']}") from None


class Busy(NotReady):
    """All places at the target are taken."""


async def _well(name: str, driver: Any, notes: CommittedNotes) -> None:
    health = await driver.probe(notes)
    if not health.ok:
        raise NotReady(f"{name}: {health.detail or 'does not answer the probe'}", after=timedelta(seconds=2))


def unexpected(error: Exception) -> Transient:
    """A driver raised what it may not: a bug, tried again like an outage, named by its class alone."""
    return Transient(f"unexpected {type(error).__name__}")
