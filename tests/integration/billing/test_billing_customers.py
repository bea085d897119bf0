"""Customers as operators and their own pages see them."""

from typing import Any
from uuid import uuid4

import pytest

from support.billing import World
from support.subscriptions import PRICE, subscribes

pytestmark = pytest.mark.servers


async def listed(billing: World, **asked: Any) -> dict[str, Any]:
    return dict((await billing.ask("GET", "/internal/customers", "viewer", params=asked)).json())


async def test_customers_are_paged_newest_first_and_found_by_their_address(billing: World) -> None:
    for number in range(3):
        await billing.buy(email=f"ada{number}@example.com", name=f"Ada {number}")
    first = await listed(billing, limit=2)
    second = await listed(billing, limit=2, cursor=first["cursor"])
    emails = [one["email"] for one in first["items"] + second["items"]]
    assert emails == [f"ada{number}@example.com" for number in (2, 1, 0)]
    assert second["cursor"] is None
    assert [one["name"] for one in (await listed(billing, email=" ADA1@example.com"))["items"]] == ["Ada 1"]
    assert (await listed(billing, email="eve@example.com"))["items"] == []


async def test_one_customer_is_shown_with_purchases_subscriptions_and_payments(billing: World) -> None:
    subscriber = await subscribes(billing)
    other = await billing.buy()
    await billing.buy(email="eve@example.com")
    (found,) = (await listed(billing, email="ada@example.com"))["items"]
    shown = (await billing.ask("GET", f"/internal/customers/{found['id']}", "viewer")).json()
    assert [one["id"] for one in shown["purchases"]] == [other["purchase_id"], subscriber.id]
    assert [one["subscription"] and one["subscription"]["status"] for one in shown["purchases"]] == [None, "active"]
    assert [one["amount"] for one in shown["payments"]] == [PRICE]


async def test_a_customer_that_is_not_there_is_a_precise_refusal(billing: World) -> None:
    answer = await billing.ask("GET", f"/internal/customers/{uuid4()}", "viewer")
    assert (answer.status_code, answer.json()["code"]) == (404, "customer_unknown")
