"""Billing with a long history: no statement reads a whole table, or more than a batch of it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.auditing import to_audit
from billing.handlers import HANDLERS, WORK
from billing.repository.auditing import entitled_between, not_as_paid
from billing.repository.reconciling import SOURCES
from billing.repository.runs import findings
from keyturn.clock import MovableClock
from keyturn.events import CustomerDataErased
from support.billing import World, world
from support.billing_facts import Facts, declined, expired
from support.databases import DatabaseUrl
from support.explaining import ROWS
from support.history import fill
from support.old import Old, old
from support.old_subscriptions import begins, months_go_by
from support.runs import report

pytestmark = [pytest.mark.servers, pytest.mark.timeout(3600)]


async def test_billing_reads_no_more_with_a_long_history(database_url: DatabaseUrl, clock: MovableClock) -> None:
    url = await database_url("billing")
    async with world(url, clock) as billing:
        await fill(url, "billing", ROWS)
        async with old(billing.database, billing.deps, WORK, HANDLERS) as history:
            await months_go_by(billing, history)
            for _ in range(2):
                await _a_purchase(billing, history)
            await _reading(billing)
            await _erasing(billing, history)
            await _reconciling(billing, history)
            await _runs(billing, history)
            await history.skeleton()


async def _a_purchase(billing: World, history: Old) -> None:
    bought = await billing.buy()
    unpaid = await billing.buy(email="grace@example.com")
    await billing.buy(email="grace@example.com", plan_id="wordpress-blog", cycle="monthly")  # tried, once
    coupon = await billing.buy(email=f"{bought['purchase_id']}@example.com", coupon_code="WELCOME10")
    payment = billing.stripe.pay(bought["session_id"])
    facts, refund = Facts(payment), billing.stripe.give_back(payment.payment_key, 100, payment.currency)
    await history.hears(
        facts.refunded(100, refund.refund_id), billing.stripe.told(payment), declined(unpaid["session_id"])
    )
    await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/return", json={})
    billing.clock.move(timedelta(minutes=1))
    await history.works()
    await history.hears(expired(coupon["session_id"]))
    await history.hears(billing.stripe.told(billing.stripe.pay(coupon["session_id"])))
    await history.hears(facts.disputed(), facts.closed("won"), facts.fraud_warned(), expired(unpaid["session_id"]))
    await _operator(billing, bought["purchase_id"], unpaid["purchase_id"])
    again = (await billing.ask("POST", f"/internal/purchases/{unpaid['purchase_id']}/checkout")).json()
    await history.hears(billing.stripe.told(billing.stripe.pay(unpaid["session_id"], amount=1)))
    assert again
    await history.works()


async def _runs(billing: World, history: Old) -> None:
    """Each in which nobody, or somebody, has something to be done."""
    unpaid = await billing.buy()
    async with billing.database.transaction("test") as tx:
        tx.schedule("scheduled_runs", "every", due=tx.now)
    await history.works()
    for name in ("billing", "suspension", "expiry"):
        begun = await begins(billing, history, name)
        await report(billing, begun["id"], cursor="0", limit=5)
    page = (await billing.ask("GET", "/internal/runs", "viewer")).json()
    for asked in ({"cursor": page["cursor"]}, {"name": "billing"}):
        await billing.ask("GET", "/internal/runs", "viewer", params=asked)
    async with billing.database.transaction("compared") as tx:
        for source in SOURCES:
            found = await source(tx, tx.now - timedelta(days=3), None, 5)
            await source(tx, tx.now - timedelta(days=3), found[-1].place if found else None, 5)
        (page,) = await to_audit(tx, None, 200)
        first, last = UUID(int=0), page.place[0]
        await entitled_between(tx, first, last, 500)
        await not_as_paid(tx, first, last, 200)
        await findings(tx, UUID(int=7), 20)
    assert unpaid


async def _operator(billing: World, paid: str, unpaid: str) -> None:
    reason: dict[str, Any] = {"reason": "history"}
    coupon = {"code": f"OF-{paid}", "terms": {"percent": 10}} | reason
    await billing.ask("POST", "/internal/coupons", "operator", json=coupon)
    await billing.ask("POST", f"/internal/coupons/{coupon['code']}/end", "operator", json=reason)
    await billing.ask("POST", f"/internal/purchases/{paid}/refund", "admin", json=reason | {"amount": 10})
    await billing.ask("POST", f"/internal/purchases/{unpaid}/mark-paid", "admin", json=reason)
    review = (await billing.ask("GET", "/internal/payments", "viewer", params={"state": "review"})).json()["items"]
    decision = {"decision": "foreign"} | reason
    await billing.ask("POST", f"/internal/payments/{review[0]['id']}/decide", "admin", json=decision)


async def _reading(billing: World) -> None:
    for path in ("/internal/purchases", "/internal/payments"):
        page = (await billing.ask("GET", path, "viewer")).json()
        await billing.ask("GET", path, "viewer", params={"cursor": page["cursor"]})
    page = (await billing.ask("GET", "/internal/subscriptions", "viewer")).json()
    for asked in ({"cursor": page["cursor"]}, {"status": "past_due"}):
        await billing.ask("GET", "/internal/subscriptions", "viewer", params=asked)
    await billing.ask("GET", "/internal/credits", "viewer", params={"email": "jane77@example.com"})
    gift = {"email": "jane77@example.com", "currency": "EUR", "amount": 500, "reason": "history"}
    await billing.ask("POST", "/internal/credits", "admin", json=gift)
    await billing.ask("POST", "/internal/credits/forfeit", "admin", json=gift)
    left = {"credit": "left", "limit": 5}
    page = (await billing.ask("GET", "/internal/customers", "viewer", params=left)).json()
    more = {"cursor": page["cursor"]} if page["cursor"] else {}
    await billing.ask("GET", "/internal/customers", "viewer", params=left | more)
    page = (await billing.ask("GET", "/internal/invoices", "viewer")).json()
    for asked in (
        {"cursor": page["cursor"]},
        {"status": "open"},
        {"status": "void", "kind": "credit_note"},
        {"kind": "credit_note"},
    ):
        await billing.ask("GET", "/internal/invoices", "viewer", params=asked)
    await billing.ask("GET", "/internal/invoices", "viewer", params={"email": "jane77@example.com"})
    await billing.ask("GET", f"/internal/invoices/{page['items'][0]['number']}", "viewer")
    for status in ("pending", "failed", "disputed"):
        await billing.ask("GET", "/internal/purchases", "viewer", params={"status": status})
    email = {"email": "jane77@example.com"}
    (found,) = (await billing.ask("GET", "/internal/purchases", "viewer", params=email)).json()["items"]
    await billing.ask("GET", f"/internal/purchases/{found['id']}", "viewer")
    await billing.ask("GET", "/internal/products")
    await _customers(billing, email)
    await billing.ask("GET", "/internal/coupons", "viewer", params={"cursor": "CODE-77"})
    await billing.ask("GET", "/internal/coupons/WELCOME10", "viewer")
    following = (await billing.ask("GET", "/internal/coupons/WELCOME10/redemptions", "viewer")).json()["cursor"]
    await billing.ask("GET", "/internal/coupons/WELCOME10/redemptions", "viewer", params={"cursor": following})
    await billing.ask("POST", "/internal/coupons/check", json={"coupon_code": "WELCOME10"})


async def _customers(billing: World, email: dict[str, str]) -> None:
    page = (await billing.ask("GET", "/internal/customers", "viewer")).json()
    await billing.ask("GET", "/internal/customers", "viewer", params={"cursor": page["cursor"]})
    (one,) = (await billing.ask("GET", "/internal/customers", "viewer", params=email)).json()["items"]
    assert (await billing.ask("GET", f"/internal/customers/{one['id']}", "viewer")).json()["purchases"]
    await billing.ask("POST", "/internal/customers/find", json=email)
    params = {"limit": 1}
    page = (await billing.ask("GET", f"/internal/customers/{one['id']}/purchases", "customer", params=params)).json()
    more = params | {"cursor": page["cursor"]}
    await billing.ask("GET", f"/internal/customers/{one['id']}/purchases", "customer", params=more)


async def _erasing(billing: World, history: Old) -> None:
    bought = await billing.buy(email="gone@example.com", plan_id="wordpress-blog", cycle="monthly")
    assert (await billing.ask("POST", "/internal/checkouts/terms", json={})).json()["blueprint"]
    params = {"email": "gone@example.com"}
    (one,) = (await billing.ask("GET", "/internal/customers", "viewer", params=params)).json()["items"]
    await billing.ask("POST", f"/internal/customers/{one['id']}/erasure-request", "customer")
    await billing.ask("GET", "/internal/customers", "viewer", params={"erasure": "wanted"})
    await billing.ask("GET", f"/internal/purchases/{bought['purchase_id']}/data", "customer")
    await billing.ask("GET", f"/internal/customers/{one['id']}/data", "customer")
    sent = {"reason": "history", "end_everything": True}
    assert (await billing.ask("POST", f"/internal/customers/{one['id']}/erase", "admin", json=sent)).status_code == 202
    await history.works()
    now = billing.clock.now()
    told = {"subject": bought["purchase_id"], "customer_id": one["id"], "service": "gateway"}
    await history.hears(CustomerDataErased(time=now, **told))
    assert (await billing.ask("GET", f"/internal/customers/{one['id']}", "viewer")).json()["erasure"]


async def _reconciling(billing: World, history: Old) -> None:
    payment = billing.stripe.pay((await billing.buy())["session_id"])
    await history.hears(billing.stripe.told(payment))
    billing.stripe.give_back(payment.payment_key, 100, payment.currency)
    billing.stripe.dispute(payment)
    for _ in range(2):
        billing.clock.move(timedelta(hours=1))
        async with billing.database.transaction("test") as tx:
            tx.schedule("reconcile", "every", due=tx.now)
            tx.schedule("sweep", "every", due=tx.now)
        await history.works()
    assert [call for call in billing.stripe.calls if call.startswith("dispute_now")]
