"""The pages over HTTP, without a browser: what they show, set, refuse and never give away."""

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support.gateway import Gateway
from support.journeys import EMAIL, Story, hear

pytestmark = pytest.mark.servers
TOKEN = "t0ken-that-opens-everything"
PRICE = {"id": "p", "cycle": "monthly", "currency": "USD", "amount": 4900}
PLAN = {"id": "small", "key": 1, "name": "Small", "limits": {"memory": "512 MB"}, "prices": [PRICE]}
PRODUCT = {"id": "shop", "name": "A shop", "description": None, "default": True, "plans": [PLAN]}
OFFER = "shop|small|monthly|USD"


def answering(document: Any, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json=document)


def refusing(status: int, code: str) -> Callable[[httpx.Request], httpx.Response]:
    return answering({"code": code, "detail": f"because {code}"}, status)


def link(gateway: Gateway, state: str) -> None:
    found = {"state": state, "purchase_id": "018f0000-0000-7000-8000-000000000001", "url": "https://ada.example"}
    found |= {"admin_url": "https://ada.example/admin", "store_name": "Ada's <Shop>", "email": EMAIL}
    gateway.services.answers["/internal/setup/lookup"] = answering(found)


@pytest.fixture
def shop(gateway: Gateway) -> Gateway:
    gateway.services.answers["/internal/products"] = answering({"items": [PRODUCT]})
    return gateway


async def test_start_page_shows_what_is_for_sale(shop: Gateway) -> None:
    page = await shop.client.get("/")
    assert "A shop" in page.text
    assert "$49.00" in page.text
    assert f'value="{OFFER}" required checked' in page.text


async def test_start_page_shows_what_is_paid_once_beside_the_price(shop: Gateway) -> None:
    price = PRICE | {"cycle": "quarterly", "setup_fee": 1000, "trial_days": 14}
    priced = PRODUCT | {"plans": [PLAN | {"prices": [price]}]}
    shop.services.answers["/internal/products"] = answering({"items": [priced]})
    page = await shop.client.get("/")
    assert "$49.00<small>a quarter</small>" in page.text
    assert "and $10.00 once, to set it up" in page.text
    assert "after 14 days free" in page.text


async def test_order_form_leads_to_stripe_by_a_page_of_ours(shop: Gateway) -> None:
    opened = {"amount": 4900, "currency": "USD", "plan": "small", "url": "https://checkout.example/1"}
    shop.services.answers["/internal/checkouts"] = answering(opened)
    page = await shop.client.post("/", data={"offer": OFFER, "email": EMAIL, "key": "k1"})
    assert page.headers["refresh"] == "1; url=https://checkout.example/1"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert len(page.cookies) == 1


TAXING = {"country": "DE", "countries": ["AT", "DE", "IN"]}


async def test_country_and_business_are_asked_for_where_tax_needs_them_and_go_to_the_checkout(shop: Gateway) -> None:
    assert "country" not in (await shop.client.get("/")).text
    shop.services.answers["/internal/products"] = answering({"items": [PRODUCT], "tax": TAXING})
    page = (await shop.client.get("/")).text
    assert re.findall(r'<option value="(\w+)" (selected)?', page) == [("AT", ""), ("DE", "selected"), ("IN", "")]
    opened = {"amount": 4900, "currency": "USD", "plan": "small", "url": "https://checkout.example/1", "tax": 782}
    shop.services.answers["/internal/checkouts"] = answering(opened)
    given = {"country": "AT", "company": "Ada & Co", "taxId": "ATU12345678"}
    paying = await shop.client.post("/", data={"offer": OFFER, "email": EMAIL} | given)
    assert "Of it $7.82 tax." in paying.text
    told = json.loads(shop.services.asked[-1].content)
    assert (told["country"], told["company"], told["tax_id"]) == ("AT", "Ada & Co", "ATU12345678")


@pytest.mark.parametrize(
    ("given", "code", "marked"),
    [
        (
            {"country": "ZZ"},
            "unknown_country",
            'id="country" name="country" autocomplete="country" aria-invalid="true"',
        ),
        ({"country": "Austria"}, "", 'id="country" name="country" autocomplete="country" aria-invalid="true"'),
        ({"taxId": "<b>"}, "", "A tax id has letters"),
    ],
)
async def test_what_is_wrong_about_the_buyer_is_marked_and_kept(
    shop: Gateway, given: dict[str, str], code: str, marked: str
) -> None:
    shop.services.answers["/internal/products"] = answering({"items": [PRODUCT], "tax": TAXING})
    shop.services.answers["/internal/checkouts"] = refusing(422, code)
    page = await shop.client.post("/", data={"offer": OFFER, "email": EMAIL, "company": "Ada & Co"} | given)
    assert page.status_code == 422
    assert marked in page.text
    assert 'value="Ada &amp; Co"' in page.text
    assert "<details open>" in page.text
    assert "<b>" not in page.text


async def test_order_form_opens_razorpay_with_its_script_and_nobody_elses(shop: Gateway) -> None:
    opened = {"amount": 4900, "currency": "INR", "plan": "small", "order_id": "order_1", "key_id": "rzp_1"}
    shop.services.answers["/internal/checkouts"] = answering(opened)
    page = await shop.client.post("/", data={"offer": OFFER, "email": EMAIL})
    assert 'data-script="https://checkout.razorpay.com/v1/checkout.js"' in page.text
    assert "script-src 'self' https://checkout.razorpay.com;" in page.headers["content-security-policy"]
    number = re.search(r"/purchases/([0-9a-f-]{36})", page.text)
    assert number
    assert f"/api/checkout/razorpay/confirm?purchaseId={number[1]}" in page.text
    shown = await shop.client.get("/api/install/by-purchase/order_1")
    assert shown.json()["status"] == "pending"


async def test_wrong_order_shows_the_form_again_with_what_was_typed(shop: Gateway) -> None:
    page = await shop.client.post(
        "/", data={"offer": OFFER, "email": EMAIL, "subdomain": '"><b>', "storeName": "Ada's"}
    )
    assert page.status_code == 422
    assert "small letters, digits and hyphens" in page.text
    assert "<b>" not in page.text
    assert "Ada&#39;s" in page.text


async def test_taken_name_is_the_customers_to_change(shop: Gateway) -> None:
    shop.services.answers["/internal/names/reserve"] = refusing(409, "name_taken")
    page = await shop.client.post("/", data={"offer": OFFER, "email": EMAIL, "subdomain": "ada"})
    assert page.status_code == 422
    assert "because name_taken" in page.text


async def test_status_page_asks_whoever_it_does_not_know_and_remembers_them(gateway: Gateway) -> None:
    story = Story()
    await hear(gateway.service.database, *story.whole)
    path = f"/purchases/{story.id}"
    assert "Is this your order?" in (await gateway.client.get(path)).text
    wrong = await gateway.client.post(path, data={"email": "eve@example.org"})
    assert wrong.status_code == 404
    assert EMAIL not in wrong.text
    right = await gateway.client.post(path, data={"email": EMAIL})
    assert (right.status_code, right.headers["location"]) == (303, path)
    cookie = right.headers["set-cookie"].lower()
    assert all(flag in cookie for flag in ("httponly", "secure", "samesite=lax"))
    assert "It is yours" in (await gateway.client.get(path)).text
    assert "ada.example" in (await gateway.client.get(f"{path}/progress")).text


async def test_who_came_back_without_paying_can_go_on(gateway: Gateway) -> None:
    story = Story()
    await hear(gateway.service.database, story.opened)
    await gateway.client.post(f"/purchases/{story.id}", data={"email": EMAIL})
    assert "Go to the payment page" in (await gateway.client.get(f"/purchases/{story.id}")).text
    again = {"amount": 4900, "currency": "USD", "plan": "small", "url": "https://checkout.example/2"}
    gateway.services.answers[f"/internal/purchases/{story.id}/checkout"] = answering(again)
    page = await gateway.client.post(f"/purchases/{story.id}/pay")
    assert page.headers["refresh"] == "1; url=https://checkout.example/2"


async def test_start_page_shows_the_prices_of_one_currency(shop: Gateway) -> None:
    prices = [PRICE, PRICE | {"currency": "INR", "amount": 449900}]
    shop.services.answers["/internal/products"] = answering(
        {"items": [PRODUCT | {"plans": [PLAN | {"prices": prices}]}]}
    )
    page = await shop.client.get("/?currency=INR")
    assert "₹4,499.00" in page.text
    assert "$49.00" not in page.text


async def test_form_from_another_site_is_refused(gateway: Gateway) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}):
        answer = await gateway.client.post(f"/setup/{TOKEN}", data={"password": "x"}, headers=headers)
        assert answer.status_code == 403
    assert gateway.services.asked == []


async def test_rule_13_looking_at_a_setup_link_changes_nothing(gateway: Gateway) -> None:
    link(gateway, "open")
    for _ in range(2):
        page = await gateway.client.get(f"/setup/{TOKEN}")
        assert "Choose your password" in page.text
    assert (await gateway.client.get(f"/api/setup/{TOKEN}")).json()["valid"] is True
    assert {request.url.path for request in gateway.services.asked} == {"/internal/setup/lookup"}


async def test_rule_17_setup_page_gives_its_token_away_nowhere(gateway: Gateway) -> None:
    for state in ("open", "used", "expired", "replaced", "completing"):
        link(gateway, state)
        page = await gateway.client.get(f"/setup/{TOKEN}")
        assert TOKEN not in page.text
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert "<Shop>" not in page.text


async def test_password_goes_to_the_provisioner_and_comes_back_nowhere(gateway: Gateway) -> None:
    link(gateway, "open")
    gateway.services.answers["/internal/setup/complete"] = refusing(422, "password_refused")
    both = {"password": "a secret phrase", "confirmPassword": "a secret phrase"}
    page = await gateway.client.post(f"/setup/{TOKEN}", data=both)
    assert page.status_code == 422
    assert "because password_refused" in page.text
    api = await gateway.client.post(f"/api/setup/{TOKEN}", json=both)
    assert (api.status_code, api.json()["code"]) == (422, "password_refused")
    assert "a secret phrase" not in page.text + api.text


async def test_passwords_that_differ_never_leave_the_gateway(gateway: Gateway) -> None:
    link(gateway, "open")
    both = {"password": "a secret phrase", "confirmPassword": "another phrase"}
    page = await gateway.client.post(f"/setup/{TOKEN}", data=both)
    assert "not the same" in page.text
    api = await gateway.client.post(f"/api/setup/{TOKEN}", json=both)
    assert (api.status_code, api.json()["code"]) == (422, "passwords_differ")
    assert {request.url.path for request in gateway.services.asked} == {"/internal/setup/lookup"}


@pytest.mark.parametrize(("state", "status"), [("used", 200), ("completing", 202)])
async def test_setup_ends_done_or_applying(gateway: Gateway, state: str, status: int) -> None:
    link(gateway, state)
    done = {"state": state, "url": "https://ada.example", "admin_url": "https://ada.example/admin"}
    gateway.services.answers["/internal/setup/complete"] = answering(done)
    both = {"password": "a secret phrase", "confirmPassword": "a secret phrase"}
    api = await gateway.client.post(f"/api/setup/{TOKEN}", json=both)
    assert (api.status_code, api.json()["adminUrl"]) == (status, "https://ada.example/admin")
    page = await gateway.client.post(f"/setup/{TOKEN}", data=both)
    assert ("It is yours" if state == "used" else "One moment") in page.text


async def test_dead_link_offers_a_new_one_by_mail(gateway: Gateway) -> None:
    link(gateway, "expired")
    reissue = "/internal/installs/018f0000-0000-7000-8000-000000000001/reissue"
    gateway.services.answers[reissue] = answering({"number": 2})
    assert "Send me a new link" in (await gateway.client.get(f"/setup/{TOKEN}")).text
    page = await gateway.client.post(f"/setup/{TOKEN}", data={"again": "yes"})
    assert "on its way" in page.text
    assert gateway.services.asked[-1].url.path == reissue


async def test_link_asked_for_too_soon_is_told_with_the_time_to_wait(gateway: Gateway) -> None:
    link(gateway, "replaced")
    too_soon = {"code": "setup_link_just_sent", "detail": "a link was sent a moment ago", "retry_after": 42}
    reissue = "/internal/installs/018f0000-0000-7000-8000-000000000001/reissue"
    gateway.services.answers[reissue] = answering(too_soon, 429)
    page = await gateway.client.post(f"/setup/{TOKEN}", data={"again": "yes"})
    assert (page.status_code, page.headers["retry-after"]) == (429, "42")
    assert "less than a minute ago" in page.text


async def test_used_link_sends_no_new_one(gateway: Gateway) -> None:
    link(gateway, "used")
    await gateway.client.post(f"/setup/{TOKEN}", data={"again": "yes"})
    assert {request.url.path for request in gateway.services.asked} == {"/internal/setup/lookup"}


async def test_problem_on_a_page_is_a_page(gateway: Gateway) -> None:
    gateway.services.answers["/internal/setup/lookup"] = refusing(404, "setup_link_unknown")
    unknown = await gateway.client.get("/setup/nothing")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "text/html; charset=utf-8")
    gateway.services.answers.clear()
    away = await gateway.client.get("/")
    assert (away.status_code, "Nothing is lost" in away.text) == (503, True)


async def test_stylesheet_and_script_are_our_own_and_kept_by_browsers(gateway: Gateway) -> None:
    page = await gateway.client.get("/purchases/018f0000-0000-7000-8000-000000000001")
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    assert len(found) == 3
    for path in found:
        answer = await gateway.client.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await gateway.client.get("/static/x/../settings.py")).status_code == 404


async def test_pay_page_shows_what_the_coupon_took_off(shop: Gateway) -> None:
    opened = {"amount": 4410, "currency": "USD", "plan": "small", "discount": 490, "coupon_code": "WELCOME10"}
    shop.services.answers["/internal/checkouts"] = answering(opened | {"url": "https://checkout.example/1"})
    page = await shop.client.post("/", data={"offer": OFFER, "email": EMAIL, "couponCode": "welcome10"})
    assert "<h1>$44.10</h1>" in page.text
    assert "$49.00 less $4.90 with WELCOME10" in page.text
    shop.services.answers["/internal/checkouts"] = answering(opened | {"order_id": "order_1", "key_id": "rzp_1"})
    assert "less $4.90" in (await shop.client.post("/", data={"offer": OFFER, "email": EMAIL})).text


@pytest.mark.parametrize("code", ["unknown_coupon", "coupon_expired", "coupon_used_by_you"])
async def test_coupon_that_is_refused_is_the_customers_to_change(shop: Gateway, code: str) -> None:
    shop.services.answers["/internal/checkouts"] = refusing(422, code)
    page = await shop.client.post("/", data={"offer": OFFER, "email": EMAIL, "couponCode": "SUMMER"})
    assert page.status_code == 422
    assert f"because {code}" in page.text
    assert re.search(r'id="couponCode"[^>]*value="SUMMER"[^>]*aria-invalid="true"', page.text)
