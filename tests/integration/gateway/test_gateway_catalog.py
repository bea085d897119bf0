"""The catalogue through the gateway: the provisioner says which blueprints there are, billing does the rest."""

import json
from typing import Any

import httpx
import pytest

from keyturn.internal import Verifier
from support.gateway import Gateway

pytestmark = pytest.mark.servers
ANSWER: dict[str, Any] = {"sold": None, "digest": "abc", "changes": [], "unchanged": 0}
ORDER = {"content": "default: é\n", "file": "new.yaml", "reason": "spring prices"}


@pytest.fixture
def seller(gateway: Gateway) -> Gateway:
    known = {"items": [{"name": "notes", "description": "", "limits": ["memory"]}]}
    gateway.services.answers |= {
        "/internal/blueprints": lambda _: httpx.Response(200, json=known),
        "/internal/catalog": lambda _: httpx.Response(200, json=ANSWER),
        "/internal/catalog/diff": lambda _: httpx.Response(200, json=ANSWER),
    }
    return gateway


async def post(gateway: Gateway, token: str, path: str, body: Any) -> httpx.Response:
    return await gateway.client.post(path, headers={"Authorization": f"Bearer {token}"}, json=body)


@pytest.mark.parametrize("path", ["/api/catalog", "/api/catalog/", "/api/catalog/diff"])
async def test_billing_gets_the_catalogue_with_the_blueprints_that_exist(
    seller: Gateway, admin: str, path: str
) -> None:
    answer = await post(seller, admin, path, ORDER)
    assert answer.json() == ANSWER
    sent = seller.services.asked[-1]
    assert json.loads(sent.content)["blueprints"] == {"notes": ["memory"]}
    assert json.loads(sent.content)["content"] == ORDER["content"]
    caller = Verifier(seller.service.deps.billing._signer.public_key(), "billing").verify(
        sent.headers["authorization"].removeprefix("Bearer ")
    )
    assert (caller.actor, caller.role) == ("first", "admin")


async def test_without_the_provisioner_nothing_is_applied_and_it_is_named(seller: Gateway, admin: str) -> None:
    del seller.services.answers["/internal/blueprints"]
    answer = await post(seller, admin, "/api/catalog", ORDER)
    assert (answer.status_code, answer.json()["code"]) == (503, "provisioner_unavailable")
    assert [asked.url.path for asked in seller.services.asked] == ["/internal/blueprints"]


async def test_applying_says_why(seller: Gateway, admin: str) -> None:
    answer = await post(seller, admin, "/api/catalog", {"content": "default: a\n"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reason")
    assert seller.services.asked == []


async def test_a_catalogue_may_be_larger_than_other_bodies_and_not_endless(seller: Gateway, admin: str) -> None:
    large = "#" + "a" * 200_000
    assert (await post(seller, admin, "/api/catalog/diff", {"content": large})).status_code == 200
    assert (await post(seller, admin, "/api/catalog/", ORDER | {"content": large})).status_code == 200
    assert (await post(seller, admin, "/api/catalog", ORDER | {"content": large * 3})).status_code == 413
    assert (await post(seller, admin, "/api/tokens", {"name": large})).status_code == 413
