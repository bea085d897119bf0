"""Writing down what a failed attempt means: due again, parked, or dead with its cause."""

import json
from datetime import datetime
from typing import Any

from keyturn.database import Transaction
from keyturn.errors import LeaseLost, Wait
from keyturn.events import uuid7
from keyturn.log import get_logger
from keyturn.retry import Outcome, judge
from keyturn.work import D, Work, WorkKind

KEPT = 20  # entries of history in a row

log = get_logger()

SETTLE = """
UPDATE work SET
  state = $3, due = CASE WHEN $3 = 'open' THEN least($4::timestamptz, again) ELSE due END, reason = $5, cause = $6,
  error = $7, history = $8::text::jsonb, attempts = attempts - $9, finished = $10, again = NULL, leased_until = NULL,
  worker = NULL
FROM (SELECT again AS asked_again FROM work WHERE id = $1) AS before
WHERE id = $1 AND fence = $2 AND state = 'open'
RETURNING asked_again
"""

# It died, and meanwhile somebody asked for it once more: that is a new request.
ONCE_MORE = """
INSERT INTO work (id, kind, key, subject, payload, due, traceparent, causationid, created)
SELECT $2, kind, key, subject, payload, $3, traceparent, causationid, $4 FROM work WHERE id = $1
"""


async def settle(work: Work, kind: WorkKind[D], error: Exception) -> str:
    """Write what follows from `error`, under the fence. Raises `LeaseLost`, `Unavailable`."""
    async with work.labelled(f"{work.kind}.failed", finish=False) as tx:
        outcome = judge(error, attempt=work.attempt, now=tx.now, retry=kind.retry)
        if outcome.state == "dead" and work.every:
            outcome = Outcome("open", tx.now + work.every, "failed", counts=True, cause=outcome.cause)
        dead = outcome.state == "dead"
        if dead and kind.died:
            await kind.died(work, error, tx)
        await _write(tx, work, outcome)
        if outcome.due:
            tx.wake_at("work", outcome.due)
    # To wait is part of some work, and no trouble.
    level = log.error if dead else log.info if isinstance(error, Wait) else log.warning
    level("work_died" if dead else "work_waits", reason=outcome.reason, error=outcome.cause.error,
          place=outcome.cause.place, message=outcome.cause.message)  # fmt: skip
    return outcome.reason


async def _write(tx: Transaction, work: Work, outcome: Outcome) -> None:
    uncount = work.attempt if outcome.reason == "failed" else 0 if outcome.counts else 1
    rows = await tx.run(
        SETTLE,
        work.id,
        work.fence,
        outcome.state,
        outcome.due,
        outcome.reason,
        outcome.cause.group(what(work)),
        outcome.cause.message,
        json.dumps([*work.history, entry(outcome, work.attempt, tx.now)][-KEPT:]),
        uncount,
        tx.now if outcome.state == "dead" else None,
    )
    if not rows:
        raise LeaseLost(f"{work.kind} {work.id}")
    if outcome.state == "dead" and rows[0].asked_again:
        await tx.run(ONCE_MORE, work.id, uuid7(), rows[0].asked_again, tx.now)


def what(work: Work) -> str:
    """What causes are grouped by: an event's wire name, or the kind."""
    return str(work.payload.get("wire", work.kind)) if work.kind == "event" else work.kind


def entry(outcome: Outcome, attempt: int, now: datetime) -> dict[str, Any]:
    """One line of a row's history."""
    return {
        "at": now.isoformat(),
        "attempt": attempt,
        "outcome": outcome.reason,
        "error": outcome.cause.error,
        "place": outcome.cause.place,
        "message": outcome.cause.message,
    }
