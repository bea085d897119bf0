"""What could not be removed is tried again, ever more seldom, by the same work that runs the install's jobs: so no job
and no clean-up ever touch one resource at the same time."""

from datetime import datetime, timedelta
from uuid import UUID

from keyturn.errors import KeyturnError, Wait
from keyturn.work import Work
from provisioner.deps import ProvisionerDeps
from provisioner.engine.calls import Caller, Prepared, Result, prepare, unexpected
from provisioner.engine.telling import safe
from provisioner.records import Record
from provisioner.repository import installs
from provisioner.resources.port import DriverError

FIRST = timedelta(seconds=30)
LONGEST = timedelta(hours=6)


async def retry_orphans(work: Work, deps: ProvisionerDeps) -> None:
    """Raises `Wait` while some are left."""
    async with work.transaction("orphans") as tx:
        found = [r for r in await installs.records(tx, UUID(work.key)) if r.state == "orphan"]
        prepared = [await prepare(tx, deps, record) for record in found]
    left = [record for one in prepared if (record := await _retry(work, deps, one))]
    if left:
        due = min(_next(record, deps.clock.now()) for record in left)
        raise Wait("orphan", f"{len(left)} could not be removed: {left[0].name}", until=due)


async def _retry(work: Work, deps: ProvisionerDeps, prepared: Prepared) -> Record | None:
    """The record, where it is still an orphan."""
    result: Result | None = None
    message = ""
    try:
        result = await Caller(work, deps).call("destroy", prepared)
    except DriverError as error:
        message = safe(error)
    except KeyturnError:
        raise
    except Exception as error:  # noqa: BLE001 - a driver's bug must not keep the others from being removed
        message = safe(unexpected(error))
    async with work.transaction("orphan_tried") as tx:
        record = await installs.record(tx, prepared.record.install_id, prepared.record.name)
        assert record is not None
        await installs.leave_slots(tx, record.install_id, record.name)
        if result is None:
            record.attempts, record.message = record.attempts + 1, message
            return record
        record.state, record.gone_at, record.outcome = "gone", tx.now, result.gone
        record.notes, record.outputs, record.parameters = {}, {}, {}
        await installs.give_back(tx, record.install_id, record.name)
        await installs.note(tx, record.install_id, "orphan_removed", resource=record.name)
    return None


def _next(record: Record, now: datetime) -> datetime:
    doubled: timedelta = FIRST * 2 ** min(record.attempts, 20)
    return now + min(doubled, LONGEST)
