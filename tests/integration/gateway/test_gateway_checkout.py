"""Opening a purchase through the public API; billing and the provisioner are stand-ins."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.access import COOKIE
from gateway.api.proofs import MOST_COOKIES, cookie_name
from support.gateway import Gateway, Start

pytestmark = pytest.mark.servers

ORDER = {"planId": 2, "billingCycle": "monthly", "email": "ada@example.com", "name": "Ada", "subdomain": "Ada-Shop"}
STRIPE = {
    "amount": 4900,
    "currency": "EUR",
    "product": "shop",
    "plan": "small",
    "provider": "stripe",
    "status": "pending",
    "url": "https://checkout.stripe.example/c/cs_1",
    "session_id": "cs_1",
    "expires_at": "2026-11-22T09:00:00+00:00",
}
RAZORPAY = {
    "amount": 49900,
    "currency": "INR",
    "provider": "razorpay",
    "status": "pending",
    "order_id": "order_1",
    "key_id": "rzp_test_1",
    "prefill": {"name": "Ada", "email": "ada@example.com"},
}


def answering(body: Any, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status, json=body)


def problem(status: int, code: str) -> Callable[[httpx.Request], httpx.Response]:
    return answering({"status": status, "code": code, "detail": "no"}, status)


@pytest.fixture
async def shop(gateway: Gateway) -> Gateway:
    return _sells(gateway)


def _sells(gateway: Gateway) -> Gateway:
    gateway.services.answers = {
        "/internal/checkouts": answering(STRIPE),
        "/internal/names/reserve": answering({}),
    }
    return gateway


def asked(gateway: Gateway, path: str) -> list[dict[str, Any]]:
    return [json.loads(request.content) for request in gateway.services.asked if request.url.path == path]


async def test_a_purchase_is_opened_and_answered_with_what_the_browser_needs(shop: Gateway) -> None:
    answer = await shop.client.post("/api/checkout", json=ORDER)
    document = answer.json()
    assert answer.status_code == 200, document
    assert (document["success"], document["amount"], document["currency"]) == (True, 4900, "EUR")
    assert (document["url"], document["sessionId"]) == (STRIPE["url"], "cs_1")
    assert document["statusUrl"] == f"https://shop.example/purchases/{document['purchaseId']}"
    [sent] = asked(shop, "/internal/checkouts")
    assert UUID(sent["purchase_id"]).version == 7
    assert (sent["plan_id"], sent["cycle"], sent["email"], sent["subdomain"]) == (
        2,
        "monthly",
        "ada@example.com",
        "ada-shop",
    )
    assert sent["success_url"].endswith(f"purchase={sent['purchase_id']}&session_id={{CHECKOUT_SESSION_ID}}")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "secure" in cookie


async def test_the_access_token_and_the_cookie_open_the_purchase(shop: Gateway) -> None:
    document = (await shop.client.post("/api/checkout", json=ORDER)).json()
    path = f"/api/install/{document['purchaseId']}"
    with_cookie = await shop.client.get(path)
    shop.client.cookies.clear()
    bearer = {"authorization": f"Bearer {document['accessToken']}"}
    assert (with_cookie.status_code, (await shop.client.get(path, headers=bearer)).status_code) == (200, 200)
    assert (await shop.client.get(path)).status_code == 404


async def test_who_buys_often_keeps_the_cookies_of_the_last_purchases(shop: Gateway) -> None:
    """More of them would make every request's head too long."""
    access, now = shop.service.deps.access, shop.service.deps.clock.now()
    older = {uuid4(): now - timedelta(days=n) for n in range(25)}
    for purchase, opened in older.items():
        name, token = cookie_name(purchase), access.sign(purchase, "access", opened)
        shop.client.cookies.set(name, token, domain="shop.example", path="/")
    for name, value in {f"{COOKIE}_{'0' * 32}": "no token", f"{COOKIE}_,": "", "another": "site's"}.items():
        shop.client.cookies.set(name, value, domain="shop.example", path="/")
    document = (await shop.client.post("/api/checkout", json=ORDER)).json()
    kept = [cookie_name(UUID(document["purchaseId"])), *map(cookie_name, list(older)[: MOST_COOKIES - 1])]
    assert set(shop.client.cookies) == {*kept, f"{COOKIE}_,", "another"}


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        ("/api/checkout", None),
        ("/api/checkout/", None),
        ("/api/checkout/create-session", "stripe"),
        ("/api/checkout/create-session/", "stripe"),
        ("/api/create-checkout", "stripe"),
        ("/api/create-checkout/", "stripe"),
    ],
)
async def test_every_documented_path_answers_without_a_redirect(shop: Gateway, path: str, provider: str | None) -> None:
    answer = await shop.client.post(path, json=ORDER)
    assert answer.status_code == 200
    assert asked(shop, "/internal/checkouts")[0].get("provider") == provider


async def test_the_nested_customer_and_empty_fields_of_forms_are_understood(shop: Gateway) -> None:
    shop.services.answers["/internal/checkouts"] = answering(RAZORPAY)
    order = {
        "customer": {"email": "ada@example.com", "firstName": "Ada", "lastName": "Lovelace"},
        "planId": "small",
        "couponCode": "",
        "subdomain": "",
        "provider": "razorpay",
    }
    document = (await shop.client.post("/api/checkout", json=order)).json()
    [sent] = asked(shop, "/internal/checkouts")
    assert (sent["email"], sent["name"], sent["plan_id"]) == ("ada@example.com", "Ada Lovelace", "small")
    assert not {"coupon_code", "subdomain"} & set(sent)
    assert (document["orderId"], document["keyId"], document["prefill"]["name"]) == ("order_1", "rzp_test_1", "Ada")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": None}, "email"),
        ({"email": "nobody"}, "email"),
        ({"subdomain": "-no-"}, "subdomain"),
        ({"domain": "no dots"}, "domain"),
        ({"storeName": "a\nb"}, "storeName"),
        ({"provider": "paypal"}, "provider"),
        ({"successUrl": "javascript:alert(1)"}, "successUrl"),
    ],
)
async def test_a_wrong_field_is_named_and_never_repeated(shop: Gateway, change: dict[str, Any], field: str) -> None:
    answer = await shop.client.post("/api/checkout", json=ORDER | change)
    document = answer.json()
    assert (answer.status_code, document["code"]) == (422, "invalid_request")
    assert field in document["errors"][0]["field"]
    assert shop.services.asked == []


async def test_the_same_key_and_order_are_one_purchase_also_at_the_same_moment(shop: Gateway) -> None:
    headers = {"idempotency-key": "a-key"}
    answers = await asyncio.gather(*(shop.client.post("/api/checkout", json=ORDER, headers=headers) for _ in range(5)))
    later = await shop.client.post("/api/checkout", json=ORDER, headers=headers)
    documents = [answer.json() for answer in (*answers, later)]
    assert {answer.status_code for answer in answers} == {200}
    assert all(document == documents[0] for document in documents)
    assert len({sent["purchase_id"] for sent in asked(shop, "/internal/checkouts")}) == 1


async def test_the_same_key_with_another_order_is_refused(shop: Gateway) -> None:
    headers = {"idempotency-key": "a-key"}
    await shop.client.post("/api/checkout", json=ORDER, headers=headers)
    answer = await shop.client.post("/api/checkout", json=ORDER | {"email": "bob@example.com"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_is_kept_for_a_day(shop: Gateway, clock: Any) -> None:
    headers = {"idempotency-key": "a-key"}
    first = (await shop.client.post("/api/checkout", json=ORDER, headers=headers)).json()
    clock.move(timedelta(hours=24, seconds=1))
    second = (await shop.client.post("/api/checkout", json=ORDER, headers=headers)).json()
    assert first["purchaseId"] != second["purchaseId"]


async def test_a_taken_name_is_the_customers_to_change(shop: Gateway) -> None:
    shop.services.answers["/internal/names/reserve"] = problem(409, "name_taken")
    answer = await shop.client.post("/api/checkout", json=ORDER)
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert asked(shop, "/internal/checkouts") == []


async def test_we_sell_while_the_provisioner_is_away(shop: Gateway) -> None:
    del shop.services.answers["/internal/names/reserve"]
    assert (await shop.client.post("/api/checkout", json=ORDER)).status_code == 200


async def test_where_there_is_no_room_nothing_is_sold_or_kept(shop: Gateway) -> None:
    made = {"blueprint": "shop", "limits": {"memory": "1G"}}
    room = {"/internal/checkouts/terms": answering(made), "/internal/room": answering({"room": False})}
    shop.services.answers |= room
    headers = {"idempotency-key": "a-key"}
    refused = await shop.client.post("/api/checkout", json=ORDER, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_capacity")
    assert asked(shop, "/internal/checkouts/terms") == [{"plan_id": 2, "cycle": "monthly"}]
    assert asked(shop, "/internal/room") == [made]
    assert asked(shop, "/internal/checkouts") == asked(shop, "/internal/names/reserve") == []
    assert (await shop.count("checkout_keys"), await shop.count("journey_refs")) == (0, 0)

    shop.services.answers["/internal/room"] = answering({"room": True})
    sold = await shop.client.post("/api/checkout", json=ORDER, headers=headers)
    shop.services.answers |= room
    again = await shop.client.post("/api/checkout", json=ORDER, headers=headers)
    assert (sold.status_code, again.json()) == (200, sold.json())  # what was opened has its room


@pytest.mark.parametrize("away", ["/internal/checkouts/terms", "/internal/room"])
async def test_who_cannot_be_asked_for_room_keeps_nobody_from_buying(shop: Gateway, away: str) -> None:
    shop.services.answers |= {"/internal/checkouts/terms": answering({}), "/internal/room": answering({"room": False})}
    shop.services.answers[away] = problem(503, "unavailable")
    assert (await shop.client.post("/api/checkout", json=ORDER)).status_code == 200


async def test_what_billing_refuses_is_told_as_billing_says_it(shop: Gateway) -> None:
    shop.services.answers["/internal/checkouts"] = problem(404, "unknown_plan")
    answer = await shop.client.post("/api/checkout", json=ORDER)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_plan")


async def test_billing_away_is_503_with_a_name(shop: Gateway) -> None:
    del shop.services.answers["/internal/checkouts"]
    answer = await shop.client.post("/api/checkout", json=ORDER)
    assert (answer.status_code, answer.json()["code"]) == (503, "billing_unavailable")


async def test_return_urls_lead_to_allowed_origins_only(start: Start) -> None:
    shop = _sells(await start(allowed_origins=("https://storefront.example",)))
    good, bad = "https://storefront.example/thanks?a=1&b=2", "https://evil.example/"
    refused = await shop.client.post("/api/checkout", json=ORDER | {"successUrl": bad})
    assert (refused.status_code, refused.json()["code"]) == (422, "return_url_not_allowed")
    await shop.client.post("/api/checkout", json=ORDER | {"successUrl": good, "cancelUrl": good})
    [sent] = asked(shop, "/internal/checkouts")
    shop.services.answers[f"/internal/purchases/{sent['purchase_id']}/return"] = answering({"status": "paid"})
    back = await shop.client.get(sent["success_url"].replace("{CHECKOUT_SESSION_ID}", "cs_1"))
    assert (back.status_code, back.headers["location"], sent["cancel_url"]) == (303, good, good)
    hijacked = await shop.client.get(f"/checkout/return?purchase={sent['purchase_id']}&to={bad}")
    assert hijacked.status_code == 422


async def test_the_return_asks_billing_once_and_leads_to_the_status(shop: Gateway) -> None:
    purchase = "0190a4f2-7c3e-7d1a-9b2c-3d4e5f607182"
    shop.services.answers[f"/internal/purchases/{purchase}/return"] = answering({"status": "paid"})
    answer = await shop.client.get(f"/checkout/return?session_id=cs_1&purchase={purchase}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"https://shop.example/purchases/{purchase}")
    assert asked(shop, f"/internal/purchases/{purchase}/return") == [{"session_id": "cs_1"}]
    assert "set-cookie" in answer.headers


async def test_a_return_that_proves_nothing_gives_no_access(shop: Gateway) -> None:
    purchase = "0190a4f2-7c3e-7d1a-9b2c-3d4e5f607182"
    shop.services.answers[f"/internal/purchases/{purchase}/return"] = problem(403, "return_not_verified")
    answer = await shop.client.get(f"/checkout/return?session_id=cs_1&purchase={purchase}")
    assert (answer.status_code, "set-cookie" in answer.headers) == (303, False)


@pytest.mark.parametrize("form", [True, False])
async def test_razorpays_page_is_confirmed_from_script_and_form(shop: Gateway, *, form: bool) -> None:
    purchase = "0190a4f2-7c3e-7d1a-9b2c-3d4e5f607182"
    shop.services.answers[f"/internal/purchases/{purchase}/return"] = answering({"status": "paid"})
    proof = {"razorpay_payment_id": "pay_1", "razorpay_order_id": "order_1", "razorpay_signature": "0" * 64}
    given = {"purchaseId": purchase, **proof}
    path = "/api/checkout/razorpay/confirm"
    answer = await (shop.client.post(path, data=given) if form else shop.client.post(path, json=given))
    assert answer.status_code == (303 if form else 200)
    assert asked(shop, f"/internal/purchases/{purchase}/return") == [
        {"razorpay_payment_id": "pay_1", "razorpay_signature": "0" * 64}
    ]


async def test_a_proof_that_lacks_its_signature_is_refused(shop: Gateway) -> None:
    answer = await shop.client.post("/api/checkout/razorpay/confirm", json={"purchaseId": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("path", ["/api/check-subdomain", "/api/check-subdomain/"])
async def test_a_taken_subdomain_comes_with_a_suggestion(shop: Gateway, path: str) -> None:
    said = {"name": "ada", "status": "taken", "suggestion": "ada-2"}
    shop.services.answers["/internal/names/check"] = answering(said)
    answer = await shop.client.post(path, json={"subdomain": "Ada"})
    assert answer.json() == {"subdomain": "ada", "available": False, "status": "taken", "suggestion": "ada-2"}


async def test_cors_lets_allowed_origins_read_and_nobody_else(start: Start) -> None:
    shop = await start(allowed_origins=("https://storefront.example",))
    for origin, allowed in (("https://storefront.example", True), ("https://evil.example", False)):
        asked = {"origin": origin, "access-control-request-method": "POST"}
        preflight = await shop.client.options("/api/checkout", headers=asked)
        answer = await shop.client.post("/api/checkout", json={}, headers={"origin": origin})
        assert ("access-control-allow-origin" in preflight.headers) is allowed
        assert ("access-control-allow-origin" in answer.headers) is allowed


COUPON = {"couponCode": "WELCOME10", "planId": 2, "billingCycle": "monthly"}
WOULD_COST = {
    "coupon_code": "WELCOME10",
    "product": "shop",
    "plan": "small",
    "cycle": "monthly",
    "price": 4900,
    "setup_fee": 0,
    "discount": 490,
    "tax": 0,
    "amount": 4410,
    "currency": "EUR",
    "duration": "first",
}


async def test_a_discount_is_shown_with_what_is_left_to_pay(shop: Gateway) -> None:
    discounted = STRIPE | {"amount": 4410, "discount": 490, "coupon_code": "WELCOME10"}
    shop.services.answers["/internal/checkouts"] = answering(discounted)
    document = (await shop.client.post("/api/checkout", json=ORDER | COUPON)).json()
    assert (document["amount"], document["discount"], document["couponCode"]) == (4410, 490, "WELCOME10")
    [sent] = asked(shop, "/internal/checkouts")
    assert (sent["coupon_code"], sent["plan_id"], sent["cycle"]) == ("WELCOME10", 2, "monthly")


async def test_a_shop_can_ask_what_a_coupon_would_do(shop: Gateway) -> None:
    shop.services.answers["/internal/coupons/check"] = answering(WOULD_COST)
    answer = await shop.client.post("/api/check-coupon/", json=COUPON)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["amount"], answer.json()["discount"], answer.json()["duration"]) == (4410, 490, "first")
    assert asked(shop, "/internal/coupons/check") == [{"plan_id": 2, "cycle": "monthly", "coupon_code": "WELCOME10"}]
    shop.services.answers["/internal/coupons/check"] = problem(409, "coupon_used_up")
    refused = await shop.client.post("/api/check-coupon", json=COUPON)
    assert (refused.status_code, refused.json()["code"]) == (409, "coupon_used_up")
    assert (await shop.client.post("/api/check-coupon", json={"planId": 2})).json()["code"] == "invalid_request"
