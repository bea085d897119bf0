"""An order that comes to nothing leaves nothing behind: its key is good for another, and its names are free."""

import json
from typing import Any

import httpx
import pytest

from support.gateway import Gateway

pytestmark = pytest.mark.servers
ORDER = {"email": "ada@example.com", "subdomain": "ada-shop"}
KEY = {"idempotency-key": "a-key"}
OPENED = {"amount": 4900, "currency": "EUR", "status": "pending"}
RELEASE = "/internal/names/release"


def answering(status: int, body: dict[str, Any]) -> Any:
    return lambda _: httpx.Response(status, json=body)


def refusing(status: int, code: str) -> Any:
    return answering(status, {"status": status, "code": code, "detail": "no"})


@pytest.fixture
def shop(gateway: Gateway) -> Gateway:
    gateway.services.answers = {
        "/internal/names/reserve": answering(200, {}),
        RELEASE: answering(200, {}),
        "/internal/checkouts": answering(200, OPENED),
    }
    return gateway


def owners(shop: Gateway, path: str) -> list[str]:
    asked = [json.loads(request.content) for request in shop.services.asked if request.url.path == path]
    return [body.get("owner", body.get("purchase_id")) for body in asked]


@pytest.mark.parametrize(
    ("where", "status", "code"),
    [
        ("/internal/names/reserve", 409, "name_taken"),
        ("/internal/checkouts", 422, "unknown_plan"),
        ("/internal/checkouts", 422, "invalid_email"),
        ("/internal/checkouts", 502, "provider_refused"),
    ],
)
async def test_a_refused_order_gives_its_key_and_names_back(shop: Gateway, where: str, status: int, code: str) -> None:
    good, shop.services.answers[where] = shop.services.answers[where], refusing(status, code)
    refused = await shop.client.post("/api/checkout", json=ORDER, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    [owner] = owners(shop, RELEASE)
    assert owner == owners(shop, "/internal/names/reserve")[0]
    shop.services.answers[where] = good
    other = await shop.client.post("/api/checkout", json=ORDER | {"email": "ada@example.org"}, headers=KEY)
    assert other.status_code == 200
    assert other.json()["purchaseId"] != owner


@pytest.mark.parametrize(
    ("status", "code"), [(503, "provider_unavailable"), (409, "purchase_id_reused"), (500, "internal_error")]
)
async def test_an_order_that_may_still_go_on_keeps_them(shop: Gateway, status: int, code: str) -> None:
    shop.services.answers["/internal/checkouts"] = refusing(status, code)
    assert (await shop.client.post("/api/checkout", json=ORDER, headers=KEY)).status_code == status
    shop.services.answers["/internal/checkouts"] = answering(200, OPENED)
    assert (await shop.client.post("/api/checkout", json=ORDER, headers=KEY)).status_code == 200
    assert len(set(owners(shop, "/internal/checkouts"))) == 1
    assert owners(shop, RELEASE) == []


async def test_a_provisioner_that_is_away_hides_no_refusal(shop: Gateway) -> None:
    shop.services.answers = {"/internal/checkouts": refusing(422, "unknown_plan")}
    answer = await shop.client.post("/api/checkout", json=ORDER, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_plan")
    assert await shop.count("checkout_keys") == 0


async def test_an_order_that_was_opened_before_keeps_its_key_when_its_name_is_gone(shop: Gateway) -> None:
    opened = await shop.client.post("/api/checkout", json=ORDER, headers=KEY)
    good = shop.services.answers["/internal/names/reserve"]
    shop.services.answers["/internal/names/reserve"] = refusing(409, "name_taken")
    assert (await shop.client.post("/api/checkout", json=ORDER, headers=KEY)).status_code == 409
    shop.services.answers["/internal/names/reserve"] = good
    again = await shop.client.post("/api/checkout", json=ORDER, headers=KEY)
    assert again.json()["purchaseId"] == opened.json()["purchaseId"]  # it could still be paid: no second one
