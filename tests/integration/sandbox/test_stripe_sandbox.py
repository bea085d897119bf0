"""The stand-in for Stripe, as the official SDK and a browser see it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from keyturn.clock import MovableClock
from sandbox.stripe import StripeSandbox
from sandbox.stripe.account import API_VERSION

KEY = "sk_test_sandbox"
SESSION: Any = {
    "mode": "payment",
    "success_url": "https://shop.example/done?s={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://shop.example/back",
    "customer_email": "ann@example.com",
    "metadata": {"purchase_id": "p-1", "note": "[1] & more"},
    "payment_intent_data": {"metadata": {"purchase_id": "p-1"}},
    "line_items": [
        {
            "quantity": 2,
            "price_data": {
                "currency": "usd",
                "unit_amount": 2450,
                "product_data": {"name": "Shop", "images": ["a", "b"]},
            },
        }
    ],
}
SUBSCRIPTION: Any = {
    "mode": "subscription",
    "success_url": "https://shop.example/done",
    "subscription_data": {"metadata": {"purchase_id": "p-2"}},
    "line_items": [
        {
            "quantity": 1,
            "price_data": {
                "currency": "usd",
                "unit_amount": 4900,
                "product_data": {"name": "Shop"},
                "recurring": {"interval": "month", "interval_count": 1},
            },
        }
    ],
}


class Shop:
    """A client of the account and everything that its webhook endpoint could have got."""

    def __init__(self, sandbox: StripeSandbox) -> None:
        self.sandbox = sandbox
        self._http = stripe.HTTPXClient(timeout=2, allow_sync_methods=False)
        self.client = self.connect(KEY)
        self.v1 = self.client.v1

    def connect(self, key: str) -> stripe.StripeClient:
        return stripe.StripeClient(
            key, stripe_version=API_VERSION, base_addresses={"api": self.sandbox.url}, http_client=self._http
        )

    def events(self) -> list[str]:
        return [event["type"] for event in self.sandbox.account.events]

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]


@pytest.fixture
async def shop(clock: MovableClock) -> AsyncIterator[Shop]:
    async with StripeSandbox(secret_key=KEY, clock=clock) as sandbox:
        made = Shop(sandbox)
        yield made
        await made.close()


async def test_a_session_is_created_from_nested_parameters_and_arrays(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    assert (made.amount_total, made.currency, made.status, made.payment_status) == (4900, "usd", "open", "unpaid")
    assert made.metadata is not None
    assert made.metadata["note"] == "[1] & more"
    assert made.payment_intent is None
    lines = await shop.v1.checkout.sessions.line_items.list_async(made.id)
    assert [(line.quantity, line.amount_total, line.description) for line in lines.data] == [(2, 4900, "Shop")]


async def test_a_card_payment_brings_all_of_stripes_events_about_it(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    shop.sandbox.pay(made.id)
    assert shop.events() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    paid = await shop.v1.checkout.sessions.retrieve_async(made.id, {"expand": ["payment_intent.latest_charge"]})
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    intent: Any = paid.payment_intent
    assert (intent.status, intent.latest_charge.captured) == ("succeeded", True)
    assert intent.metadata["purchase_id"] == "p-1"


async def test_a_session_is_found_by_its_payment_intent(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    await shop.v1.checkout.sessions.create_async(SESSION)
    intent = shop.sandbox.pay(made.id)["payment_intent"]
    listed = await shop.v1.checkout.sessions.list_async({"payment_intent": intent})
    assert [one.id for one in listed.data] == [made.id]


async def test_lists_go_on_page_by_page(shop: Shop) -> None:
    made = [(await shop.v1.checkout.sessions.create_async(SESSION)).id for _ in range(5)]
    listed = await shop.v1.checkout.sessions.list_async({"limit": 2})
    assert [one.id async for one in listed.auto_paging_iter()] == made[::-1]


async def test_a_declined_card_leaves_the_session_open(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    assert shop.sandbox.pay(made.id, "declined")["status"] == "open"
    assert shop.events()[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    assert shop.sandbox.pay(made.id)["payment_status"] == "paid"
    assert shop.events().count("payment_intent.created") == 1


@pytest.mark.parametrize(("succeeded", "event"), [(True, "async_payment_succeeded"), (False, "async_payment_failed")])
async def test_a_delayed_payment_completes_unpaid_and_is_decided_later(shop: Shop, succeeded: bool, event: str) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    assert shop.sandbox.pay(made.id, "delayed")["payment_status"] == "unpaid"
    assert shop.events()[-1] == "checkout.session.completed"
    session = shop.sandbox.settle(made.id, succeeded=succeeded)
    assert session["payment_status"] == ("paid" if succeeded else "unpaid")
    assert shop.events()[-1] == f"checkout.session.{event}"


async def test_the_first_payment_of_a_subscription_has_the_shapes_of_today(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SUBSCRIPTION)
    session = shop.sandbox.pay(made.id)
    assert {
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "customer.subscription.created",
    } <= set(shop.events())
    invoice: Any = await shop.v1.invoices.retrieve_async(session["invoice"], {"expand": ["payments"]})
    details = invoice.parent.subscription_details
    assert (details.subscription, details.metadata["purchase_id"]) == (session["subscription"], "p-2")
    assert invoice.payments.data[0].payment.payment_intent.startswith("pi_")
    subscription: Any = await shop.v1.subscriptions.retrieve_async(session["subscription"])
    assert subscription.status == "active"
    assert subscription["items"].data[0].current_period_end > subscription["items"].data[0].current_period_start
    with pytest.raises(AttributeError):
        _ = subscription.current_period_end
    assert session["payment_intent"] is None
    (entry,) = shop.sandbox.books()
    assert entry.payment_key == session["invoice"]


async def test_refunds_add_up_and_can_fail_after_they_succeeded(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    intent = shop.sandbox.pay(made.id)["payment_intent"]
    first = await shop.v1.refunds.create_async({"payment_intent": intent, "amount": 900})
    await shop.v1.refunds.create_async({"payment_intent": intent})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.v1.refunds.create_async({"payment_intent": intent})
    assert refused.value.code == "charge_already_refunded"
    assert shop.sandbox.books()[0].kept == 0
    shop.sandbox.fail_refund(first.id)
    assert (await shop.v1.refunds.retrieve_async(first.id)).status == "failed"
    assert shop.sandbox.books()[0].kept == 900
    assert "refund.failed" in shop.events()


async def test_a_disputed_charge_moves_money_and_cannot_be_refunded(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    intent = shop.sandbox.pay(made.id)["payment_intent"]
    charge = shop.sandbox.charge_of(made.id)
    shop.sandbox.warn(charge)
    dispute = shop.sandbox.dispute(charge)
    with pytest.raises(stripe.InvalidRequestError):
        await shop.v1.refunds.create_async({"payment_intent": intent})
    assert shop.sandbox.books()[0].kept == 0
    shop.sandbox.close_dispute(dispute["id"], "won")
    assert shop.sandbox.books()[0].kept == 4900
    assert shop.events()[-5:] == [
        "radar.early_fraud_warning.created",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]


async def test_a_wrong_key_and_an_unknown_address_are_answered_as_stripe_does(shop: Shop) -> None:
    with pytest.raises(stripe.AuthenticationError) as wrong:
        await shop.connect("sk_test_0123456789abcdef").v1.checkout.sessions.list_async()
    assert "sk_test_" in str(wrong.value)
    assert "0123456789" not in str(wrong.value)
    assert wrong.value.request_id
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await shop.v1.promotion_codes.list_async()
    assert unknown.value.http_status == 404


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"payment_method_types": ["card"]}, "payment_method_types"),
        ({"success_url": ""}, "success_url"),
        ({"mode": "subscription"}, "payment_intent_data"),
        ({"line_items": []}, "line_items"),
        ({"expires_at": 1}, "expires_at"),
        ({"client_reference_id": "x" * 201}, "client_reference_id"),
        ({"metadata": {"k": "x" * 501}}, "metadata[k]"),
        ({"discounts": [{"coupon": "GONE"}]}, "discounts[0][coupon]"),
    ],
)
async def test_wrong_parameters_are_refused_by_name(shop: Shop, change: Any, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.v1.checkout.sessions.create_async(SESSION | change)
    assert refused.value.param == param


async def test_the_same_key_gives_the_same_answer_and_other_parameters_are_refused(shop: Shop) -> None:
    key: Any = {"idempotency_key": "k-1"}
    first = await shop.v1.checkout.sessions.create_async(SESSION, key)
    again = await shop.v1.checkout.sessions.create_async(SESSION, key)
    assert again.id == first.id
    with pytest.raises(stripe.IdempotencyError):
        await shop.v1.checkout.sessions.create_async(SESSION | {"locale": "de"}, key)


async def test_a_key_is_in_use_while_the_first_call_runs(shop: Shop) -> None:
    shop.sandbox.faults.add("slow", seconds=0.3)
    key: Any = {"idempotency_key": "k-2"}
    results = await asyncio.gather(
        *(shop.v1.checkout.sessions.create_async(SESSION, key) for _ in range(2)), return_exceptions=True
    )
    (conflict,) = [one for one in results if isinstance(one, stripe.StripeError)]
    assert conflict.http_status == 409


async def test_a_500_is_kept_under_its_key_and_a_refused_request_is_not(shop: Shop) -> None:
    key: Any = {"idempotency_key": "k-3"}
    shop.sandbox.faults.add("error")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as broken:
            await shop.v1.checkout.sessions.create_async(SESSION, key)
        assert broken.value.http_status == 500
    assert broken.value.headers is not None
    assert broken.value.headers["idempotent-replayed"] == "true"
    other: Any = {"idempotency_key": "k-4"}
    with pytest.raises(stripe.InvalidRequestError):
        await shop.v1.checkout.sessions.create_async(SESSION | {"expires_at": 1}, other)
    await shop.v1.checkout.sessions.create_async(SESSION, other)


async def test_a_session_expires_by_itself_when_its_time_has_come(shop: Shop, clock: MovableClock) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    clock.move(timedelta(hours=25))
    shop.sandbox.tick()
    assert (await shop.v1.checkout.sessions.retrieve_async(made.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        await shop.v1.checkout.sessions.expire_async(made.id)
    assert shop.events() == ["checkout.session.expired"]


async def test_events_can_be_listed_by_type_and_by_whether_they_were_delivered(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    shop.sandbox.pay(made.id)
    missed = await shop.v1.events.list_async({"delivery_success": False, "types": ["checkout.session.completed"]})
    (event,) = missed.data
    assert event.data.object["id"] == made.id
    assert (await shop.v1.events.list_async({"delivery_success": True})).data == []


async def test_a_customer_clicks_through_the_payment_page(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    assert made.url
    async with httpx.AsyncClient() as browser:
        assert "49.00 USD" in (await browser.get(made.url)).text
        assert "declined" in (await browser.post(made.url, data={"outcome": "declined"})).text
        assert "is this you" in (await browser.post(made.url, data={"outcome": "challenge"})).text
        done = await browser.post(made.url, data={"outcome": "paid"})
        assert done.headers["location"] == f"https://shop.example/done?s={made.id}"
        assert "complete" in (await browser.get(made.url)).text
        assert (await browser.get(shop.sandbox.url)).status_code == 200
        assert (await browser.get(f"{shop.sandbox.url}/c/pay/cs_test_unknown")).status_code == 200


async def test_everything_can_be_done_through_the_control_api(shop: Shop) -> None:
    made = await shop.v1.checkout.sessions.create_async(SESSION)
    async with httpx.AsyncClient(base_url=f"{shop.sandbox.url}/_control") as control:
        paid = (await control.post(f"/stripe/sessions/{made.id}/pay", json={"outcome": "paid"})).json()
        assert paid["payment_status"] == "paid"
        charge = shop.sandbox.charge_of(made.id)
        refund = (await control.post(f"/stripe/charges/{charge}/refund", json={"amount": 100, "pending": True})).json()
        assert (await control.post(f"/stripe/refunds/{refund['id']}/fail")).json()["status"] == "failed"
        dispute = (await control.post(f"/stripe/charges/{charge}/dispute", json={"inquiry": True})).json()
        await control.post(f"/stripe/disputes/{dispute['id']}/close", json={"verdict": "warning_closed"})
        await control.post(f"/stripe/charges/{charge}/warn")
        await control.post("/stripe/foreign", json={"amount": 500})
        books = (await control.get("/stripe/books")).json()
        assert [(entry["amount"], entry["reference"]) for entry in books] == [(4900, None), (500, None)]
        await control.post("/faults", json={"kind": "rate_limit"})
        assert (await control.post("/faults", json={"kind": "nonsense"})).status_code == 422
        assert (await control.post(f"/stripe/sessions/{made.id}/pay", json={"outcom": "paid"})).status_code == 422
    with pytest.raises(stripe.RateLimitError):
        await shop.v1.checkout.sessions.list_async()


async def test_the_account_and_its_idempotency_keys_survive_a_restart(tmp_path: Path) -> None:
    file, key = tmp_path / "stripe.json", {"idempotency_key": "k-1"}
    async with StripeSandbox(secret_key=KEY, state_file=file) as sandbox:
        first = Shop(sandbox)
        made = await first.v1.checkout.sessions.create_async(SESSION, key)  # type: ignore[arg-type]
        sandbox.pay(made.id)
        await first.close()
    assert file.stat().st_mode & 0o077 == 0
    async with StripeSandbox(secret_key=KEY, state_file=file) as sandbox:
        second = Shop(sandbox)
        assert sandbox.url == first.sandbox.url
        assert (await second.v1.checkout.sessions.create_async(SESSION, key)).id == made.id  # type: ignore[arg-type]
        assert (await second.v1.checkout.sessions.retrieve_async(made.id)).payment_status == "paid"
        assert [entry.amount for entry in sandbox.books()] == [4900]
        await second.close()


async def test_the_signature_is_one_that_the_sdk_accepts_with_either_secret() -> None:
    from sandbox.stripe.sandbox import sign

    body = b'{"id": "evt_1", "object": "event", "type": "ping"}'
    header = sign(body, ["whsec_old", "whsec_new"], "evt_1")["stripe-signature"]
    for secret in ("whsec_old", "whsec_new"):
        assert stripe.WebhookSignature.verify_header(body.decode(), header, secret, 300)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body.decode(), header, "whsec_other", 300)
