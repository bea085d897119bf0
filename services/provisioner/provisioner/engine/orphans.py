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
from provisioner.repository import installs, progress
from provisioner.resources.port import DriverError

FIRST = timedelta(seconds=30)
LONGEST = timedelta(hours=6)


async def retry_orphans(work: Work, deps: ProvisionerDeps) -> None:
    """Raises `Wait` while some are left."""
    async with work.transaction("orphans") as tx:
        records = await progress.records(tx, UUID(work.key))
        found = [record for record in records.values() if record.state == "orphan"]
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
    record = prepared.record
    named = (record.install_id, record.name)
    rows = progress.Rows(records={named: record}, left={named})
    async with work.transaction("orphan_tried") as tx:
        if result is None:
            record.attempts, record.message = record.attempts + 1, message
        else:
            record.state, record.gone_at, record.outcome = "gone", tx.now, result.gone
            record.notes, record.outputs, record.parameters = {}, {}, {}
            rows.outputs, rows.gone = {named}, {named}
            await installs.note(tx, record.install_id, "orphan_removed", resource=record.name)
        fence = (work.id, work.fence, record.install_id)
        await tx.run(progress.WRITE, *progress.parameters([fence], rows, tx.now))
    return record if result is None else None


def _next(record: Record, now: datetime) -> datetime:
    doubled: timedelta = FIRST * 2 ** min(record.attempts, 20)
    return now + min(doubled, LONGEST)
