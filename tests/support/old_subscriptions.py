"""Subscriptions in a billing with a long history, as months go by. Then time is as before: two months later all that
waits there would be due."""

from datetime import timedelta
from typing import Any

from keyturn.events import InstallPlanChanged, MandateSaved, uuid7
from support.billing import World
from support.old import Old
from support.runs import report, starts
from support.subscriptions import Subscriber, orders


async def months_go_by(billing: World, history: Old) -> None:
    billing.stripe.saves = True
    await _not_paid(billing, history)
    await _by_card(billing, history)
    await _another_plan(billing, history)


async def begins(billing: World, history: Old, name: str, *, dry_run: bool = False) -> dict[str, Any]:
    """A scheduled run, by hand; its report."""
    run_id = await starts(billing, name, dry_run=dry_run)
    await history.works()
    return await report(billing, run_id, limit=5)


async def _not_paid(billing: World, history: Old) -> None:
    """Renewed by link, then charged in vain, suspended, paid, cancelled."""
    subscriber = await orders(billing)
    await history.hears(billing.stripe.told(billing.stripe.pay(subscriber.checkout)), subscriber.ready())
    for days, pays in ((26, True), (31, False), (6, False), (2, False), (2, True)):
        billing.stripe.decline("insufficient_funds")
        billing.clock.move(timedelta(days=days))
        async with billing.database.transaction("test") as tx:
            tx.schedule("billing_run", "every", due=tx.now)
        await history.works()
        if pays:
            await history.hears(billing.stripe.told(billing.stripe.pay(await subscriber.opens_checkout())))
    assert len(await subscriber.periods()) == 3
    assert len((await subscriber.whole())["charges"]) == 2
    for act in ("cancel", "keep"):
        await billing.ask("POST", f"/internal/subscriptions/{subscriber.id}/{act}", "admin", json={"reason": "history"})
    await history.works()
    billing.clock.move(-timedelta(days=67))


async def _by_card(billing: World, history: Old) -> None:
    """Saved with the first payment, charged in a scheduled run, and replaced by another one. Paused and resumed."""
    subscriber = await _subscribes(billing, history)
    await history.works()
    for days in (26, 6):
        billing.clock.move(timedelta(days=days))
        for dry_run in (True, False):
            report = await begins(billing, history, "billing", dry_run=dry_run)
            assert report["changed"] == 1, report
    assert [one["state"] for one in (await subscriber.whole())["charges"]] == ["paid"]
    path = f"/internal/subscriptions/{subscriber.id}"
    answer = await billing.ask("POST", f"{path}/card", "customer", json={"return_url": "https://keyturn.test/back"})
    page = answer.json()["url"].rpartition("/")[2]
    told = {"provider": "stripe", "livemode": False, "refs": billing.stripe.give(page), "reference": subscriber.id}
    await history.hears(MandateSaved(subject=f"stripe:{page}", time=billing.clock.now(), **told))
    await history.works()
    for act in ("pause", "resume"):
        assert (await billing.ask("POST", f"{path}/{act}", "customer", json={})).status_code == 200
        await history.works()
    billing.clock.move(-timedelta(days=32))


async def _another_plan(billing: World, history: Old) -> None:
    """Paid for and followed, and the smaller one again: what that gives back pays a part of the next period."""
    subscriber = await _subscribes(billing, history)
    path = f"/internal/subscriptions/{subscriber.id}/plan"
    for plan in ("sample-pro", "sample-starter"):
        quote = (await billing.ask("POST", f"{path}/quote", "customer", json={"plan_id": plan})).json()
        quoted = {"quote_id": quote["quote_id"]}
        accepted = (await billing.ask("POST", path, "customer", json=quoted)).json()
        if checkout := accepted.get("checkout"):
            await history.hears(billing.stripe.told(billing.stripe.pay(checkout["session_id"])))
        said = {"subject": subscriber.id, "time": billing.clock.now(), "job_id": "2", "action": "change_plan"}
        await history.hears(InstallPlanChanged(**said, plan=plan))
        await history.works()
    billing.clock.move(timedelta(days=26))
    assert (await begins(billing, history, "billing"))["changed"] == 1
    asked = await billing.rows("SELECT credited FROM renewals WHERE purchase_id = CAST(:id AS uuid)", id=subscriber.id)
    assert asked[0]["credited"], asked
    await billing.ask("POST", f"/internal/subscriptions/{subscriber.id}/cancel", "customer", json={"when": "now"})
    await history.works()
    billing.clock.move(-timedelta(days=26))


async def _subscribes(billing: World, history: Old) -> Subscriber:
    subscriber = await orders(billing, email=f"{uuid7()}@example.com")
    await history.hears(billing.stripe.told(billing.stripe.pay(subscriber.checkout)), subscriber.ready())
    return subscriber
