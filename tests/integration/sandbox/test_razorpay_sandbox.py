"""The stand-in for Razorpay, as the official SDK and a browser see it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import razorpay
import requests

from sandbox.razorpay import RazorpaySandbox

KEY_ID, KEY_SECRET = "rzp_test_sandbox", "sandbox-secret"
ORDER = {"amount": 49900, "currency": "INR", "receipt": "p-1", "notes": {"purchase_id": "p-1"}}


class Shop:
    """The SDK, which is synchronous, called in a thread."""

    def __init__(self, sandbox: RazorpaySandbox) -> None:
        self.sandbox = sandbox
        self.client = self.connect(KEY_SECRET)

    def connect(self, secret: str) -> Any:
        return razorpay.Client(auth=(KEY_ID, secret), base_url=self.sandbox.url)

    async def call(self, method: Any, *values: Any, **more: Any) -> Any:
        return await asyncio.to_thread(method, *values, timeout=2, **more)

    async def order(self, **over: Any) -> str:
        made = await self.call(self.client.order.create, ORDER | over)
        return str(made["id"])

    def events(self) -> list[str]:
        return [delivery.type for delivery in self.sandbox.webhooks.log]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    nowhere = "http://127.0.0.1:9/hook"
    sandbox = RazorpaySandbox(key_id=KEY_ID, key_secret=KEY_SECRET, webhook_url=nowhere, webhook_secrets=["s"])
    async with sandbox:
        sandbox.webhooks.hold()
        made = Shop(sandbox)
        yield made
        made.client.session.close()


async def test_an_order_has_the_documented_fields_and_empty_notes_are_a_list(shop: Shop) -> None:
    made = await shop.call(shop.client.order.create, {"amount": 50000, "currency": "INR"})
    assert made["notes"] == []
    assert (made["status"], made["attempts"], made["amount_due"]) == ("created", 0, 50000)
    fetched = await shop.call(shop.client.order.fetch, await shop.order(), {})
    assert fetched["notes"] == {"purchase_id": "p-1"}


async def test_orders_are_found_by_receipt_and_made_twice_by_two_calls(shop: Shop) -> None:
    ids = {await shop.order(), await shop.order()}
    await shop.order(receipt="p-2")
    found = await shop.call(shop.client.order.all, {"receipt": "p-1"})
    assert {one["id"] for one in found["items"]} == ids


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 99},
        {"amount": "49900"},
        {"currency": "rupees"},
        {"receipt": "x" * 41},
        {"notes": {str(n): "x" for n in range(16)}},
        {"color": "red"},
        {"payment": {"capture": "automatic", "capture_options": {"automatic_expiry_period": 5}}},
    ],
)
async def test_wrong_orders_are_refused(shop: Shop, change: Any) -> None:
    with pytest.raises(razorpay.errors.BadRequestError):
        await shop.order(**change)


async def test_a_payment_brings_three_events_of_one_second(shop: Shop) -> None:
    order = await shop.order()
    shop.sandbox.pay(order)
    assert shop.events() == ["payment.authorized", "payment.captured", "order.paid"]
    assert (await shop.call(shop.client.order.fetch, order, {}))["status"] == "paid"
    (payment,) = (await shop.call(shop.client.order.payments, order, {}))["items"]
    assert (payment["status"], payment["captured"], payment["notes"]) == ("captured", True, [])


async def test_a_failed_payment_can_come_to_life_under_the_same_id(shop: Shop) -> None:
    order = await shop.order()
    failed = shop.sandbox.pay(order, "failed")
    shop.sandbox.authorise_late(failed["id"])
    assert shop.events() == ["payment.failed", "payment.authorized", "payment.captured", "order.paid"]
    assert shop.sandbox.books()[0].payment_key == failed["id"]


async def test_a_second_payment_on_a_paid_order_goes_back_by_itself(shop: Shop) -> None:
    order = await shop.order()
    shop.sandbox.pay(order)
    second = shop.sandbox.pay(order)
    assert (second["captured"], second["status"]) == (False, "refunded")
    assert shop.events()[-3:] == ["payment.authorized", "refund.created", "refund.processed"]
    assert [entry.kept for entry in shop.sandbox.books()] == [49900]


async def test_manual_capture_wants_the_exact_amount_once(shop: Shop) -> None:
    payment = shop.sandbox.pay(await shop.order(), "authorized")["id"]
    with pytest.raises(razorpay.errors.BadRequestError):
        await shop.call(shop.client.payment.capture, payment, 1, {"currency": "INR"})
    await shop.call(shop.client.payment.capture, payment, 49900, {"currency": "INR"})
    with pytest.raises(razorpay.errors.BadRequestError, match="already been captured"):
        await shop.call(shop.client.payment.capture, payment, 49900, {"currency": "INR"})


async def test_a_refund_is_sent_twice_without_a_key_and_once_with_one(shop: Shop) -> None:
    payment, refund = shop.sandbox.pay(await shop.order())["id"], shop.client.payment.refund
    for _ in range(2):
        await shop.call(refund, payment, {"amount": 100})
    headers = {"X-Refund-Idempotency": "refund-0001"}
    first = await shop.call(refund, payment, {"amount": 300}, headers=dict(headers))
    assert await shop.call(refund, payment, {"amount": 300}, headers=dict(headers)) == first
    with pytest.raises(razorpay.errors.BadRequestError, match="Different request body"):
        await shop.call(refund, payment, {"amount": 400}, headers=dict(headers))
    assert shop.sandbox.books()[0].refunded == 500
    await shop.call(refund, payment, {})
    assert shop.sandbox.books()[0].kept == 0
    with pytest.raises(razorpay.errors.BadRequestError, match="fully refunded"):
        await shop.call(refund, payment, {})


async def test_a_part_refunded_payment_stays_captured_and_a_refund_can_fail(shop: Shop) -> None:
    payment = shop.sandbox.pay(await shop.order())
    refund = shop.sandbox.refund(payment["id"], 100, pending=True)
    assert (payment["status"], payment["refund_status"]) == ("captured", "partial")
    shop.sandbox.fail_refund(refund["id"])
    assert payment["refund_status"] is None
    assert shop.events()[-2:] == ["refund.created", "refund.failed"]


async def test_a_lost_dispute_takes_the_money(shop: Shop) -> None:
    payment = shop.sandbox.pay(await shop.order())
    dispute = shop.sandbox.dispute(payment["id"])
    shop.sandbox.close_dispute(dispute["id"], "lost")
    assert shop.events()[-2:] == ["payment.dispute.created", "payment.dispute.lost"]
    assert shop.sandbox.books()[0].kept == 0


async def test_wrong_keys_unknown_ids_and_rate_limits_look_like_razorpays(shop: Shop) -> None:
    with pytest.raises(razorpay.errors.BadRequestError, match="Authentication failed"):
        await shop.call(shop.connect("wrong").order.all, {})
    with pytest.raises(razorpay.errors.BadRequestError, match="does not exist"):
        await shop.call(shop.client.payment.fetch, "pay_unknown", {})
    shop.sandbox.faults.add("rate_limit")
    shop.sandbox.faults.add("garbage")
    pair = base64.b64encode(f"{KEY_ID}:{KEY_SECRET}".encode()).decode()
    async with httpx.AsyncClient(headers={"authorization": f"Basic {pair}"}) as client:
        limited = await client.get(f"{shop.sandbox.url}/v1/orders")
    assert limited.status_code == 429
    assert limited.json()["error"]["code"] == "BAD_REQUEST_ERROR"
    with pytest.raises(requests.exceptions.JSONDecodeError):
        await shop.call(shop.client.order.all, {})


async def test_payloads_are_as_ugly_as_real_ones_on_demand(shop: Shop) -> None:
    names = ["captured_as_text", "created_at_in_payload", "bare_envelope", "empty_errors", "captured_too_early"]
    async with httpx.AsyncClient(base_url=f"{shop.sandbox.url}/_control") as control:
        assert (await control.put("/razorpay/quirks", json=names)).status_code == 200
    shop.sandbox.pay(await shop.order())
    authorized, captured = (json.loads(delivery.body) for delivery in list(shop.sandbox.webhooks.log)[:2])
    assert authorized["payload"]["payment"]["entity"]["status"] == "captured"
    assert captured["payload"]["payment"]["entity"]["captured"] == "1"
    assert captured["payload"]["payment"]["entity"]["error_code"] == ""
    assert isinstance(captured["payload"]["created_at"], int)
    assert not {"created_at", "account_id", "contains"} & set(captured)


async def test_a_customer_clicks_through_the_payment_page(shop: Shop) -> None:
    order = await shop.order()
    page = f"{shop.sandbox.url}/checkout/{order}"
    async with httpx.AsyncClient() as browser:
        script = await browser.get(shop.sandbox.script)
        assert script.headers["content-type"].startswith("text/javascript")
        assert "class Razorpay" in script.text
        assert "499.00 INR" in (await browser.get(page, params={"key": KEY_ID})).text
        assert "499.00" not in (await browser.get(page, params={"key": "rzp_test_other"})).text
        back = {"callback_url": 'https://shop.example/back?a=1&b="2"'}
        assert "payment failed" in (await browser.post(page, data=back | {"outcome": "failed"})).text
        done = (await browser.post(page, data=back | {"outcome": "paid"})).text
        assert 'action="https://shop.example/back?a=1&amp;b=&#34;2&#34;"' in done
        (entry,) = shop.sandbox.books()
        proof = shop.sandbox.proof(entry.payment_key)
        assert all(value in done for value in proof.values())
        assert shop.client.utility.verify_payment_signature(proof)
        assert (await browser.get(shop.sandbox.url)).status_code == 200


async def test_everything_can_be_done_through_the_control_api(shop: Shop) -> None:
    order = await shop.order()
    async with httpx.AsyncClient(base_url=f"{shop.sandbox.url}/_control/razorpay") as control:
        failed = (await control.post(f"/orders/{order}/pay", json={"outcome": "failed"})).json()["payment"]
        paid = (await control.post(f"/payments/{failed['id']}/authorise")).json()
        assert paid["status"] == "captured"
        refund = (await control.post(f"/payments/{paid['id']}/refund", json={"amount": 100})).json()
        assert (await control.post(f"/refunds/{refund['id']}/fail")).json()["status"] == "failed"
        dispute = (await control.post(f"/payments/{paid['id']}/dispute", json={"phase": "fraud"})).json()
        await control.post(f"/disputes/{dispute['id']}/close", json={"verdict": "closed"})
        await control.post("/foreign", json={"amount": 500})
        books = (await control.get("/books")).json()
    assert [(entry["amount"], entry["reference"], entry["refunded"]) for entry in books] == [
        (49900, "p-1", 0),
        (500, None, 0),
    ]


async def test_the_account_and_what_was_under_way_survive_a_restart(tmp_path: Path) -> None:
    def sandbox(url: str) -> RazorpaySandbox:
        file = tmp_path / "razorpay.json"
        return RazorpaySandbox(
            key_id=KEY_ID, key_secret=KEY_SECRET, webhook_url=url, webhook_secrets=["s"], state_file=file
        )

    headers = {"X-Refund-Idempotency": "refund-0001"}
    nowhere = "http://127.0.0.1:9/hook"
    async with sandbox(nowhere) as first:
        shop = Shop(first)
        payment = first.pay(await shop.order())["id"]
        refund = await shop.call(shop.client.payment.refund, payment, {"amount": 100}, headers=dict(headers))
    async with sandbox(nowhere) as second:
        shop = Shop(second)
        again = await shop.call(shop.client.payment.refund, payment, {"amount": 100}, headers=dict(headers))
        assert again == refund
        assert [entry.refunded for entry in second.books()] == [100]
        assert second.webhooks.pending() == 5
