"""The daily audit of money against machines: does every customer have what they paid for, and nobody else?

Billing lists what its customers are entitled to, a page an event; the provisioner compares its installs with a page and
tells what does not fit. Neither reads the other's database, and either may be away meanwhile. What is not as it should
be stands in the run's report; mended is what only has to be said once more.
"""

from datetime import timedelta
from uuid import UUID

from billing.deps import BillingDeps
from billing.entitlements import say_again, settle
from billing.rehearsing import Part
from billing.repository.auditing import entitled_between, next_bound, not_as_paid
from billing.repository.purchases import lock_purchase
from billing.repository.runs import PART, Found, Run, add_cause, add_finding, findings, get_run, is_found, note_part
from keyturn.database import Transaction
from keyturn.errors import GiveUp, Wait
from keyturn.events import AuditFound, EntitlementsListed, InstallsCompared, Listed

PAGE, MOST = 200, 500  # entitlements, as planned and as told
PATIENCE = timedelta(hours=1)  # for the provisioner's answer
FIRST = UUID(int=0)
# What another word of billing mends: the provisioner obeys the newest level, and an old one changes nothing.
SAY_AGAIN = frozenset({"install_missing", "install_behind"})
EXAMPLES = 20


async def to_audit(tx: Transaction, after: Found | None, limit: int) -> list[Found]:
    """Pages of entitlements: `page <after>:<upto>`, the last one without an end."""
    if after is None:
        start = FIRST
    elif after.place[0] is None:
        return []
    else:
        start = after.place[0]
    bound = await next_bound(tx, start, min(limit, PAGE))
    return [Found(f"page {start}:{bound or ''}", (bound,))]


async def audit(work: Part, deps: BillingDeps) -> None:
    """One page. Asking changes nothing, so a dry run asks as well."""
    if deps.clock.now() - work.created >= PATIENCE:
        raise GiveUp("the provisioner gave no answer")
    first, _, last = work.key.partition(":")
    after, upto = UUID(first), UUID(last) if last else None
    for purchase_id, what in await _not_as_paid(deps, after, upto):
        did = [what]
        if not work.dry_run:
            async with work.transaction("settle") as tx:
                if purchase := await lock_purchase(tx, purchase_id):
                    await settle(tx, purchase)
                    did += tx.effects
        async with work.database.transaction("found") as tx:
            await add_finding(tx, work.run_id, str(purchase_id), did)
    async with work.database.transaction("list_entitlements") as tx:
        items = [Listed(**row) for row in await entitled_between(tx, after, upto, MOST)]
        if len(items) == MOST:  # others have come since it was planned: they are for tomorrow
            last = items[-1].purchase_id
        listed = {"run_id": str(work.run_id), "page": work.customer, "after": str(after), "items": items}
        tx.publish(EntitlementsListed(subject=f"audit:{work.run_id}", time=tx.now, upto=last or None, **listed))
    raise Wait("not_visible", "the provisioner has not answered yet", until=work.created + PATIENCE)


async def _not_as_paid(deps: BillingDeps, after: UUID, upto: UUID | None) -> list[tuple[UUID, str]]:
    """What does not even fit in our own books."""
    async with deps.database.transaction("read_books") as tx:
        return await not_as_paid(tx, after, upto, PAGE)


async def on_installs_compared(event: InstallsCompared, tx: Transaction) -> None:
    """An answer that comes too late changes nothing: the next audit asks anew."""
    run = await get_run(tx, UUID(event.run_id))
    if run is None or run.finished_at:
        return
    for one in event.found:
        if await is_found(tx, run.id, one.purchase_id):
            if one.cause:
                await add_cause(tx, run.id, one.purchase_id, one.cause)
            continue
        did: list[str] = [one.mismatch]
        if one.mismatch in SAY_AGAIN and not run.dry_run and await say_again(tx, UUID(one.purchase_id)):
            did.append("entitlement.changed.v1")
        await add_finding(tx, run.id, one.purchase_id, did, cause=one.cause)
    tx.cancel(PART, f"{run.id}/{event.page}")
    error = "there is more than fits into an answer" if event.truncated else None
    await note_part(tx, run.id, event.page, [], state="waiting" if error else "done", error=error)


async def tell(tx: Transaction, run: Run) -> None:
    """Once a run, and not of one that only looked."""
    found = await findings(tx, run.id, EXAMPLES)
    if found.counts and not run.dry_run:
        told = {"counts": found.counts, "mended": found.mended, "examples": found.examples}
        tx.publish(AuditFound(subject=f"audit:{run.id}", time=tx.now, run_id=str(run.id), **told))
