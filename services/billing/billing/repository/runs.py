"""Scheduled runs: when each is due, what they did, and whose turn it is."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from billing.schedules import Schedule
from billing.tables import purchases, run_parts, runs, schedules, subscriptions
from keyturn.database import Transaction
from keyturn.events import uuid7

RUN = "run"  # work: plans a run, and closes it
PART = "run_part"  # work: one customer's part of it
FORGOTTEN = 20  # old runs a minute

ADD_PARTS = """
INSERT INTO run_parts (run_id, customer, state, did)
SELECT $1, customer, 'due', '[]' FROM unnest($2::text[]) AS customer
ON CONFLICT DO NOTHING RETURNING customer
"""
NOTE = """
WITH noted AS (UPDATE run_parts SET state = $3, did = $4::text::jsonb, error = $5 WHERE run_id = $1 AND customer = $2)
SELECT count(*) AS left FROM (
  SELECT FROM run_parts WHERE run_id = $1 AND state = 'due' AND customer <> $2 LIMIT $6) AS due
"""
HOLD = "SELECT FROM runs WHERE id = $1 FOR UPDATE"
# A plan that was made while there were few parts would read all of them, for each that is noted.
ALONG_INDEXES = "SET LOCAL enable_seqscan = off"
FEW = 20  # parts: no more are done at once; where there are, the next minute finds that all are done
# Parts that did nothing are counted, and not kept: a report is as long as what was done.
COUNT = """
SELECT count(*) AS parts, count(*) FILTER (WHERE did <> '[]') AS changed,
  count(*) FILTER (WHERE state = 'failed') AS failed
FROM run_parts WHERE run_id = $1
"""
FACTS = """
SELECT fact, count(*) AS times FROM run_parts, jsonb_array_elements_text(did) AS fact WHERE run_id = $1
GROUP BY fact ORDER BY fact LIMIT 100
"""
ADD_FINDING = """
INSERT INTO run_parts (run_id, customer, state, did, error) VALUES ($1, $2, 'found', $3::text::jsonb, $4)
ON CONFLICT (run_id, customer) DO UPDATE SET did = excluded.did, error = excluded.error
"""
FINDINGS = """
SELECT did->>0 AS what, count(*) AS times, count(*) FILTER (WHERE jsonb_array_length(did) > 1) AS mended
FROM run_parts WHERE run_id = $1 AND state = 'found' GROUP BY 1 ORDER BY 1 LIMIT 100
"""
EXAMPLES = "SELECT customer FROM run_parts WHERE run_id = $1 AND state = 'found' ORDER BY customer LIMIT $2"
DROP_IDLE = "DELETE FROM run_parts WHERE run_id = $1 AND state = 'done' AND did = '[]'"
FORGET_IDLE = """
DELETE FROM runs USING runs AS last WHERE last.id = $1 AND runs.name = last.name AND runs.id <> last.id
  AND runs.counts->>'parts' = '0' AND runs.error IS NULL AND runs.started_at <= last.started_at
  AND runs.scheduled_for IS NOT NULL AND last.scheduled_for IS NOT NULL
"""
UNFINISHED = """
SELECT id FROM runs WHERE finished_at IS NULL AND planned_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM run_parts WHERE run_id = runs.id AND state = 'due')
"""


State = Literal["done", "waiting", "failed"]  # of a part; `due` before


@dataclass(frozen=True)
class Found:
    """Whose turn it is, and where the list goes on behind them."""

    key: str
    place: tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    id: UUID
    name: str
    scheduled_for: datetime | None  # None: by hand
    started_by: str
    reason: str | None
    dry_run: bool
    started_at: datetime
    planned_at: datetime | None
    finished_at: datetime | None
    error: str | None
    counts: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """One customer's part, as the report has it."""

    customer: str
    state: str
    did: list[str]
    error: str | None


async def add_run(
    tx: Transaction,
    name: str,
    *,
    by: str,
    reason: str | None = None,
    dry_run: bool = False,
    scheduled_for: datetime | None = None,
) -> Run | None:
    """And has it done. None: it was begun for this time already, or another one is under way."""
    values = {
        "id": uuid7(),
        "name": name,
        "scheduled_for": scheduled_for,
        "started_by": by,
        "reason": reason,
        "dry_run": dry_run,
        "started_at": tx.now,
        "counts": {},
    }
    added = await tx.session.execute(insert(runs).values(values).on_conflict_do_nothing().returning(*runs.c))
    run = _run(added.one_or_none())
    if run:
        tx.schedule(RUN, str(run.id))
    return run


async def begun_for(tx: Transaction, name: str, time: datetime) -> bool:
    found = select(runs.c.id).where(runs.c.name == name, runs.c.scheduled_for == time)
    return (await tx.session.execute(found)).first() is not None


async def lock_schedules(tx: Transaction) -> dict[str, Any]:
    """As they were worked out last, by name."""
    found = await tx.session.execute(select(schedules).order_by(schedules.c.name).with_for_update())
    return {row.name: row for row in found}


async def plan_next(tx: Transaction, schedule: Schedule) -> None:
    values = {
        "name": schedule.name,
        "cron": schedule.cron,
        "zone": schedule.zone,
        "next_at": schedule.following(tx.now),
    }
    upsert = insert(schedules).values(values).on_conflict_do_update(index_elements=["name"], set_=values)
    await tx.session.execute(upsert)


async def unplan(tx: Transaction, names: Iterable[str]) -> None:
    await tx.session.execute(delete(schedules).where(schedules.c.name.in_(list(names))))


async def list_schedules(tx: Transaction) -> list[dict[str, Any]]:
    found = await tx.session.execute(select(schedules).order_by(schedules.c.name))
    return [dict(row._mapping) for row in found]  # noqa: SLF001 - public API


async def get_run(tx: Transaction, run_id: UUID) -> Run | None:
    return _run((await tx.session.execute(select(runs).where(runs.c.id == run_id))).one_or_none())


async def list_runs(tx: Transaction, *, name: str | None, after: tuple[datetime, UUID] | None, limit: int) -> list[Run]:
    """Newest first."""
    place = runs.c.started_at, runs.c.id
    statement = select(runs).order_by(*(column.desc() for column in place)).limit(limit)
    if name:
        statement = statement.where(runs.c.name == name)
    if after:
        statement = statement.where(tuple_(*place) < after)
    return [found for row in await tx.session.execute(statement) if (found := _run(row))]


async def list_parts(tx: Transaction, run_id: UUID, *, after: str | None, limit: int) -> list[Done]:
    columns = run_parts.c.customer, run_parts.c.state, run_parts.c.did, run_parts.c.error
    statement = select(*columns).where(run_parts.c.run_id == run_id).order_by(run_parts.c.customer)
    if after:
        statement = statement.where(run_parts.c.customer > after)
    return [Done(*row) for row in await tx.session.execute(statement.limit(limit))]


async def planned(tx: Transaction, run_id: UUID) -> Run:
    statement = update(runs).where(runs.c.id == run_id).values(planned_at=tx.now).returning(*runs.c)
    run = _run((await tx.session.execute(statement)).one())
    assert run
    return run


async def add_parts(tx: Transaction, run_id: UUID, customers: Sequence[str]) -> list[str]:
    """Those that it had not before."""
    return [row.customer for row in await tx.run(ADD_PARTS, run_id, customers)]


async def note_part(
    tx: Transaction,
    run_id: UUID,
    customer: str,
    did: Sequence[str],
    *,
    state: State = "done",
    error: str | None = None,
) -> None:
    """What came of it; the last one has the run closed. The last few are noted one after the other, so that of two at
    once one knows that it is the last."""
    await tx.run(ALONG_INDEXES)
    note = NOTE, run_id, customer, state, json.dumps(list(did)), error, FEW
    (more,) = await tx.run(*note)
    if more.left < FEW:
        await tx.run(HOLD, run_id)
        (more,) = await tx.run(*note)
    if not more.left:
        tx.schedule(RUN, str(run_id))


@dataclass(frozen=True)
class Findings:
    counts: dict[str, int]
    mended: int
    examples: list[str]


async def add_finding(
    tx: Transaction, run_id: UUID, customer: str, did: Sequence[str], *, cause: str | None = None
) -> None:
    """Something that was found without having been looked for by itself, and what was done about it."""
    await tx.run(ADD_FINDING, run_id, customer, json.dumps(list(did)), cause)


async def add_cause(tx: Transaction, run_id: UUID, customer: str, cause: str) -> None:
    """Of something that is found already."""
    of = run_parts.c.run_id == run_id, run_parts.c.customer == customer, run_parts.c.state == "found"
    await tx.session.execute(update(run_parts).where(*of).values(error=cause))


MARK = """
UPDATE run_parts SET did = did || to_jsonb(
  $4::text || ' after ' || round(extract(epoch FROM $3::timestamptz - runs.started_at), 1) || ' s')
FROM runs WHERE runs.name = $1 AND finished_at IS NULL AND NOT dry_run AND run_parts.run_id = runs.id
  AND customer = $2 AND state = 'due' RETURNING run_id
"""


async def mark_part(tx: Transaction, name: str, customer: str, mark: str, at: datetime) -> UUID | None:
    """Something was heard of a part that is under way. None: there is no such."""
    found = await tx.run(MARK, name, customer, at, mark)
    return found[0].run_id if found else None


async def marks_of(tx: Transaction, run_id: UUID, customer: str) -> list[str]:
    found = select(run_parts.c.did).where(run_parts.c.run_id == run_id, run_parts.c.customer == customer)
    return list(await tx.session.scalar(found) or ())


async def failed_parts(tx: Transaction, run_id: UUID, limit: int) -> list[Done]:
    columns = run_parts.c.customer, run_parts.c.state, run_parts.c.did, run_parts.c.error
    statement = select(*columns).where(run_parts.c.run_id == run_id, run_parts.c.state == "failed")
    return [Done(*row) for row in await tx.session.execute(statement.limit(limit))]


async def is_found(tx: Transaction, run_id: UUID, customer: str) -> bool:
    found = select(run_parts.c.customer).where(run_parts.c.run_id == run_id, run_parts.c.customer == customer)
    return (await tx.session.execute(found)).first() is not None


async def findings(tx: Transaction, run_id: UUID, examples: int) -> Findings:
    rows = await tx.run(FINDINGS, run_id)
    some = await tx.run(EXAMPLES, run_id, examples)
    counts = {row.what: row.times for row in rows}
    return Findings(counts, sum(row.mended for row in rows), [row.customer for row in some])


async def unfinished(tx: Transaction) -> list[UUID]:
    """Runs that have nothing left to do."""
    return [row.id for row in await tx.run(UNFINISHED)]


async def close(tx: Transaction, run_id: UUID, *, error: str | None = None) -> bool:
    """With the sums of what was done. One that is still under way, or closed already, stays as it is. Of those that
    began at their time and had nothing to do, the last one of a name is kept."""
    found = await tx.run(UNFINISHED + "AND id = $1", run_id)
    if not found and error is None:
        return False
    (count,) = await tx.run(COUNT, run_id)
    facts = {row.fact: row.times for row in await tx.run(FACTS, run_id)}
    await tx.run(DROP_IDLE, run_id)
    values = {"finished_at": tx.now, "error": error, "counts": {**dict(count), "facts": facts}}
    await tx.session.execute(update(runs).where(runs.c.id == run_id, runs.c.finished_at.is_(None)).values(values))
    if not count.parts and error is None:
        await tx.run(FORGET_IDLE, run_id)
    return True


async def forget(tx: Transaction, before: datetime) -> None:
    """Runs of long ago, with their parts."""
    old = select(runs.c.id).where(runs.c.started_at < before).order_by(runs.c.started_at).limit(FORGOTTEN)
    await tx.session.execute(delete(runs).where(runs.c.id.in_(old)))


async def due_renewals(tx: Transaction, until: datetime, after: Found | None, limit: int, *, late: bool) -> list[Found]:
    """Subscriptions that have a step to take: those that nobody has paid, or the others."""
    place = subscriptions.c.next_step_at, subscriptions.c.purchase_id
    behind = subscriptions.c.state.in_(["past_due", "suspended"])
    statement = select(*place).where(subscriptions.c.next_step_at <= until, behind if late else ~behind)
    return await _page(tx, statement, place, after, limit)


async def unpaid(tx: Transaction, before: datetime, after: Found | None, limit: int) -> list[Found]:
    """Purchases whose time is over."""
    place = purchases.c.expires_at, purchases.c.id
    statement = select(*place).where(purchases.c.state == "pending", purchases.c.expires_at <= before)
    return await _page(tx, statement, place, after, limit)


async def _page(tx: Transaction, statement: Select[Any], place: Any, after: Found | None, limit: int) -> list[Found]:
    if after:
        statement = statement.where(tuple_(*place) > after.place)
    rows = await tx.session.execute(statement.order_by(*place).limit(limit))
    return [Found(str(row[1]), tuple(row)) for row in rows]


def _run(row: Any) -> Run | None:
    return Run(**row._mapping) if row else None  # noqa: SLF001 - public API
