"""When the year is over: every run once more, the scheduled and the minutely ones, and what that changes."""

from keyturn.events import EntitlementsListed, InstallsCompared, OperatorActed
from support.billing import World
from support.runs import report, starts
from support.subscriptions import run as billing_run

RUNS = ("billing", "suspension", "expiry", "reconciliation", "audit")
BOOKS = (
    "customers",
    "purchases",
    "checkouts",
    "payments",
    "refunds",
    "disputes",
    "entitlements",
    "subscriptions",
    "periods",
    "renewals",
    "plan_changes",
    "mandates",
    "charges",
    "invoices",
    "invoice_series",
    "credits",
    "credit_balances",
)
# How often a provider was asked is no part of the books.
DIGEST = """
SELECT count(*) || ' ' || coalesce(md5(string_agg(said, ' ' ORDER BY said)), '') AS digest
FROM (SELECT (to_jsonb(t) - 'looks' - 'next_look_at' - 'looked_at')::text AS said FROM {table} t) AS rows
"""
# That an operator began a run is told, and the audit asks the provisioner by an event.
ASKING = f"'{EntitlementsListed.wire}', '{OperatorActed.wire}'"
TOLD = f"SELECT count(*) AS digest FROM outbox WHERE wire NOT IN ({ASKING})"


async def what_repeating_changes(billing: World) -> list[str]:
    before = await _books(billing)
    await billing_run(billing)
    await billing.reconcile()
    for name in RUNS:
        run_id = await starts(billing, name)
        await billing.work()
        if name == "audit":
            await _nothing_is_amiss(billing)
        told = await report(billing, run_id)
        if told["status"] != "done" or told["failed"]:
            return [f"{name}: {told}"]
    after = await _books(billing)
    return [name for name in before if before[name] != after[name]]


async def _books(billing: World) -> dict[str, object]:
    statements = {table: DIGEST.format(table=table) for table in BOOKS} | {"what is told": TOLD}
    return {name: (await billing.rows(sql))[0]["digest"] for name, sql in statements.items()}


async def _nothing_is_amiss(billing: World) -> None:
    """The provisioner's answer to each page."""
    for page in await billing.published(EntitlementsListed):
        said = page.model_dump(include={"run_id", "page"}) | {"found": [], "truncated": False}
        await billing.hear(InstallsCompared(subject=page.subject, time=billing.clock.now(), **said))
    await billing.work()
