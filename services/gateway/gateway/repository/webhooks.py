"""Raw webhooks: stored in batches together with the events they become; listed and read again for operators."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import defer

from gateway.tables import WebhookRow
from keyturn.database import Database, Transaction
from keyturn.outbox import OutboxRow, columns

__all__ = ["Stored", "Webhook", "WebhookRow", "find", "page", "store", "unreadable_ids"]

Stored = Literal["stored", "duplicate"]


class Webhook(NamedTuple):
    """One webhook to store, its fields in the order of the statement's parameters; `outbox`: what it says to others."""

    id: UUID
    provider: str
    event_id: str
    type: str
    livemode: bool | None
    api_version: str | None
    headers: str
    body: bytes
    digest: bytes
    received: datetime
    state: str
    cause: str | None
    outbox: tuple[OutboxRow, ...] = ()


_order = attrgetter("provider", "event_id")

# Whatever is known already, by event id or by content, is left out with its outbox rows; what comes back is new.
STORE = """
WITH new AS (
  INSERT INTO webhooks (id, provider, event_id, type, livemode, api_version, headers, body, digest, received,
                        state, cause)
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::jsonb[],
                       $8::bytea[], $9::bytea[], $10::timestamptz[], $11::text[], $12::text[])
  ON CONFLICT DO NOTHING
  RETURNING id
), said AS (
  INSERT INTO outbox (event_id, subject, wire, time, body, exchange, routing_key, traceparent, cause, created, due)
  SELECT event_id, subject, wire, time, body, exchange, routing_key, traceparent, cause, created, created
  FROM unnest($13::uuid[], $14::text[], $15::text[], $16::timestamptz[], $17::bytea[], $18::text[], $19::text[],
              $20::text[], $21::text[], $22::timestamptz[], $23::uuid[]) WITH ORDINALITY
    AS fact(event_id, subject, wire, time, body, exchange, routing_key, traceparent, cause, created, webhook_id, place)
  JOIN new ON new.id = webhook_id
  ORDER BY place
)
SELECT id FROM new
"""


async def store(database: Database, webhooks: Sequence[Webhook]) -> list[Stored]:
    """One transaction of one statement for all of them; answers for each. Ordered, so that two replicas with the same
    cannot deadlock."""
    ordered = sorted(webhooks, key=_order)
    *fields, said = zip(*ordered, strict=True)
    rows = await database.run(
        "store_webhooks",
        STORE,
        *fields,
        *columns([row for outbox in said for row in outbox]),
        [webhook.id for webhook in ordered for _ in webhook.outbox],
        wake="outbox",
    )
    new = {row[0] for row in rows}
    return ["stored" if webhook.id in new else "duplicate" for webhook in webhooks]


async def find(tx: Transaction, webhook_id: UUID, *, lock: bool = False) -> WebhookRow | None:
    return await tx.session.get(WebhookRow, webhook_id, with_for_update=lock or None)


# Each provider and state has its own part of the index: of each the first ones, and of these the first. However few
# there are of what is looked for, nothing else is read. Compared as rows, so that no other index will do.
_PART = "(webhooks.state, webhooks.provider)"
PAGE = f"""
SELECT found.id FROM unnest($1::text[]) AS one(provider) CROSS JOIN unnest($2::text[]) AS other(state)
CROSS JOIN LATERAL (
  SELECT id FROM webhooks WHERE {_PART} >= (other.state, one.provider)
    AND (webhooks.state, webhooks.provider, id) < (other.state, one.provider, $3::uuid)
  ORDER BY webhooks.state DESC, webhooks.provider DESC, id DESC LIMIT $4) AS found
ORDER BY found.id DESC LIMIT $4
"""  # noqa: S608 - constants
UNREADABLE = f"""
SELECT found.id FROM unnest($1::text[]) AS one(provider) CROSS JOIN LATERAL (
  SELECT id FROM webhooks WHERE {_PART} >= ('unreadable', one.provider) AND {_PART} <= ('unreadable', one.provider)
  ORDER BY webhooks.state, webhooks.provider, id LIMIT $2) AS found
ORDER BY found.id LIMIT $2
"""  # noqa: S608 - constants
PROVIDERS, STATES = ("stripe", "razorpay"), ("read", "ignored", "unreadable")
END = UUID(int=(1 << 128) - 1)


async def page(
    tx: Transaction, *, state: str | None, provider: str | None, before: UUID | None, limit: int
) -> Sequence[WebhookRow]:
    """Newest first, without the bodies."""
    wanted = [provider] if provider else PROVIDERS, [state] if state else STATES
    ids = [row.id for row in await tx.run(PAGE, *wanted, before or END, limit)]
    query = select(WebhookRow).where(WebhookRow.id.in_(ids)).order_by(WebhookRow.id.desc())
    return (await tx.session.scalars(query.options(defer(WebhookRow.body, raiseload=True)))).all()


async def unreadable_ids(tx: Transaction, limit: int) -> Sequence[UUID]:
    """The oldest first."""
    return [row.id for row in await tx.run(UNREADABLE, PROVIDERS, limit)]
