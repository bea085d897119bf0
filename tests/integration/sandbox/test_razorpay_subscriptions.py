"""The stand-in's subscriptions as Razorpay's own SDK and a browser see them, and what is told of them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import razorpay

from sandbox.razorpay import RazorpaySandbox
from support.still import StillClock

PLAN = {"period": "monthly", "interval": 1, "item": {"name": "Shop", "amount": 49900, "currency": "INR"}}


class Shop:
    def __init__(self, sandbox: RazorpaySandbox, clock: StillClock) -> None:
        self.sandbox, self.clock = sandbox, clock
        self.client = razorpay.Client(auth=(sandbox.key_id, sandbox.key_secret), base_url=sandbox.url)

    async def call(self, call: Any, *values: Any) -> Any:
        return await asyncio.to_thread(lambda: call(*values, timeout=10))

    async def subscribe(self, **more: Any) -> dict[str, Any]:
        plan = await self.call(self.client.plan.create, PLAN)
        wanted = {"plan_id": plan["id"], "total_count": 12, "notes": {"purchase_id": "p-1"}} | more
        return dict(await self.call(self.client.subscription.create, wanted))

    def told(self) -> list[str]:
        return [delivery.type for delivery in self.sandbox.webhooks.log]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    clock = StillClock(datetime(2027, 1, 31, 12, tzinfo=UTC))
    endpoint = {"webhook_url": "http://127.0.0.1:9/", "webhook_secrets": ["x"]}
    async with RazorpaySandbox(key_id="rzp_test_1", key_secret="secret", clock=clock, **endpoint) as sandbox:  # type: ignore[arg-type]
        yield Shop(sandbox, clock)


async def test_a_first_payment_brings_its_events_and_names_nobody_but_in_the_subscription(shop: Shop) -> None:
    made = await shop.subscribe(addons=[{"item": {"name": "Set-up", "amount": 100, "currency": "INR"}}])
    payment = shop.sandbox.pay(made["id"])
    assert (payment["amount"], payment["notes"]) == (50000, [])
    assert shop.told() == [
        "payment.authorized",
        "payment.captured",
        "order.paid",
        "invoice.paid",
        "subscription.authenticated",
        "subscription.activated",
        "subscription.charged",
    ]
    found = await shop.call(shop.client.subscription.fetch, made["id"])
    assert (found["status"], found["paid_count"], found["remaining_count"]) == ("active", 1, 11)
    assert datetime.fromtimestamp(found["current_end"], UTC) == datetime(2027, 2, 28, 12, tzinfo=UTC)
    (entry,) = shop.sandbox.books()
    assert (entry.reference, entry.amount) == ("p-1", 50000)


async def test_a_charge_that_fails_is_tried_for_three_days_and_a_good_card_takes_it_up_again(shop: Shop) -> None:
    made = await shop.subscribe()
    shop.sandbox.pay(made["id"])
    shop.sandbox.use_card(made["id"], "declined")
    shop.clock.move(timedelta(days=28))
    for _ in range(4):
        shop.sandbox.tick()
        shop.clock.move(timedelta(days=1))
    assert shop.told().count("subscription.pending") == 3
    assert shop.told()[-1] == "subscription.halted"
    shop.sandbox.use_card(made["id"], "good")
    assert shop.told()[-1] == "subscription.charged"
    found = await shop.call(shop.client.subscription.fetch, made["id"])
    assert datetime.fromtimestamp(found["current_end"], UTC) == datetime(2027, 3, 31, 12, tzinfo=UTC)


async def test_only_what_is_active_is_paused_and_what_has_ended_stays_so(shop: Shop) -> None:
    made = await shop.subscribe()
    with pytest.raises(razorpay.errors.BadRequestError):
        await shop.call(shop.client.subscription.pause, made["id"], {"pause_at": "now"})
    shop.sandbox.pay(made["id"])
    assert (await shop.call(shop.client.subscription.pause, made["id"], {"pause_at": "now"}))["status"] == "paused"
    assert (await shop.call(shop.client.subscription.resume, made["id"], {"resume_at": "now"}))["status"] == "active"
    await shop.call(shop.client.subscription.cancel, made["id"], {"cancel_at_cycle_end": 0})
    with pytest.raises(razorpay.errors.BadRequestError):
        await shop.call(shop.client.subscription.cancel, made["id"], {"cancel_at_cycle_end": 0})


async def test_its_page_is_paid_in_a_browser_which_brings_back_what_the_sdk_verifies(shop: Shop) -> None:
    made = await shop.subscribe()
    async with httpx.AsyncClient(base_url=shop.sandbox.url) as browser:
        assert "499.00" in (await browser.get(f"/checkout/{made['id']}")).text
        done = await browser.post(f"/checkout/{made['id']}", data={"outcome": "paid"})
    assert "razorpay_subscription_id" in done.text
    (payment,) = [one for one in shop.sandbox.account.all("payment") if one["captured"]]
    assert shop.client.utility.verify_subscription_payment_signature(shop.sandbox.proof(payment["id"]))


async def test_another_card_is_given_in_the_window_and_pays_what_is_overdue(shop: Shop) -> None:
    made = await shop.subscribe()
    async with httpx.AsyncClient(base_url=shop.sandbox.url) as browser:
        unpaid = await browser.post(f"/card/{made['id']}", data={"card": "good"})
        assert unpaid.status_code == 400
        assert "cannot be changed" in unpaid.text
        shop.sandbox.pay(made["id"])
        given = await browser.post(f"/card/{made['id']}", data={"card": "good"})
        assert shop.client.utility.verify_subscription_payment_signature(_answer(given.text))
        assert (await shop.call(shop.client.subscription.fetch, made["id"]))["paid_count"] == 1
        shop.sandbox.use_card(made["id"], "declined")
        shop.clock.move(timedelta(days=28))
        shop.sandbox.tick()
        assert "Another card" in (await browser.get(f"/card/{made['id']}", params={"key": shop.sandbox.key_id})).text
        assert "The bank refuses" in (await browser.post(f"/card/{made['id']}", data={"card": "declined"})).text
        assert shop.told()[-1] == "subscription.pending"
        brought = _answer((await browser.post(f"/card/{made['id']}", data={"card": "good"})).text)
        assert "no such subscription" in (await browser.get("/card/sub_none")).text
    assert shop.client.utility.verify_subscription_payment_signature(brought)
    found = await shop.call(shop.client.subscription.fetch, made["id"])
    assert (found["status"], found["paid_count"]) == ("active", 2)
    paid = await shop.call(shop.client.payment.fetch, brought["razorpay_payment_id"])
    assert (paid["captured"], paid["amount"]) == (True, 49900)


def _answer(page: str) -> dict[str, str]:
    """What the window hands to the shop's page."""
    found = re.search(r"answer: (\{.*?\})", page)
    assert found
    return dict(json.loads(found[1]))
