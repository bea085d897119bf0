"""The watch over all certificates, daily: which end soon, which were missed, what challenges left behind."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from keyturn.database import Transaction
from keyturn.events import CertificateExpiring
from keyturn.work import Work
from provisioner.certificates.records import Certificate
from provisioner.certificates.using import CERTIFICATE
from provisioner.certificates.work import clean
from provisioner.repository import certificates
from provisioner.resources.tls_pairs import Facts, facts_at

if TYPE_CHECKING:
    from provisioner.deps import ProvisionerDeps

WATCH = "certificate_watch"
WATCHED_AT = time(4)  # UTC
BATCH = 100
LEFT_AFTER = timedelta(hours=1)


async def watch(work: Work, deps: "ProvisionerDeps") -> None:
    """At 04:00: what ends soon is told, what should have been renewed is asked for again, what challenges left behind
    is swept."""
    after, full = certificates.START, True
    while full:
        async with work.transaction("page") as tx:
            found = await certificates.page(tx, after, BATCH)
        await _look_at_all(work, found)
        full = len(found) == BATCH
        after = found[-1].id if found else after
    async with work.transaction("left_over") as tx:
        left = await certificates.left_over(tx, tx.now - LEFT_AFTER, BATCH)
    for certificate_id in left:
        await clean(work, deps, certificate_id)
    async with work.transaction("watched", finish=True) as tx:
        tx.schedule(WATCH, "every", due=_next(tx.now))


def _next(now: datetime) -> datetime:
    at = now.astimezone(UTC).replace(hour=WATCHED_AT.hour, minute=0, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)


async def _look_at_all(work: Work, found: Sequence[Certificate]) -> None:
    """Operators replace their own files when they like: what lies there now is what counts."""
    read = {one.id: await asyncio.to_thread(facts_at, Path(one.given)) for one in found if one.given}
    async with work.transaction("looked") as tx:
        users = await certificates.used_by_each(tx, [one.id for one in found], 2)
        for one in found:
            await _look(tx, one, users[one.id], read.get(one.id))


async def _look(tx: Transaction, one: Certificate, users: list[UUID], facts: Facts | None) -> None:
    if one.challenge != "given" and (one.wanted(tx.now) or not users) and not (one.trouble and one.retry_at is None):
        tx.schedule(CERTIFICATE, str(one.id))
    if not users or (one.reminder(tx.now) is None and facts is None):
        return
    kept = await certificates.locked(tx, one.id)
    if kept is None:
        return
    if facts:
        kept.lies_there(facts, datetime.now(UTC), tx.now)
    if (level := kept.reminder(tx.now)) is not None:
        kept.reminded = level
        _tell(tx, kept, users)


def _tell(tx: Transaction, one: Certificate, users: list[UUID]) -> None:
    assert one.expires_at
    tx.publish(
        CertificateExpiring(
            subject=str(users[0]) if len(users) == 1 else f"certificate:{one.id}",
            time=tx.now,
            certificate_id=str(one.id),
            names=one.names,
            expires_at=one.expires_at,
            days_left=max((one.expires_at - tx.now).days, 0),
            detail=one.message,
        )
    )
