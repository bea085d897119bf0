"""What an operator can do with work: list it, group what died by cause, show one row, try again, resolve, discard.

Every query is bounded, and what it changes it changes in batches, each with the operator's name in the same commit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from keyturn.acting import acted
from keyturn.clock import moment_of
from keyturn.database import Database, Transaction
from keyturn.errors import Problem
from keyturn.internal import Caller

Action = Literal["retry", "resolve", "discard"]
State = Literal["open", "dead", "done", "resolved", "discarded", "cancelled"]

BATCH = 1_000
END = datetime.max.replace(tzinfo=UTC)
A_SECOND = 200  # retried rows fall due at this rate, so that a redrive of thousands drowns nobody

_LISTED = """id, kind, key, subject, state, due, reason, attempts, cause, error, created, finished,
  leased_until IS NOT NULL AND state = 'open' AS running"""

# Each kind has its own part of the index: of each the newest, and of these the newest. Of a kind that has few rows
# nothing else is read. Compared as rows, so that no other index will do, whichever values a plan is made for.
LIST = f"""
WITH RECURSIVE mine AS (
  SELECT coalesce($2, (SELECT min(kind) FROM work WHERE state = $1)) AS kind
  UNION ALL
  SELECT (SELECT min(work.kind) FROM work WHERE state = $1 AND work.kind > mine.kind) FROM mine
  WHERE $2 IS NULL AND mine.kind IS NOT NULL)
SELECT found.* FROM mine CROSS JOIN LATERAL (
  SELECT {_LISTED} FROM work WHERE (state, work.kind) >= ($1, mine.kind)
    AND (state, work.kind, created, id) < ($1, mine.kind, $3, $4::uuid)
  ORDER BY state DESC, work.kind DESC, created DESC, id DESC LIMIT $5) AS found
ORDER BY found.created DESC, found.id DESC LIMIT $5
"""  # noqa: S608 - constants
LIST_OF_CAUSE = f"""
SELECT {_LISTED} FROM work
WHERE state = 'dead' AND cause = $1 AND ($2::text IS NULL OR kind = $2) AND (created, id) < ($3, $4::uuid)
ORDER BY created DESC, id DESC LIMIT $5
"""  # noqa: S608 - constants
CAUSES = """
SELECT cause, count(*) AS count, min(finished) AS first, max(finished) AS last, min(error) AS example
FROM (SELECT cause, finished, error FROM work WHERE state = 'dead' ORDER BY created DESC LIMIT 10000) AS newest
GROUP BY cause ORDER BY last DESC LIMIT 200
"""
SHOW = f"""
SELECT {_LISTED}, payload, history, traceparent, causationid, started, worker FROM work WHERE id = $1
"""  # noqa: S608 - constants

# What is being worked on right now is left alone, and so is what died after the operator asked.
_LOCKED = """
WITH locked AS (
  SELECT id, kind, key, created FROM work WHERE {which} AND state IN ('open', 'dead')
    AND (leased_until IS NULL OR leased_until < clock_timestamp()) AND (finished IS NULL OR finished <= $3) {also}
  ORDER BY {order} LIMIT $2 FOR UPDATE SKIP LOCKED)
{then}
"""
_NO_OTHER = """
  AND (SELECT id FROM work AS other WHERE other.state = 'open' AND other.kind = work.kind
       AND other.key = work.key AND other.id <> work.id LIMIT 1) IS NULL"""
# What is tried again stands for whatever else died of the same key before it.
_RETRY = """, newest AS (
  SELECT DISTINCT ON (kind, key) id, kind, key, created FROM locked ORDER BY kind, key, created DESC, id DESC
), older AS (
  SELECT of_key.id FROM newest CROSS JOIN LATERAL (
    SELECT id FROM work WHERE state = 'dead' AND work.kind = newest.kind AND work.key = newest.key
      AND (created, id) < (newest.created, newest.id) LIMIT 1000 FOR UPDATE SKIP LOCKED) AS of_key
), resolved AS (
  UPDATE work SET state = 'resolved', finished = $3, fence = fence + 1, history = history || $6::text::jsonb
  WHERE id = ANY(ARRAY(SELECT id FROM older)))
UPDATE work SET state = 'open', reason = NULL, attempts = 0,
  due = $3::timestamptz + (array_position(ARRAY(SELECT id FROM newest ORDER BY id), id) - 1) * $5::interval,
  started = NULL, finished = NULL, leased_until = NULL, fence = fence + 1, history = history || $4::text::jsonb
WHERE id = ANY(ARRAY(SELECT id FROM newest)) RETURNING id, subject"""
_CLOSE = """
UPDATE work SET state = $5, finished = $3, leased_until = NULL, fence = fence + 1,
  history = history || $4::text::jsonb
WHERE id = ANY(ARRAY(SELECT id FROM locked)) RETURNING id, subject"""
_WHICH = {"ids": "id = ANY($1::uuid[])", "cause": "state = 'dead' AND cause = $1::text", "all": "state = $1::text"}
_ORDER = {"ids": "created", "cause": "created", "all": "kind, created"}  # along the index of each
_CLOSED = {"resolve": "resolved", "discard": "discarded"}


@dataclass(frozen=True)
class Selection:
    """Which rows: these ids, or all dead ones of a cause, or all dead ones."""

    how: Literal["ids", "cause", "all"]
    value: list[UUID] | str = field(default="dead")


@dataclass(frozen=True)
class Page:
    rows: Sequence[dict[str, Any]]
    cursor: str | None


async def list_work(
    database: Database, state: State, *, kind: str | None, cause: str | None, cursor: str | None, limit: int
) -> Page:
    """Newest first."""
    before, last = _read_cursor(cursor)
    async with database.transaction("list_work") as tx:
        sql, first = (LIST_OF_CAUSE, cause) if cause else (LIST, state)
        rows = [dict(row) for row in await tx.run(sql, first, kind, before, last, limit)]
    full = len(rows) == limit
    return Page(rows, _cursor(rows[-1]) if full else None)


def _read_cursor(cursor: str | None) -> tuple[datetime, UUID]:
    if cursor is None:
        return END, UUID(int=0)
    created, _, last = cursor.partition("~")
    try:
        return moment_of(created), UUID(last)
    except ValueError:
        raise Problem(422, "cursor_unknown", "This cursor is none of ours.") from None


def _cursor(row: dict[str, Any]) -> str:
    return f"{row['created']:%Y-%m-%dT%H:%M:%S.%f}Z~{row['id']}"


async def causes(database: Database) -> list[dict[str, Any]]:
    """What died, by cause, the latest first; counted among the newest 10,000."""
    async with database.transaction("work_causes") as tx:
        return [dict(row) for row in await tx.run(CAUSES)]


async def show(database: Database, id_: UUID) -> dict[str, Any]:
    """One row with its history; not the bytes of an event, which may hold what a customer told us."""
    async with database.transaction("show_work") as tx:
        rows = await tx.run(SHOW, id_)
    if not rows:
        raise Problem(404, "work_not_found", "There is no such work.")
    return dict(rows[0])


@dataclass(frozen=True)
class Order:
    """What an operator wants done, and why."""

    action: Action
    chosen: Selection
    who: Caller
    reason: str


async def act(database: Database, order: Order) -> int:
    """Try again, resolve or discard; gives the number of rows. Of several with one key the newest chosen is tried
    again, and the older ones are resolved with it, chosen or not."""
    asked_at, count = database.clock.now(), 0
    while True:
        async with database.transaction(f"work_{order.action}") as tx:
            changed = await _change(tx, order, asked_at)
        count += changed
        if changed == 0 or order.chosen.how == "ids":
            return count


async def _change(tx: Transaction, order: Order, asked_at: datetime) -> int:
    entry = {"at": tx.now.isoformat(), "outcome": f"operator_{order.action}"}
    entry |= {"actor": order.who.actor, "reason": order.reason}
    first = (order.chosen.value, BATCH, asked_at, json.dumps([entry]))
    chosen = {"which": _WHICH[order.chosen.how], "order": _ORDER[order.chosen.how]}
    if order.action == "retry":
        sql = _LOCKED.format(**chosen, also=_NO_OTHER, then=_RETRY)
        older = json.dumps([entry | {"outcome": "resolved_with_newer"}])
        rows = await tx.run(sql, *first, timedelta(seconds=1) / A_SECOND, older)
        tx.wake("work")
    else:
        sql = _LOCKED.format(**chosen, also="", then=_CLOSE)
        rows = await tx.run(sql, *first, _CLOSED[order.action])
    if rows:
        _told(tx, order, rows)
    return len(rows)


def _told(tx: Transaction, order: Order, rows: Sequence[Any]) -> None:
    one = rows[0] if len(rows) == 1 else None
    several = f"{len(rows)} ids" if order.chosen.how == "ids" else f"{order.chosen.how}: {order.chosen.value}"
    acted(
        tx,
        order.who,
        f"work.{order.action}",
        str(one.id) if one else several,
        subject=(one.subject if one else None) or "work",
        reason=order.reason,
        after={"count": len(rows)},
    )
