"""Each certificate's own work: it orders it, renews it, puts it where web servers read it, and removes it."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from keyturn.database import Transaction
from keyturn.errors import Failure, Retry, Wait
from keyturn.events.sealed import Sealed
from keyturn.log import get_logger
from keyturn.work import Work
from provisioner.certificates.ordering import Forbidden, Ordering, place
from provisioner.certificates.records import Certificate, Trouble
from provisioner.certificates.using import CERTIFICATE
from provisioner.engine.telling import safe
from provisioner.repository import certificates
from provisioner.resources.acme_errors import OrderFailed, RateLimited
from provisioner.resources.port import DriverError, Permanent, Transient

if TYPE_CHECKING:
    from provisioner.deps import ProvisionerDeps

BATCH = 100
AGREED_EVERY = timedelta(hours=12)  # how often a server is asked when it would like a certificate to be renewed
LIMITED_FOR = timedelta(hours=1)  # where the server does not say

log = get_logger()


async def certificate(work: Work, deps: "ProvisionerDeps") -> None:
    """Bring one certificate to what is wanted: there, renewed, or gone."""
    async with work.transaction("read") as tx:
        found = await certificates.get(tx, UUID(work.key))
        if found is None:
            return
        users = await certificates.used_by(tx, found.id, BATCH)
        stays = bool(users) or found.kept_for_others(deps.settings.base_domain, tx.now)
        if stays:
            await certificates.forget_released(tx, found.id)
    if not stays:
        await _remove(work, deps, found)
    elif found.challenge != "given" and (users or found.order_url):
        await _bring(work, deps, found, users)


async def _bring(work: Work, deps: "ProvisionerDeps", found: Certificate, users: list[UUID]) -> None:
    now = deps.clock.now()
    if found.wanted(now):
        if found.retry_at and found.retry_at > now:
            raise Wait("retry", found.message or "it failed before", until=found.retry_at)
        await _order(work, deps, found, users)
    await _agree(work, deps)
    await _settle(work, deps)


async def _order(work: Work, deps: "ProvisionerDeps", found: Certificate, users: list[UUID]) -> None:
    """Whatever ends an order removes its challenges; what only interrupts it leaves them."""
    try:
        await Ordering(work, deps, found.id, users).run(found)
    except OrderFailed as error:
        await _troubled(work, deps, "retry", str(error))
    except RateLimited as error:
        await _troubled(work, deps, "capacity", str(error), after=error.retry_after or LIMITED_FOR)
    except Transient as error:
        await _interrupted(work, found.id, safe(error))
        raise Retry(safe(error), after=error.retry_after) from None
    except Forbidden as error:
        await _troubled(work, deps, "owner", str(error))
    except Permanent as error:
        await _troubled(work, deps, "permanent", str(error))
    except DriverError as error:
        await _troubled(work, deps, "operator", str(error))


async def _interrupted(work: Work, certificate_id: UUID, said: str) -> None:
    async with work.transaction("interrupted") as tx:
        if found := await certificates.locked(tx, certificate_id):
            found.trouble, found.message = "retry", said


async def _troubled(
    work: Work, deps: "ProvisionerDeps", trouble: Trouble, message: str, *, after: timedelta | None = None
) -> None:
    """Raises `Wait`, for as long as it has to be, or until somebody acts."""
    said = safe(message)
    async with work.transaction("troubled") as tx:
        found = await certificates.locked(tx, UUID(work.key))
        assert found
        found.troubled(trouble, said, tx.now, after)
        if trouble != "capacity":
            found.forget_order()
    if trouble != "capacity":
        await clean(work, deps, found.id)
    raise Wait("retry" if found.retry_at else "needs_operator", said, until=found.retry_at)


async def _agree(work: Work, deps: "ProvisionerDeps") -> None:
    """Ask the server when it would like it to be renewed: it may have to be, before its time."""
    async with work.transaction("read") as tx:
        found = await certificates.get(tx, UUID(work.key))
    if found is None or found.chain is None:
        return
    try:
        at = await deps.tls.authority.renewal_time(found.chain)
    except DriverError as error:
        log.info("no_renewal_time", certificate=str(found.id), detail=safe(error))
        return
    if at is None:
        return
    async with work.transaction("agreed") as tx:
        if kept := await certificates.locked(tx, found.id):
            kept.agreed(tx.now + (at - datetime.now(UTC)))
            tx.schedule(CERTIFICATE, work.key, due=tx.now + AGREED_EVERY)


async def _settle(work: Work, deps: "ProvisionerDeps") -> None:
    """What is issued lies where web servers read it, nothing else is left, and the renewal is due at its time."""
    async with work.transaction("read") as tx:
        found = await certificates.get(tx, UUID(work.key))
    if found is None or found.chain is None or found.key is None or found.serial is None:
        return
    key = deps.keys.open(Sealed(found.key), place=place(found.id, "key"))
    try:
        await deps.tls.install(found.id, found.serial, found.chain, key)
    except OSError as error:
        raise Retry(f"the certificate's files cannot be written: {error.strerror}") from None
    await clean(work, deps, found.id)
    async with work.transaction("settled", finish=True) as tx:
        if found.renew_at:
            tx.schedule(CERTIFICATE, work.key, due=found.renew_at)


async def _remove(work: Work, deps: "ProvisionerDeps", found: Certificate) -> None:
    """Nobody uses it: its challenges, its files, and at last its key."""
    await clean(work, deps, found.id)
    await deps.tls.uninstall(found.id)
    async with work.transaction("removed", finish=True) as tx:
        if await certificates.locked(tx, found.id) and not await certificates.used_by(tx, found.id, 1):
            await certificates.forget_released(tx, found.id)
            await certificates.delete(tx, found.id)
        else:
            tx.schedule(CERTIFICATE, work.key)  # somebody wants it again


async def clean(work: Work, deps: "ProvisionerDeps", certificate_id: UUID) -> None:
    """Remove every challenge that stands for it; what cannot be removed now is swept later."""
    async with work.transaction("standing") as tx:
        answers = await certificates.standing(tx, certificate_id)
    for answer in answers:
        try:
            await deps.tls.answers.remove(certificate_id, answer)
        except DriverError as error:
            log.warning("challenge_left", place=answer.place, detail=safe(error))
            continue
        async with work.transaction("stood") as tx:
            await certificates.stood(tx, certificate_id, answer)


async def died(work: Work, error: BaseException, tx: Transaction) -> None:
    """A bug, or an outage that outlasted every attempt."""
    if found := await certificates.locked(tx, UUID(work.key)):
        said = safe(error) if isinstance(error, Failure) else type(error).__name__
        found.troubled("operator", said, tx.now, timedelta(hours=1))
