"""Opening, repeating and ending checkouts."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from billing.applying import apply_file
from billing.catalog import CANARY, parse_catalog
from billing.providers.failures import PriceRefused
from keyturn.errors import GiveUp, Retry
from keyturn.events import PurchaseExpired, PurchaseFailed, PurchaseOpened, PurchasePaid, uuid7
from support.billing import CATALOG, World, copies, order
from support.billing_facts import declined, expired

pytestmark = pytest.mark.servers


async def replace(billing: World, old: str, new: str) -> None:
    """Loads the sample catalogue with its first such text changed."""
    text = CATALOG.read_text()
    assert old in text
    async with billing.database.transaction("test") as tx:
        await apply_file(tx, parse_catalog(text.replace(old, new, 1)))


async def refusal(billing: World, **changes: Any) -> str:
    answer = await billing.ask("POST", "/internal/checkouts", json=order(**changes))
    assert 400 <= answer.status_code < 500
    return str(answer.json()["code"])


async def test_the_currency_chooses_the_provider(billing: World) -> None:
    stripe, razorpay = await billing.buy(), await billing.buy(currency="INR")
    assert (stripe["provider"], razorpay["provider"]) == ("stripe", "razorpay")
    assert stripe["url"].startswith("https://pay.test/")
    assert razorpay["key_id"] == "rzp_test"
    assert razorpay["prefill"]["email"] == "ada@example.com"
    assert (razorpay["amount"], razorpay["plan"]) == (449900, "sample-starter")


async def test_a_documented_integer_and_a_slug_name_the_same_plan(billing: World) -> None:
    by_key = await billing.buy(plan_id=2, cycle="yearly")
    by_slug = await billing.buy(plan_id="sample-pro", cycle="yearly")
    assert by_key["price"] == by_slug["price"]
    assert by_key["amount"] == 29000


async def test_the_same_request_again_gets_the_same_answer(billing: World) -> None:
    wanted = order()
    answers = await asyncio.gather(*(billing.buy(**wanted) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert len(await billing.published(PurchaseOpened)) == 1
    assert len(billing.stripe.orders) == 1


async def test_another_request_under_the_same_id_is_refused(billing: World) -> None:
    wanted = order()
    await billing.buy(**wanted)
    assert await refusal(billing, **(wanted | {"email": "eve@example.com"})) == "purchase_id_reused"


async def test_a_crash_between_opening_and_storing_is_healed_by_repeating(billing: World) -> None:
    wanted = order()
    with billing.stripe.failing(Retry("the answer was lost")):
        failed = await billing.ask("POST", "/internal/checkouts", json=wanted)
    assert (failed.status_code, failed.json()["code"]) == (503, "provider_unavailable")
    assert (await billing.buy(**wanted))["url"]
    assert len(await billing.published(PurchaseOpened)) == 1


async def test_a_provider_that_refuses_is_not_worth_repeating(billing: World) -> None:
    with billing.stripe.failing(GiveUp("no such account")):
        failed = await billing.ask("POST", "/internal/checkouts", json=order())
    assert (failed.status_code, failed.json()["code"]) == (502, "provider_refused")


async def test_one_person_is_one_customer_however_many_purchases_at_once(billing: World) -> None:
    emails = ["ada@example.com", "Ada@Example.com", " ADA@EXAMPLE.COM ", "ada@example.com"]
    await asyncio.gather(*(billing.buy(email=email) for email in emails))
    assert len(await billing.rows("SELECT 1 FROM customers")) == 1
    assert len(await billing.rows("SELECT 1 FROM purchases")) == 4
    listed = await billing.ask("GET", "/internal/purchases", "viewer", params={"email": "ADA@example.com", "limit": 3})
    page = listed.json()
    rest = await billing.ask(
        "GET", "/internal/purchases", "viewer", params={"email": "ada@example.com", "cursor": page["cursor"]}
    )
    ids = [one["id"] for one in page["items"] + rest.json()["items"]]
    assert len(ids) == len(set(ids)) == 4
    assert rest.json()["cursor"] is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"product": "nothing"}, "unknown_product"),
        ({"plan_id": 99}, "unknown_plan"),
        ({"cycle": "weekly"}, "unknown_cycle"),
        ({"currency": "XXX"}, "unknown_currency"),
        ({"coupon_code": "NOSUCH"}, "unknown_coupon"),
        ({"email": "ada"}, "invalid_email"),
        ({"provider": "paypal"}, "provider_not_available"),
        ({"subdomain": "no dots.here"}, "invalid_request"),
        ({"email": None}, "invalid_request"),
    ],
)
async def test_what_cannot_be_bought_is_refused_and_nothing_is_stored(
    billing: World, changes: dict[str, Any], code: str
) -> None:
    assert await refusal(billing, **changes) == code
    assert await billing.rows("SELECT 1 FROM purchases UNION ALL SELECT 1 FROM customers") == []


async def test_a_declined_attempt_changes_nothing_and_is_kept(billing: World) -> None:
    bought = await billing.buy()
    await billing.hear(declined(bought["session_id"]))
    assert await billing.state_of(bought["purchase_id"]) == "pending"
    shown = (await billing.ask("GET", f"/internal/purchases/{bought['purchase_id']}", "viewer")).json()
    assert [notice["kind"] for notice in shown["notices"]] == ["payment_failed"]


async def test_a_final_failure_fails_the_purchase_and_late_money_still_pays_it(billing: World) -> None:
    bought = await billing.buy()
    final = declined(bought["session_id"], final=True)
    await billing.hear(final, *copies([final]))
    assert await billing.state_of(bought["purchase_id"]) == "failed"
    assert len(await billing.published(PurchaseFailed)) == 1
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    assert await billing.state_of(bought["purchase_id"]) == "paid"


async def test_news_of_an_end_never_overrides_paid(billing: World) -> None:
    bought = await billing.buy()
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    await billing.hear(expired(bought["session_id"]), declined(bought["session_id"], final=True))
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    assert await billing.published(PurchaseExpired) == []
    refused = await billing.rows("SELECT 1 FROM notices WHERE kind = 'transition_refused'")
    assert len(refused) == 2


async def test_an_expired_checkout_expires_the_purchase_and_late_money_still_pays_it(billing: World) -> None:
    bought = await billing.buy()
    await billing.hear(expired(bought["session_id"]))
    assert await billing.state_of(bought["purchase_id"]) == "expired"
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    assert len(await billing.published(PurchasePaid)) == 1


async def until_over(billing: World) -> None:
    for _ in range(30):
        billing.clock.move(timedelta(hours=1))
        await billing.reconcile()


@pytest.mark.parametrize("currency", ["EUR", "INR"])
async def test_nobody_pays_and_the_purchase_expires_once(billing: World, currency: str) -> None:
    bought = await billing.buy(currency=currency)
    await until_over(billing)
    assert await billing.state_of(bought["purchase_id"]) == "expired"
    assert len(await billing.published(PurchaseExpired)) == 1
    assert billing.stripe.closed == ({bought["session_id"]} if currency == "EUR" else set())


async def test_a_payment_in_the_last_moment_is_found_before_the_purchase_expires(billing: World) -> None:
    bought = await billing.buy()
    for _ in range(22):
        billing.clock.move(timedelta(hours=1))
        await billing.reconcile()
    billing.stripe.pay(bought["session_id"])
    billing.clock.move(timedelta(hours=2))
    await billing.reconcile()
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    assert await billing.published(PurchaseExpired) == []


async def test_an_order_paid_after_its_purchase_expired_is_found(billing: World) -> None:
    bought = await billing.buy(currency="INR")
    await until_over(billing)
    billing.razorpay.pay(bought["order_id"])
    billing.clock.move(timedelta(hours=13))
    await billing.reconcile()
    assert await billing.state_of(bought["purchase_id"]) == "paid"


async def test_a_purchase_whose_checkout_never_opened_expires_too(billing: World) -> None:
    with billing.stripe.failing(Retry("away")):
        await billing.ask("POST", "/internal/checkouts", json=order())
    billing.clock.move(timedelta(days=1))
    await billing.reconcile()
    assert await billing.rows("SELECT state FROM purchases") == [{"state": "expired"}]


async def test_rule_16_one_purchase_that_cannot_be_asked_about_stops_no_other(billing: World) -> None:
    lost, found = await billing.buy(currency="INR"), await billing.buy()
    billing.stripe.pay(found["session_id"])
    billing.clock.move(timedelta(minutes=2))
    with billing.razorpay.failing(Retry("away")):
        await billing.reconcile()
    assert await billing.state_of(found["purchase_id"]) == "paid"
    billing.razorpay.pay(lost["order_id"])
    billing.clock.move(timedelta(minutes=2))
    await billing.work()
    assert await billing.state_of(lost["purchase_id"]) == "paid"


async def test_the_reconciler_asks_less_and_less_often(billing: World) -> None:
    await billing.buy()
    for _ in range(120):
        billing.clock.move(timedelta(minutes=1))
        await billing.reconcile()
    assert billing.stripe.calls.count("captured") <= 8


async def test_a_changed_price_is_a_new_one_and_what_was_bought_stays(billing: World) -> None:
    bought = await billing.buy()
    for _ in range(2):
        await replace(billing, "currency: EUR, amount: 4900", "currency: EUR, amount: 5900")
    later = await billing.buy()
    assert (later["amount"], later["price"] != bought["price"]) == (5900, True)
    (old,) = await billing.rows("SELECT amount, active FROM prices WHERE id::text = :id", id=bought["price"])
    assert old == {"amount": 4900, "active": False}
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    assert await billing.state_of(bought["purchase_id"]) == "paid"


async def test_the_price_list_shows_what_is_sold_in_the_catalogues_order(billing: World) -> None:
    listed = (await billing.ask("GET", "/internal/products")).json()["items"]
    every = parse_catalog(CATALOG.read_text()).products.items()
    assert [product["id"] for product in listed] == [name for name, product in every if product.kind != CANARY]
    (default,) = [product for product in listed if product["default"]]
    assert [plan["key"] for plan in default["plans"]] == [1, 2]
    (server,) = [product for product in listed if product["kind"] == "vps"]
    fees = {price["currency"]: price["setup_fee"] for price in server["plans"][0]["prices"]}
    assert fees == {"EUR": 0, "USD": 1000, "JPY": 1500, "INR": 89900}  # the last of each: yearly euros have none


@pytest.mark.parametrize("currency", ["EUR", "JPY", "INR"])
async def test_a_setup_fee_is_paid_with_the_first_payment(billing: World, currency: str) -> None:
    bought = await billing.buy(plan_id="server-2", cycle="monthly", currency=currency)
    amount, fee = {"EUR": (1200, 1000), "JPY": (1900, 1500), "INR": (109900, 89900)}[currency]
    assert (bought["amount"], bought["setup_fee"]) == (amount + fee, fee)
    provider, id_ = (billing.razorpay, "order_id") if currency == "INR" else (billing.stripe, "session_id")
    asked = provider.orders[bought[id_]]
    assert (asked.amount, asked.setup_fee, asked.currency) == (amount + fee, fee, currency)
    await billing.hear(provider.told(provider.pay(bought[id_])))
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    shown = (await billing.ask("GET", f"/internal/purchases/{bought['purchase_id']}", "viewer")).json()
    assert (shown["amount"], shown["setup_fee"]) == (amount + fee, fee)


async def test_a_payment_without_the_setup_fee_does_not_fit(billing: World) -> None:
    bought = await billing.buy(plan_id="server-2", cycle="monthly")
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"], amount=1200)))
    assert await billing.state_of(bought["purchase_id"]) == "pending"
    (kept,) = await billing.rows("SELECT state, review_reason FROM payments")
    assert kept == {"state": "review", "review_reason": "amount"}


async def test_what_costs_nothing_but_its_setup_asks_the_provider(billing: World) -> None:
    await replace(
        billing,
        "cycle: one_time, currency: EUR, amount: 0",
        "cycle: one_time, currency: EUR, amount: 0, setup_fee: 700",
    )
    bought = await billing.buy(product="sample-free")
    assert (bought["amount"], bought["setup_fee"], bought["status"]) == (700, 700, "pending")
    assert bought["url"]


async def test_a_prepared_price_is_named_to_the_provider_it_was_made_at_and_another_one_is_another_price(
    billing: World,
) -> None:
    before = await billing.buy(cycle="monthly")
    await replace(billing, "EUR, amount: 900}", "EUR, amount: 900, ids: {stripe: price_9}}")
    bought, other = await billing.buy(cycle="monthly"), await billing.buy(cycle="monthly", provider="razorpay")
    assert billing.stripe.orders[bought["session_id"]].prepared == "price_9"
    assert billing.razorpay.orders[other["order_id"]].prepared is None
    assert bought["price"] != before["price"]


async def test_a_refused_prepared_price_is_told_by_its_name(billing: World) -> None:
    with billing.stripe.failing(PriceRefused("price_9", "No such price: 'price_9'")):
        failed = await billing.ask("POST", "/internal/checkouts", json=order())
    assert (failed.status_code, failed.json()["code"]) == (502, "provider_refused")
    assert "price_9 cannot be used: No such price: 'price_9'" in failed.json()["detail"]


async def test_what_is_unknown_is_not_found(billing: World) -> None:
    for method, path in (("GET", ""), ("POST", "/return"), ("POST", "/checkout")):
        answer = await billing.ask(method, f"/internal/purchases/{uuid7()}{path}", "viewer", json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "purchase_unknown")
    assert (await billing.client.get("/internal/products")).status_code == 401
