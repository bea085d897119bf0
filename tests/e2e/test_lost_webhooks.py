"""A webhook that is lost, late, early or not about us: the money is found all the same, and counts once (rules 5, 6)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keyturn.events import uuid7
from keyturn.internal import Caller, InternalClient, Signer
from sandbox.delivery import Weather
from sandbox.razorpay import orders
from sandbox.secrets import load
from sandbox.shopper import Bought
from support.waiting import wait_until
from support.ways import OVER_RABBITMQ
from support.whole import Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]
PROVIDERS = pytest.mark.parametrize("provider", ["stripe", "razorpay"])


@contextmanager
def _no_webhooks(system: Whole, provider: str) -> Iterator[None]:
    webhooks = (system.system.stripe if provider == "stripe" else system.system.razorpay).webhooks
    webhooks.weather = Weather(losses=1)
    try:
        yield
    finally:
        webhooks.weather = Weather()


async def _return(system: Whole, bought: Bought, paid: dict[str, Any]) -> None:
    """The browser comes back from the provider's page to the shop's."""
    if bought.provider == "stripe":
        asked = {"purchase": bought.purchase_id, "session_id": bought.checkout_id}
        answer = await system.client.get("/checkout/return", params=asked)
        assert answer.status_code == 303
    else:
        proof = system.system.razorpay.proof(paid["id"]) | {"purchaseId": bought.purchase_id}
        answer = await system.client.post("/api/checkout/razorpay/confirm", json=proof)
        assert answer.is_success, answer.text


async def _found_by(system: Whole, bought: Bought) -> str:
    events = (await system.ask(f"/api/journeys/{bought.purchase_id}"))["events"]
    return str(next(event["data"]["found_by"] for event in events if event["type"] == "purchase.paid.v1"))


async def _told(system: Whole, bought: Bought, wire: str) -> list[tuple[Any, str]]:
    """What became of a refund or a dispute, and who told of it."""
    events = (await system.ask(f"/api/journeys/{bought.purchase_id}"))["events"]
    data = [event["data"] for event in events if event["type"] == f"{wire}.v1"]
    return [(told["status"] if "status" in told else told["reversed"], told["found_by"]) for told in data]


@PROVIDERS
async def test_rule_5_the_return_page_finds_a_payment_whose_webhook_was_lost(system: Whole, provider: str) -> None:
    bought = await system.order(provider)
    with _no_webhooks(system, provider):
        paid = system.shopper.pay(bought)
    await _return(system, bought, paid)
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)
    assert await _found_by(system, bought) == "return_page"


@PROVIDERS
async def test_rule_5_the_reconciler_finds_a_payment_that_nobody_tells_of(system: Whole, provider: str) -> None:
    bought = await system.order(provider)
    with _no_webhooks(system, provider):
        system.shopper.pay(bought)
    assert "purchase.paid" not in await system.journey(bought)
    system.move(minutes=5)
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)
    assert await _found_by(system, bought) == "reconciler"


@PROVIDERS
async def test_rule_5_a_webhook_that_comes_after_the_return_page_changes_nothing(system: Whole, provider: str) -> None:
    bought = await system.order(provider)
    webhooks = system.webhooks(bought)
    webhooks.hold()
    try:
        await _return(system, bought, system.shopper.pay(bought))
        await system.wait_for(bought, "purchase.paid")
    finally:
        await webhooks.release("shuffled")
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)
    assert await _found_by(system, bought) == "return_page"


@PROVIDERS
async def test_rule_5_a_lost_webhook_is_found_when_the_gateway_was_away_for_the_return_too(
    system: Whole, provider: str
) -> None:
    bought = await system.order(provider)
    with _no_webhooks(system, provider):
        async with system.without("gateway"):
            system.shopper.pay(bought)
    system.move(minutes=5)
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)


@PROVIDERS
async def test_rule_6_money_for_somebody_else_on_the_account_is_stored_and_done(system: Whole, provider: str) -> None:
    standin: Any = system.system.stripe if provider == "stripe" else system.system.razorpay
    before = await _counts(system)
    standin.pay_foreign(1234, {"stripe": "eur", "razorpay": "INR"}[provider])
    await wait_until(lambda: standin.webhooks.log and not standin.webhooks.pending())
    assert standin.webhooks.log[-1].state == "delivered"
    sql = "SELECT count(*) FROM payments WHERE state = 'foreign' AND amount = 1234 AND provider = $1"

    async def known() -> bool:
        return bool(await system.traces.one("billing", sql, provider) == 1)

    await wait_until(known, 20)
    await system.settled()
    assert await _counts(system) == before
    assert await known()


@PROVIDERS
async def test_rule_5_a_dispute_and_its_end_are_found_that_nobody_tells_of(system: Whole, provider: str) -> None:
    bought, url = await system.own(provider)
    bank, money = system.bank(bought)
    webhooks = system.webhooks(bought)
    webhooks.hold()
    try:
        dispute = bank.dispute(money)
        system.move(minutes=10)
        await system.wait_for(bought, "install.suspended")
        assert not await system.shopper.logs_in(url, bought.email, system.password)
        bank.close_dispute(dispute["id"], "won")
        system.move(hours=1)
        await system.wait_for(bought, "install.resumed")
        assert await system.shopper.logs_in(url, bought.email, system.password)
    finally:
        await webhooks.release("shuffled")
    await system.settled()
    assert await _told(system, bought, "purchase.disputed") == [("open", "reconciler"), ("won", "reconciler")]
    await system.assert_exactly_once(bought, mails=3)


@PROVIDERS
async def test_rule_5_that_a_dispute_is_won_is_found_where_that_webhook_alone_was_lost(
    system: Whole, provider: str
) -> None:
    bought, url = await system.own(provider)
    bank, money = system.bank(bought)
    dispute = bank.dispute(money)
    await system.wait_for(bought, "install.suspended")
    await system.settled()
    with _no_webhooks(system, provider):
        bank.close_dispute(dispute["id"], "won")
    system.move(hours=1)
    await system.wait_for(bought, "install.resumed")
    assert await system.shopper.logs_in(url, bought.email, system.password)
    await system.settled()
    assert await _told(system, bought, "purchase.disputed") == [("open", "webhook"), ("won", "reconciler")]


@PROVIDERS
async def test_rule_5_a_refund_by_hand_and_its_failure_are_found_that_nobody_tells_of(
    system: Whole, provider: str
) -> None:
    bought, url = await system.own(provider)
    bank, money = system.bank(bought)
    webhooks = system.webhooks(bought)
    webhooks.hold()
    try:
        refund = bank.refund(money)
        system.move(minutes=10)
        await system.wait_for(bought, "purchase.refunded")
        await wait_until(lambda: not system.instances(bought), 20)
        bank.fail_refund(refund["id"])
        system.move(hours=3)
        await system.wait_for(bought, "purchase.refunded", "purchase.refunded")
        await wait_until(lambda: system.shopper.logs_in(url, bought.email, system.password), 20)
    finally:
        await webhooks.release("shuffled")
    await system.settled()
    assert await _told(system, bought, "purchase.refunded") == [(False, "reconciler"), (True, "reconciler")]
    assert len(system.instances(bought)) == 1


async def test_rule_5_money_of_another_amount_is_for_an_operator_to_decide(system: Whole) -> None:
    bought = await system.order("stripe")
    system.system.stripe.pay(bought.checkout_id, amount=100)
    await system.wait_for(bought, "payment.needs_review")
    await system.settled()
    assert {"purchase.paid", "install.requested"}.isdisjoint(await system.journey(bought))
    assert not system.instances(bought)
    payments = (await system.ask("/api/payments?state=review"))["items"]
    found = next(one for one in payments if one["purchaseId"] == bought.purchase_id)
    await system.tell(f"/api/payments/{found['id']}/decide", decision="match", purchaseId=bought.purchase_id)
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)
    assert await _found_by(system, bought) == "operator"


async def test_rule_6_a_webhook_that_comes_before_its_purchase_waits_for_it(system: Whole) -> None:
    """As where the provider is faster than our own commit."""
    purchase_id, email = uuid7(), system.email()
    account = system.system.razorpay.account
    notes = {"purchase_id": str(purchase_id)}
    order = orders.create(account, {"amount": 449900, "currency": "INR", "notes": notes})
    system.system.razorpay.pay(order["id"], notes=notes)

    async def waits() -> bool:
        sql = "SELECT count(*) FROM work WHERE kind = 'event' AND state = 'open' AND reason = 'not_visible'"
        return bool(await system.traces.one("billing", sql))

    await wait_until(waits, 20)
    bought = Bought(str(purchase_id), "", "razorpay", order["id"], email, {})
    await _open(system, bought)
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)


async def _open(system: Whole, bought: Bought) -> None:
    """What the gateway asks of billing for a customer."""
    signer = Signer.from_seed(load(system.system.folder)["INTERNAL_SIGNING_KEY"])
    billing = InternalClient(f"http://127.0.0.1:{system.system.ports['billing']}", "billing", signer)
    asked = {"purchase_id": bought.purchase_id, "email": bought.email, "currency": "INR", "store_name": "Shop"}
    urls = dict.fromkeys(("success_url", "cancel_url"), system.system.url)
    try:
        await billing.request("POST", "/internal/checkouts", Caller(actor="visitor", role="public"), json=asked | urls)
    finally:
        await billing.close()


async def _counts(system: Whole) -> list[int]:
    return [await system.traces.one("provisioner", "SELECT count(*) FROM installs")] + [
        await system.traces.one("billing", f"SELECT count(*) FROM {table}") for table in ("purchases", "entitlements")
    ]
