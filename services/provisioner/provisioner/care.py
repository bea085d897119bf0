"""Work beside the jobs: programs that died, links whose mail never went out, passwords that take minutes, tidying."""

import asyncio
from datetime import timedelta
from uuid import UUID

from keyturn.database import Transaction
from keyturn.errors import GiveUp, KeyturnError, Problem, Wait
from keyturn.log import get_logger
from keyturn.work import Work
from provisioner import setup
from provisioner.deps import ProvisionerDeps
from provisioner.engine.calls import Caller, Prepared, prepare
from provisioner.engine.jobs import JOB
from provisioner.records import Record
from provisioner.repository import installs, links, names
from provisioner.resources.port import DriverError

REISSUE = "reissue"
BATCH = 200
TIDIED = 1_000
PROBES_AT_ONCE = 16
APPLYING_EVERY = timedelta(seconds=10)
APPLYING_AT_MOST = timedelta(hours=1)

log = get_logger()


async def watch(work: Work, deps: ProvisionerDeps) -> None:
    """Probe the programs on this machine; an install with a dead one gets a repair job."""
    for name, kind in deps.kinds.resources.items():
        if kind.watched:
            await _watch(work, deps, name)


async def _watch(work: Work, deps: ProvisionerDeps, kind: str) -> None:
    after = installs.START
    while True:
        async with work.transaction("looked") as tx:
            batch = await installs.standing(tx, kind, after, BATCH)
            prepared = [await prepare(tx, deps, record) for record in batch]
        limit = asyncio.Semaphore(PROBES_AT_ONCE)
        looked = await asyncio.gather(*(_look(work, deps, one, limit) for one in prepared), return_exceptions=True)
        for error in filter(None, looked):
            raise error  # a lost lease, or a database that is away: after the others have ended
        if len(batch) < BATCH:
            return
        after = (batch[-1].install_id, batch[-1].name)


async def _look(work: Work, deps: ProvisionerDeps, one: Prepared, limit: asyncio.Semaphore) -> None:
    """Neither a program that hangs nor a driver's bug keeps the others from being looked after."""
    async with limit:
        try:
            await Caller(work, deps).call("probe", one)
        except DriverError as error:
            log.info("resource_down", install=str(one.record.install_id), resource=one.record.name)
            await _repair(work, one.record, str(error))
        except KeyturnError:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            log.error("probe_broke", resource=one.record.name, error=type(error).__name__)  # noqa: TRY400 - may quote


async def _repair(work: Work, record: Record, detail: str) -> None:
    async with work.transaction("repair") as tx:
        install = await installs.locked(tx, record.install_id)
        if install and install.state in {"active", "setup_pending"} and install.level == "on" and not install.repair:
            install.repair = True
            install.revision += 1
            await installs.note(tx, install.id, "found_dead", resource=record.name, detail=detail[:300])
            tx.schedule(JOB, str(install.id), subject=str(install.id))


async def reissue_unsent(work: Work, deps: ProvisionerDeps) -> None:
    """Only where the link that was not sent is still the newest, and somebody waits for it."""
    install_id = UUID(work.key)
    async with work.transaction("reissued", finish=True) as tx:
        newest = await links.of_install(tx, install_id)
        if newest and str(newest[0].id) == work.payload["link_id"]:
            try:
                await setup.reissue(tx, deps, install_id)
            except Problem as problem:
                log.info("setup_link_not_reissued", install=str(install_id), code=problem.code)


async def setup_applying(work: Work, deps: ProvisionerDeps) -> None:
    """Ask the target about a password that it said it would set."""
    async with work.transaction("asked") as tx:
        link = await links.locked(tx, UUID(work.key))
        if link is None or link.state != "completing" or link.operation is None:
            return
        install = await installs.get(tx, link.install_id)
        assert install is not None
        call = await setup.call_of(tx, deps, install, int(link.operation["call"]))
        operation = link.operation["operation"]
    try:
        applied = await call.applied(operation)
    except DriverError:
        applied = False
    if not applied and deps.clock.now() - work.waiting_since >= APPLYING_AT_MOST:
        raise GiveUp("the target said that it would set the password, and never did")
    if not applied:
        raise Wait("not_ready", "the target is still setting the password", until=deps.clock.now() + APPLYING_EVERY)
    async with work.transaction("applied", finish=True) as tx:
        owner = await installs.locked(tx, install.id)
        found = await links.locked(tx, link.id)
        if owner and found and found.state == "completing":
            setup.settle(tx, found, owner)


async def applying_died(work: Work, error: BaseException, tx: Transaction) -> None:  # noqa: ARG001 - the callback's shape
    """Whether the password is set is unknown: the customer may choose one again with the same link."""
    link = await links.locked(tx, UUID(work.key))
    if link and link.state == "completing" and link.operation:
        link.move_to("open")
        link.operation, link.claimed_until = None, None
        link.detail = "Your install did not set the password; please choose it again."


async def tidy(work: Work, deps: ProvisionerDeps) -> None:  # noqa: ARG001 - every kind of work is given them
    """In batches small enough to disturb nobody."""
    more = True
    while more:
        async with work.transaction("tidied") as tx:
            lapsed = await names.forget_lapsed(tx, tx.now, TIDIED)
            expired = await links.expire(tx, TIDIED)
            more = TIDIED in {lapsed, expired}
