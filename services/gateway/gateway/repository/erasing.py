"""What is kept of a purchase here, and emptying it."""

import json
from collections.abc import Collection
from uuid import UUID

from gateway.facts import Facts
from keyturn.database import Transaction
from keyturn.erasing import Tables

PERSONAL: Tables = {
    "journeys": ("purchase_id = $1", ()),
    "journey_events": ("purchase_id = $1", ()),
    "journey_refs": ("purchase_id = $1", ()),
    "erasures": ("purchase_id = $1", ()),
}
OF_CUSTOMER: Tables = {
    "sessions": ("customer_id = $1", ("hash",)),
    "sign_in_links": ("customer_id = $1", ("hash",)),
}
PART = 200  # webhooks looked at in one statement: each is read whole

REFS = "SELECT ref FROM journey_refs WHERE purchase_id = $1 LIMIT 1000"
# As the customer typed it: in the journey's own facts it has its one spelling.
ADDRESSES = """
SELECT DISTINCT data->'contact'->>'email' AS email FROM journey_events
WHERE purchase_id = $1 AND data ? 'contact' AND data->'contact' ? 'email' LIMIT 100
"""
# A webhook belongs to no purchase: those that name one of these in their payload are theirs.
WEBHOOKS = """
WITH part AS (SELECT id, body FROM webhooks WHERE id > $1 ORDER BY id LIMIT $2)
SELECT id, EXISTS (SELECT FROM unnest($3::bytea[]) AS one(name) WHERE position(one.name IN body) > 0) AS theirs
FROM part ORDER BY id
"""
# Its digest stays: sent again it is still the same webhook. It cannot be read again.
EMPTY_WEBHOOKS = """
UPDATE webhooks SET body = '{}', cause = 'erased', state = CASE WHEN state = 'unreadable' THEN 'ignored' ELSE state END
WHERE id = ANY($1::uuid[])
"""
EMPTY_EVENTS = """
WITH part AS (SELECT id FROM journey_events WHERE purchase_id = $1 AND id > $2 ORDER BY id LIMIT $3),
emptied AS (UPDATE journey_events SET data = '{}' WHERE id = ANY(ARRAY(SELECT id FROM part)))
SELECT max(id) AS last FROM part
"""
KEEP_FACTS = "UPDATE journeys SET facts = $2::text::jsonb, domain = NULL WHERE purchase_id = $1"
SIGN_OUT = (
    "DELETE FROM sessions WHERE customer_id = $1",
    "DELETE FROM sign_in_links WHERE customer_id = $1",
)


async def refs_of(tx: Transaction, purchase_id: UUID) -> list[str]:
    return [row.ref for row in await tx.run(REFS, purchase_id)]


async def addresses_of(tx: Transaction, purchase_id: UUID) -> list[str]:
    return [row.email for row in await tx.run(ADDRESSES, purchase_id) if row.email]


async def empty_webhooks(tx: Transaction, after: UUID, names: Collection[bytes]) -> UUID | None:
    """Empties those among the next ones that are theirs. The last one looked at; None: there was none."""
    part = await tx.run(WEBHOOKS, after, PART, list(names))
    if theirs := [row.id for row in part if row.theirs]:
        await tx.run(EMPTY_WEBHOOKS, theirs)
    return part[-1].id if part else None


async def empty_events(tx: Transaction, purchase_id: UUID, after: int, most: int) -> int | None:
    """The last event of the next ones, which say nothing any more; None: there was none."""
    last: int | None = (await tx.run(EMPTY_EVENTS, purchase_id, after, most))[0].last
    return last


async def keep_facts(tx: Transaction, purchase_id: UUID, facts: Facts) -> None:
    await tx.run(KEEP_FACTS, purchase_id, json.dumps(facts))


async def sign_out(tx: Transaction, customer_id: UUID) -> None:
    for statement in SIGN_OUT:
        await tx.run(statement, customer_id)
