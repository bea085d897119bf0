"""What the driver wishes, written down: which resource uses which certificate, and what follows for it."""

from datetime import UTC, datetime, timedelta

from keyturn.database import Transaction
from keyturn.events import uuid7
from provisioner.certificates.records import PARKED, Certificate, fingerprint
from provisioner.repository import certificates
from provisioner.resources.tls import Owner, Standing, Wish

CERTIFICATE = "certificate"  # the kind of work; its key is the certificate's id


async def use(tx: Transaction, owner: Owner, wish: Wish) -> Standing:
    """The certificate for these names, wished for where there is none yet."""
    wanted = Certificate(
        id=uuid7(),
        fingerprint=fingerprint(wish.names, wish.given or ""),
        names=list(wish.names),
        challenge=wish.challenge,
        created_at=tx.now,
        given=wish.given,
    )
    before = await certificates.used(tx, owner)
    found, new = await certificates.found_or_new(tx, wanted)
    if wish.facts:
        found.lies_there(wish.facts, datetime.now(UTC), tx.now)
    if before != found.id:
        await certificates.use(tx, owner, found.id)
        if before is not None:
            tx.schedule(CERTIFICATE, str(before))
    if wish.again and found.trouble in PARKED:
        found.cleared()
    if new or before != found.id or wish.again:
        tx.schedule(CERTIFICATE, str(found.id))
    again = max(found.retry_at - tx.now, timedelta()) if found.retry_at else timedelta()
    serial = None if found.expires_at and found.expires_at <= tx.now else found.serial
    return Standing(found.id, serial, found.trouble, found.message or "", found.failures, again)


async def release(tx: Transaction, owner: Owner) -> bool:
    """Whether nothing is left of it for this owner. What is, is removed by the certificate's own work."""
    used = await certificates.release(tx, owner)
    if used is not None:
        tx.schedule(CERTIFICATE, str(used))
    return used is None
