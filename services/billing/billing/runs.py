"""The scheduled runs: which there are, who is due in each, and how one goes from its time to its report.

A run only finds whose turn it is. Each customer's part is work of its own, the same that is done for them at any other
time: one that fails stops no other, and a run that is repeated finds nothing left to do.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from billing import canary
from billing.auditing import audit, tell, to_audit
from billing.deps import BillingDeps
from billing.reconcile import GRACE, look_at_purchase
from billing.reconciling import compare, to_compare
from billing.rehearsing import Enough, Part, questions_only
from billing.renewing import AGAIN, step
from billing.repository.runs import (
    PART,
    Found,
    Run,
    State,
    add_parts,
    close,
    due_renewals,
    get_run,
    marks_of,
    note_part,
    planned,
    unpaid,
)
from keyturn.database import Transaction
from keyturn.errors import Failure, Unavailable, Wait
from keyturn.retry import cause_of
from keyturn.work import Work

PAGE = 500  # parts that are planned at a time

Find = Callable[[Transaction, Found | None, int], Awaitable[list[Found]]]
Do = Callable[[Part, BillingDeps], Awaitable[None]]
Tell = Callable[[Transaction, Run], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """What a run is about. `find`: those whose turn it is, a page at a time; `do`: what is done for one of them."""

    find: Find
    do: Do
    answered: bool = False  # a part ends when somebody has answered
    tell: Tell | None = None  # once it is done, what was found


# A step that is under way was put off: what the minutely run has taken, and nobody has done yet, is due here too.
async def _to_bill(tx: Transaction, after: Found | None, limit: int) -> list[Found]:
    return await due_renewals(tx, tx.now + AGAIN, after, limit, late=False)


async def _to_suspend(tx: Transaction, after: Found | None, limit: int) -> list[Found]:
    return await due_renewals(tx, tx.now + AGAIN, after, limit, late=True)


async def _to_expire(tx: Transaction, after: Found | None, limit: int) -> list[Found]:
    return await unpaid(tx, tx.now - GRACE, after, limit)


RUNS: Mapping[str, Kind] = {
    "billing": Kind(_to_bill, step),
    "suspension": Kind(_to_suspend, step),
    "expiry": Kind(_to_expire, look_at_purchase),
    "reconciliation": Kind(to_compare, compare),
    "canary": Kind(canary.to_buy, canary.buy, answered=True, tell=canary.tell),
    "audit": Kind(to_audit, audit, answered=True, tell=tell),
}


async def conduct(work: Work, deps: BillingDeps) -> None:  # noqa: ARG001 - the shape of all work
    """Plans the parts of a run, page by page; once they are done, closes it."""
    async with work.transaction("read") as tx:
        run = await get_run(tx, UUID(work.key))
    if run is None:
        return
    after: Found | None = None
    while run.planned_at is None:
        async with work.transaction("plan") as tx:
            found = await RUNS[run.name].find(tx, after, PAGE)
            for customer in await add_parts(tx, run.id, [one.key for one in found]):
                tx.schedule(PART, f"{run.id}/{customer}", {"name": run.name, "dry_run": run.dry_run}, subject=customer)
            if not found:
                run = await planned(tx, run.id)
        after = found[-1] if found else None
    async with work.transaction("close", finish=True) as tx:
        closed, told = await close(tx, run.id), RUNS[run.name].tell
        if closed and told:
            await told(tx, run)


async def conduct_died(work: Work, error: BaseException, tx: Transaction) -> None:
    await close(tx, UUID(work.key), error=cause_of(error).group(work.kind))


async def do_part(work: Work, deps: BillingDeps) -> None:
    """One customer's part. What waits for somebody does not keep the run waiting."""
    run_id, _, customer = work.key.partition("/")
    part = Part.of(work, UUID(run_id), customer, dry_run=bool(work.payload["dry_run"]))
    given = replace(deps, providers=questions_only(deps.providers, part)) if part.dry_run else deps
    kind = RUNS[str(work.payload["name"])]
    state: State = "done"
    why: str | None = None
    try:
        await kind.do(part, given)
    except Enough:
        pass
    except Wait as waits:
        if kind.answered:
            raise
        why, state = waits.reason, "waiting"
    except Unavailable:
        raise
    except Failure as failed:
        if not part.dry_run:
            raise
        why, state = cause_of(failed).message, "failed"
    if part.finished and not part.dry_run:
        work.finished = True
        return
    async with work.transaction("noted", finish=True) as tx:
        await note_part(tx, part.run_id, customer, part.did, state=state, error=why)


async def part_died(work: Work, error: BaseException, tx: Transaction) -> None:
    run_id, _, customer = work.key.partition("/")
    cause, did = cause_of(error), await marks_of(tx, UUID(run_id), customer)
    await note_part(tx, UUID(run_id), customer, did, state="failed", error=cause.message or cause.error)
