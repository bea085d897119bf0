"""Scheduled runs and their reports."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text, UniqueConstraint, text

from billing.tables.columns import flag, id_, json_, metadata, text_, when

# When a scheduled run is due next, and by what that was worked out.
schedules = Table(
    "schedules", metadata, Column("name", Text, primary_key=True), text_("cron"), text_("zone"), when("next_at")
)

# Once for each time it is due, over all replicas; and one of a kind at a time.
runs = Table(
    "runs",
    metadata,
    id_(),
    text_("name"),
    when("scheduled_for", null=True),
    text_("started_by"),
    text_("reason", null=True),
    flag("dry_run"),
    when("started_at"),
    when("planned_at", null=True),
    when("finished_at", null=True),
    text_("error", null=True),
    json_("counts"),
    UniqueConstraint("name", "scheduled_for"),
    Index("one_run_under_way", "name", "dry_run", unique=True, postgresql_where=text("finished_at IS NULL")),
    Index("runs_by_time", "started_at", "id"),
    Index("runs_by_name", "name", "started_at", "id"),
    Index("idle_runs", "name", postgresql_where=text("counts->>'parts' = '0'")),
)

# Its report, a customer each.
run_parts = Table(
    "run_parts",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("customer", Text, primary_key=True),
    text_("state"),
    json_("did"),
    text_("error", null=True),
    Index("run_parts_due", "run_id", "customer", postgresql_where=text("state = 'due'")),
)
