"""The stand-in's subscriptions, as time goes by: renewed, not paid, tried again, given up, moved, cancelled."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from keyturn.clock import MovableClock
from sandbox.stripe import StripeSandbox
from sandbox.stripe.account import API_VERSION

KEY = "sk_test_sandbox"
HOUR, MONTH = timedelta(hours=1), timedelta(days=31)


class Shop:
    """A client of the account, and one subscriber."""

    def __init__(self, sandbox: StripeSandbox, clock: MovableClock) -> None:
        self.sandbox, self.clock = sandbox, clock
        self._http = stripe.HTTPXClient(timeout=10, allow_sync_methods=False)
        client = stripe.StripeClient(
            KEY, stripe_version=API_VERSION, base_addresses={"api": sandbox.url}, http_client=self._http
        )
        self.v1 = client.v1
        self.id = ""

    async def subscribe(self, interval: str = "month", **more: Any) -> dict[str, Any]:
        price = {"currency": "usd", "unit_amount": 4900, "product_data": {"name": "Shop"}}
        lines = [{"quantity": 1, "price_data": price | {"recurring": {"interval": interval, "interval_count": 1}}}]
        order: Any = {"mode": "subscription", "success_url": "https://shop.example/", "line_items": lines} | more
        order["line_items"] = lines + more.get("line_items", [])
        order["subscription_data"] = {"metadata": {"purchase_id": "p-2"}}
        session = self.sandbox.pay((await self.v1.checkout.sessions.create_async(order)).id)
        self.id = session["subscription"]
        return session

    def time_passes(self, by: timedelta) -> list[str]:
        """And what Stripe tells meanwhile."""
        before = len(self.sandbox.account.events)
        self.clock.move(by)
        self.sandbox.tick()
        return [event["type"] for event in self.sandbox.account.events[before:]]

    async def now(self) -> dict[str, Any]:
        return dict((await self.v1.subscriptions.retrieve_async(self.id)).to_dict())

    async def span(self) -> tuple[str, str]:
        item = (await self.now())["items"]["data"][0]
        start, end = (datetime.fromtimestamp(item[f"current_period_{name}"], UTC) for name in ("start", "end"))
        return f"{start:%d.%m.}", f"{end:%d.%m.}"

    async def invoices(self) -> list[tuple[str, int]]:
        found = await self.v1.invoices.list_async({"subscription": self.id})
        return [(invoice.status or "", invoice.amount_paid) for invoice in found.data]

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]


@pytest.fixture
async def shop(clock: MovableClock) -> AsyncIterator[Shop]:
    clock.move(datetime(2027, 1, 31, 12, tzinfo=UTC) - clock.now())
    async with StripeSandbox(secret_key=KEY, clock=clock) as sandbox:
        made = Shop(sandbox, clock)
        yield made
        await made.close()


async def test_a_period_follows_the_other_and_its_invoice_is_a_draft_for_an_hour(shop: Shop) -> None:
    await shop.subscribe()
    assert await shop.span() == ("31.01.", "28.02.")
    assert shop.time_passes(timedelta(days=28)) == ["invoice.created", "customer.subscription.updated"]
    assert (await shop.now())["status"] == "active"
    assert await shop.invoices() == [("draft", 0), ("paid", 4900)]
    assert "invoice.paid" in shop.time_passes(HOUR)
    assert await shop.span() == ("28.02.", "31.03.")
    assert await shop.invoices() == [("paid", 4900)] * 2
    assert [entry.reference for entry in shop.sandbox.books()] == [None, "p-2"]


async def test_a_card_that_fails_is_tried_again_and_then_the_subscription_is_cancelled(shop: Shop) -> None:
    await shop.subscribe()
    shop.sandbox.use_card(shop.id, "declined")
    shop.time_passes(timedelta(days=28))
    told = shop.time_passes(HOUR)
    assert told[-2:] == ["invoice.payment_failed", "customer.subscription.updated"]
    assert (await shop.now())["status"] == "past_due"
    for days in (3, 5):
        assert shop.time_passes(timedelta(days=days)).count("invoice.payment_failed") == 1
    assert shop.time_passes(timedelta(days=7))[-1] == "customer.subscription.deleted"
    assert (await shop.now())["status"] == "canceled"


async def test_a_good_card_pays_what_is_open(shop: Shop) -> None:
    await shop.subscribe()
    shop.sandbox.use_card(shop.id, "declined")
    shop.time_passes(timedelta(days=28))
    shop.time_passes(HOUR)
    shop.sandbox.use_card(shop.id, "good")
    assert (await shop.now())["status"] == "active"
    assert await shop.invoices() == [("paid", 4900)] * 2
    assert await shop.span() == ("28.02.", "31.03.")


async def test_the_day_of_payment_is_moved_by_a_trial_that_costs_nothing(shop: Shop) -> None:
    await shop.subscribe()
    moved = int(datetime(2027, 3, 5, 12, tzinfo=UTC).timestamp())
    changed = await shop.v1.subscriptions.update_async(shop.id, {"trial_end": moved, "proration_behavior": "none"})
    assert changed.status == "trialing"
    assert (await shop.invoices())[0] == ("paid", 0)
    shop.time_passes(timedelta(days=33))
    shop.time_passes(HOUR)
    assert await shop.span() == ("05.03.", "05.04.")
    assert await shop.invoices() == [("paid", 4900), ("paid", 0), ("paid", 4900)]


async def test_one_that_is_to_end_with_its_period_can_be_kept_until_then(shop: Shop) -> None:
    await shop.subscribe()
    await shop.v1.subscriptions.update_async(shop.id, {"cancel_at_period_end": True})
    await shop.v1.subscriptions.update_async(shop.id, {"cancel_at_period_end": False})
    shop.time_passes(MONTH)
    assert (await shop.now())["status"] == "active"
    await shop.v1.subscriptions.update_async(shop.id, {"cancel_at_period_end": True})
    assert "customer.subscription.deleted" in shop.time_passes(MONTH)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.v1.subscriptions.cancel_async(shop.id)
    assert refused.value.http_status == 404


@pytest.mark.parametrize(
    ("duration", "paid"),
    [
        ({"duration": "once"}, [4900, 4900, 4800]),
        ({"duration": "repeating", "duration_in_months": 2}, [4900, 4800, 4800]),
        ({"duration": "forever"}, [4800, 4800, 4800]),
    ],
)
async def test_a_coupon_takes_off_for_as_long_as_it_says(shop: Shop, duration: Any, paid: list[int]) -> None:
    terms: Any = {"amount_off": 100, "currency": "usd", **duration}
    coupon = await shop.v1.coupons.create_async(terms)
    session = await shop.subscribe(discounts=[{"coupon": coupon.id}])
    assert (session["amount_subtotal"], session["amount_total"]) == (4900, 4800)
    for _ in range(2):
        shop.time_passes(MONTH)
        shop.time_passes(HOUR)
    assert [amount for _, amount in await shop.invoices()] == paid


async def test_old_endpoints_are_told_in_old_shapes(shop: Shop) -> None:
    shop.sandbox.tell_in_old_shapes()
    fee = {"currency": "usd", "unit_amount": 900, "product_data": {"name": "Set-up"}}
    await shop.subscribe(line_items=[{"quantity": 1, "price_data": fee}])
    told = {event["type"]: event["data"]["object"] for event in shop.sandbox.account.events}
    invoice, subscription = told["invoice.paid"], told["customer.subscription.created"]
    assert (invoice["subscription"], invoice["paid"], "parent" in invoice) == (shop.id, True, False)
    assert [line["type"] for line in invoice["lines"]["data"]] == ["subscription", "invoiceitem"]
    assert "current_period_end" in subscription
    assert "current_period_end" not in subscription["items"]["data"][0]
