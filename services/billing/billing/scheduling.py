"""When a run begins: at its time, once over all replicas, or when an operator wants it."""

from datetime import timedelta
from typing import Any

from billing.deps import BillingDeps
from billing.errors import run_under_way, unknown
from billing.repository.runs import (
    RUN,
    Run,
    add_run,
    begun_for,
    forget,
    lock_schedules,
    plan_next,
    unfinished,
    unplan,
)
from billing.runs import RUNS
from billing.schedules import Schedule
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.internal import Caller
from keyturn.work import Work

KEPT = timedelta(days=90)
CLOCK = "schedule"  # who started it


async def start(deps: BillingDeps, caller: Caller, name: str, reason: str, *, dry_run: bool) -> Run:
    """By hand. One of a kind at a time."""
    if name not in RUNS:
        raise unknown("run", name)
    async with deps.database.transaction("start_run") as tx:
        run = await add_run(tx, name, by=caller.actor, reason=reason, dry_run=dry_run)
        if run is None:
            raise run_under_way(name)
        acted(tx, caller, "run.start", name, reason=reason, after={"run": str(run.id), "dry_run": dry_run})
        return run


async def tick(work: Work, deps: BillingDeps) -> None:
    """Begins what is due; ends what is done."""
    async with work.transaction("scheduled", finish=True) as tx:
        known = await lock_schedules(tx)
        await unplan(tx, set(known) - {schedule.name for schedule in deps.settings.runs.on})
        for schedule in deps.settings.runs.on:
            await _begin(tx, schedule, known.get(schedule.name))
        for run_id in await unfinished(tx):
            tx.schedule(RUN, str(run_id))
        await forget(tx, tx.now - KEPT)


async def _begin(tx: Transaction, schedule: Schedule, known: Any) -> None:
    """However many of its times went by, it runs once, for the last of them. One that is still under way is waited
    for."""
    if known is None or (known.cron, known.zone) != (schedule.cron, schedule.zone):
        await plan_next(tx, schedule)
    elif known.next_at <= tx.now:
        time = schedule.last(tx.now)
        run = await add_run(tx, schedule.name, by=CLOCK, scheduled_for=time)
        if run or await begun_for(tx, schedule.name, time):
            await plan_next(tx, schedule)
