"""Scheduled runs."""

from typing import Any

from billing.repository.runs import Done, Run

JSON = dict[str, Any]


def run(found: Run) -> JSON:
    ended = "failed" if found.error else "done"
    return {
        "id": str(found.id),
        "name": found.name,
        "status": ended if found.finished_at else "processing",
        "scheduled_for": found.scheduled_for,
        "started_by": found.started_by,
        "reason": found.reason,
        "dry_run": found.dry_run,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
        "error": found.error,
        **found.counts,
    }


def part(found: Done) -> JSON:
    return {"customer": found.customer, "status": found.state, "did": found.did, "error": found.error}
