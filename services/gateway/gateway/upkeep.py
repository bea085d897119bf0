"""The gateway's own work: it keeps what grows by itself small."""

from gateway.deps import GatewayDeps
from gateway.repository import limits, sessions
from keyturn.work import Work


async def delete_expired(work: Work, _deps: GatewayDeps) -> None:
    """Idempotency keys, rate buckets, links to sign in and sessions past their time, in batches small enough to disturb
    nobody."""
    more = True
    while more:
        async with work.transaction("batch") as tx:
            more = await limits.delete_old(tx)
            more = await sessions.delete_old(tx) or more
