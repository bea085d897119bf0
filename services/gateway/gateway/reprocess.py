"""Reading stored webhooks once more, after our reader has learned what they say."""

from typing import cast
from uuid import UUID

from gateway.deps import GatewayDeps
from gateway.repository import webhooks
from gateway.repository.webhooks import WebhookRow
from gateway.webhooks import SOURCES, Arrival, Reading, read
from gateway.webhooks.payload import parse
from keyturn.acting import acted
from keyturn.events import Provider
from keyturn.internal import Caller

MOST = 500  # in one command; it says when there are more


def reading_of(row: WebhookRow) -> Reading:
    """What a stored webhook says to today's reader: exactly what it would say on arrival."""
    fallback = f"sha256:{row.digest.hex()}"
    return read(SOURCES[cast("Provider", row.provider)], Arrival(parse(row.body), row.headers, row.received, fallback))


async def reprocess(deps: GatewayDeps, webhook_id: UUID, caller: Caller) -> WebhookRow | None:
    """Publishes what the webhook says, if it is still unreadable; otherwise changes nothing. None: there is none such.

    The ids of its events come from what they are about, so that nobody hears a fact twice that came another way."""
    async with deps.database.transaction("reprocess_webhook") as tx:
        row = await webhooks.find(tx, webhook_id, lock=True)
        if row is None or row.state != "unreadable":
            return row
        reading = reading_of(row)
        for fact in reading.facts:
            tx.publish(fact)
        row.state, row.cause, row.type, row.reprocessed = reading.state, reading.cause, reading.notice.type, tx.now
        after = {"state": reading.state, "events": len(reading.facts)}
        acted(tx, caller, "webhook.reprocessed", f"webhook:{webhook_id}", after=after)
    return row


async def reprocess_all(deps: GatewayDeps, caller: Caller) -> dict[str, int]:
    """Each in a transaction of its own: one that still cannot be read stops no other."""
    async with deps.database.transaction("list_unreadable") as tx:
        waiting = await webhooks.unreadable_ids(tx, MOST)
    rows = [await reprocess(deps, webhook_id, caller) for webhook_id in waiting]
    still = sum(row is not None and row.state == "unreadable" for row in rows)
    return {"count": len(rows), "unreadable": still}
