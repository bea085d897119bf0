"""Forgetting customers: each service erases what it keeps of a purchase when it hears `customer.erased.v1`, as work
that goes on where it stopped, and says so with `customer.data_erased.v1`. Also what it keeps, to be shown before.

    HANDLERS = {CustomerErased: erasing.on_customer_erased, ...}
    WORK = {erasing.ERASE: erasing.work_kind(erase), ...}

`erase(work, deps, purchases)` changes the service's own tables, in transactions of its own, as often as it is asked.
What is the same everywhere is done here: published events, and events that could not be handled.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from keyturn.database import Transaction
from keyturn.errors import Wait
from keyturn.events import CustomerDataErased, CustomerErased
from keyturn.retry import RetryPolicy
from keyturn.work import Work, WorkKind

D = TypeVar("D")
# By which condition on `$1` a row is the purchase's or customer's, and which columns are proofs and secrets.
Tables = Mapping[str, tuple[str, Sequence[str]]]
Erase = Callable[[Work, D, Sequence[UUID]], Awaitable[None]]

ERASE = "erase"
AT_ONCE = 50  # purchases
PART = 2_000  # rows looked at in one statement
ROWS = 10_000  # of one table that are shown of a purchase, or of a customer
KEPT = [CustomerErased.wire, CustomerDataErased.wire]  # so that a service whose database was restored hears it again
PATIENT = RetryPolicy(attempts=60, cap=timedelta(minutes=30))
UNPUBLISHED = timedelta(minutes=1)

ADD = "INSERT INTO erasures (purchase_id, customer_id, asked) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
OPEN = "SELECT purchase_id FROM erasures WHERE customer_id = $1 AND done IS NULL ORDER BY purchase_id LIMIT $2"
DONE = """
UPDATE erasures SET done = $2 WHERE purchase_id = ANY($1::uuid[]) AND done IS NULL AND asked <= $3
RETURNING purchase_id
"""
AGAIN = "UPDATE erasures SET done = NULL, asked = $2 WHERE purchase_id = $1 RETURNING customer_id"

# No index leads from a subject to its events: nothing else asks for one. So all that is kept is looked through, part by
# part; it is never more than the retention time's.
PUBLISHED = """
WITH part AS (SELECT id, subject, published, wire FROM outbox WHERE id > $1 ORDER BY id LIMIT $2),
mine AS (SELECT id, published FROM part WHERE subject = ANY($3::text[]) AND wire <> ALL($4::text[])),
gone AS (DELETE FROM outbox WHERE id = ANY(ARRAY(SELECT id FROM mine WHERE published IS NOT NULL)))
SELECT max(id) AS last, (SELECT count(*) FROM mine WHERE published IS NULL) AS waiting FROM part
"""
STATES = ("open", "dead", "done", "resolved", "discarded", "cancelled")
# What is open or dead is discarded: there is nothing left that it could be about.
UNHANDLED = """
WITH part AS (
  SELECT id, created, subject FROM work WHERE state = $1 AND kind = 'event' AND (created, id) > ($2, $3)
  ORDER BY created, id LIMIT $4),
emptied AS (
  UPDATE work SET body = NULL, fence = fence + 1, finished = coalesce(finished, $6), leased_until = NULL,
    state = CASE WHEN state IN ('open', 'dead') THEN 'discarded' ELSE state END
  WHERE id = ANY(ARRAY(SELECT id FROM part WHERE subject = ANY($5::text[]))) AND body IS NOT NULL)
SELECT created, id FROM part ORDER BY created DESC, id DESC LIMIT 1
"""
BEGINNING = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


async def on_customer_erased(event: CustomerErased, tx: Transaction) -> None:
    await tx.run(ADD, UUID(event.subject), UUID(event.customer_id), tx.now)
    tx.schedule(ERASE, event.customer_id)


async def once_more(tx: Transaction, purchase_id: UUID) -> None:
    """Something came about an erased purchase that may have brought something personal along."""
    for row in await tx.run(AGAIN, purchase_id, tx.now):
        tx.schedule(ERASE, str(row.customer_id))


def work_kind(erase: Erase[D]) -> WorkKind[D]:
    async def run_for(work: Work, deps: D) -> None:
        await run(work, deps, erase)

    return WorkKind(run_for, retry=PATIENT, slots=1)


async def run(work: Work, deps: D, erase: Erase[D]) -> None:
    """All purchases of one customer that are not done yet."""
    while True:
        began = work.database.clock.now()
        async with work.transaction("read") as tx:
            purchases = [row.purchase_id for row in await tx.run(OPEN, UUID(work.key), AT_ONCE)]
        if not purchases:
            return
        await erase(work, deps, purchases)
        await _forget_events(work, [str(purchase) for purchase in purchases])
        async with work.transaction("erased") as tx:
            for row in await tx.run(DONE, purchases, tx.now, began):
                told = {"customer_id": work.key, "service": work.database.service}
                tx.publish(CustomerDataErased(subject=str(row.purchase_id), time=tx.now, **told))


async def show(tx: Transaction, tables: Tables, of: UUID) -> dict[str, Any]:
    """What these tables hold about one purchase, or one customer. Where a table has more than is shown, `cut_off` names
    it."""
    found: dict[str, Any] = {}
    cut_off: list[str] = []
    for table, (condition, hidden) in tables.items():
        sql = f"SELECT to_jsonb(one) - $2::text[] AS row FROM {table} AS one WHERE {condition} LIMIT $3"  # noqa: S608 - ours
        rows = [row["row"] for row in await tx.run(sql, of, list(hidden), ROWS + 1)]
        found[table] = rows[:ROWS]
        cut_off += [table] if len(rows) > ROWS else []
    return found | ({"cut_off": cut_off} if cut_off else {})


async def _forget_events(work: Work, subjects: Sequence[str]) -> None:
    last, waiting = 0, 0
    while True:
        async with work.transaction("events") as tx:
            (part,) = await tx.run(PUBLISHED, last, PART, subjects, KEPT)
        if part.last is None:
            break
        last, waiting = part.last, waiting + part.waiting
    for state in STATES:
        place: tuple[datetime, UUID] | None = BEGINNING, UUID(int=0)
        while place:
            async with work.transaction("events") as tx:
                found = await tx.run(UNHANDLED, state, *place, PART, subjects, tx.now)
            place = (found[0].created, found[0].id) if found else None
    if waiting:
        until = work.database.clock.now() + UNPUBLISHED
        raise Wait("unpublished", "events about it are still to be published", until=until)
