"""Scheduling work: rows written or closed in the transaction that asks for them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keyturn.errors import JSON
from keyturn.events import uuid7


@dataclass(frozen=True)
class Request:
    """Work to be done: at most one open row for each (kind, key)."""

    kind: str
    key: str
    payload: str
    due: datetime
    subject: str | None


@dataclass(frozen=True)
class Origin:
    """Where the work comes from."""

    now: datetime
    traceparent: str | None
    causationid: str | None


class Plan:
    """What one transaction schedules and cancels; the last word on a (kind, key) counts."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], Request] = {}
        self.cancelled: dict[tuple[str, str], None] = {}

    def schedule(
        self, kind: str, key: str, payload: Mapping[str, JSON] | None, due: datetime, subject: str | None
    ) -> None:
        earlier = self.requests.get((kind, key))
        due = min(due, earlier.due) if earlier else due
        text = json.dumps(payload or {}, separators=(",", ":"), allow_nan=False)
        self.requests[kind, key] = Request(kind, key, text, due, subject)

    def cancel(self, kind: str, key: str) -> None:
        self.requests.pop((kind, key), None)
        self.cancelled[kind, key] = None


CANCEL = """
UPDATE work SET state = 'cancelled', finished = $1, fence = fence + 1, leased_until = NULL
WHERE state = 'open' AND (kind, key) IN (SELECT * FROM unnest($2::text[], $3::text[]))
"""

# A row that is being worked on keeps its due time, which its lease needs, and notes in `again` that it must run again.
SCHEDULE = """
INSERT INTO work (id, kind, key, payload, due, subject, traceparent, causationid, created)
SELECT id, kind, key, payload::jsonb, due, subject, $7, $8, $9
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
  AS new(id, kind, key, payload, due, subject)
ON CONFLICT (kind, key) WHERE state = 'open' DO UPDATE SET
  payload = excluded.payload,
  subject = coalesce(excluded.subject, work.subject),
  due = CASE WHEN work.leased_until IS NULL THEN least(work.due, excluded.due) ELSE work.due END,
  again = CASE WHEN work.leased_until IS NULL THEN NULL ELSE least(work.again, excluded.due) END
"""


def schedule_parameters(plan: Plan, origin: Origin) -> tuple[object, ...]:
    """Sorted, so that two transactions that schedule the same work wait for each other instead of deadlocking."""
    found = [plan.requests[name] for name in sorted(plan.requests)]
    lists = ([getattr(r, field) for r in found] for field in ("kind", "key", "payload", "due", "subject"))
    return ([uuid7() for _ in found], *lists, origin.traceparent, origin.causationid, origin.now)


def cancel_parameters(plan: Plan, now: datetime) -> tuple[object, ...]:
    names = sorted(plan.cancelled)
    return (now, [kind for kind, _ in names], [key for _, key in names])
