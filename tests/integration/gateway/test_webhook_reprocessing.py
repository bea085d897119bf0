"""Operators look at stored webhooks and have the unreadable ones read again."""

import json
from typing import Any

import httpx
import pytest

from gateway import operators
from gateway.repository import operators as stored
from support import provider_webhooks as sent
from support.gateway import Gateway

pytestmark = pytest.mark.servers

WHY = {"reason": "the reader was mended"}


async def token(gateway: Gateway, role: str) -> dict[str, str]:
    made = operators.new_token()
    async with gateway.service.database.transaction("make_token") as tx:
        operator = await stored.add_operator(tx, f"op-{role}")
        assert operator is not None
        await stored.add_token(tx, operator, name=role, role=role, hash=operators.hashed(made), hint="kt_")
    return {"authorization": f"Bearer {made}"}


async def receive(gateway: Gateway, document: dict[str, Any]) -> None:
    body = sent.body_of(document)
    answer = await gateway.client.post("/api/webhooks/stripe", content=body, headers=sent.stripe_headers(body))
    assert answer.status_code == 200


async def forget_how_to_read(gateway: Gateway) -> None:
    """As if an older reader, which did not know these shapes, had stored everything."""
    async with gateway.service.database.transaction("forget") as tx:
        await tx.run("UPDATE webhooks SET state = 'unreadable', cause = 'data.object.amount is missing'")
        await tx.run("DELETE FROM outbox")


async def wires(gateway: Gateway) -> list[str]:
    return [row.wire for row in await gateway.rows("SELECT wire FROM outbox ORDER BY id")]


async def test_an_unreadable_webhook_is_published_once_when_it_is_read_again(gateway: Gateway) -> None:
    await receive(gateway, sent.stripe_event("invoice.paid", sent.stripe_invoice()))
    await forget_how_to_read(gateway)
    [row] = await gateway.rows("SELECT id FROM webhooks")
    operator = await token(gateway, "operator")
    for _ in range(2):
        answer = await gateway.client.post(f"/api/webhooks/{row.id}/reprocess", json=WHY, headers=operator)
        assert (answer.status_code, answer.json()["status"]) == (200, "read")
    assert await wires(gateway) == ["payment.captured.v1", "operator.acted.v1"]
    [acted] = await gateway.rows("SELECT body FROM outbox WHERE wire = 'operator.acted.v1'")
    assert json.loads(acted.body)["data"]["reason"] == WHY["reason"]


async def test_all_that_can_be_read_is_and_the_rest_stays(gateway: Gateway) -> None:
    for number in range(3):
        await receive(gateway, sent.stripe_event("invoice.paid", sent.stripe_invoice(id=f"in_{number}")))
    await receive(gateway, sent.stripe_event("invoice.paid", sent.stripe_invoice(amount_paid="much")))
    await forget_how_to_read(gateway)
    operator = await token(gateway, "operator")
    answer = await gateway.client.post("/api/webhooks/reprocess", json=WHY, headers=operator)
    assert answer.json() == {"count": 4, "unreadable": 1}
    assert sorted(row.state for row in await gateway.rows("SELECT state FROM webhooks")) == [
        "read",
        "read",
        "read",
        "unreadable",
    ]


async def test_the_list_is_filtered_and_paged_newest_first(gateway: Gateway) -> None:
    await receive(gateway, sent.stripe_event("invoice.paid", sent.stripe_invoice()))
    await receive(gateway, sent.stripe_event("invoice.paid", sent.stripe_invoice(amount_paid=None)))
    await receive(gateway, sent.stripe_event("customer.created", {"id": "cus_1"}))
    viewer = await token(gateway, "viewer")

    async def page(**params: Any) -> Any:
        answer = await gateway.client.get("/api/webhooks", params=params, headers=viewer)
        assert answer.status_code == 200
        return answer.json()

    first = await page(limit=2)
    second = await page(limit=2, cursor=first["nextCursor"])
    states = [item["status"] for item in (*first["items"], *second["items"])]
    assert (states, second["nextCursor"]) == (["ignored", "unreadable", "read"], None)
    assert [item["type"] for item in (await page(status="unreadable"))["items"]] == ["invoice.paid"]
    assert (await page(provider="razorpay"))["items"] == []


async def test_rule_17_a_shown_webhook_hides_what_is_secret_or_personal(gateway: Gateway) -> None:
    session = sent.stripe_session(client_secret="cs_secret_x", customer_details={"email": "ada@example.com"})
    await receive(gateway, sent.stripe_event("checkout.session.completed", session))
    [row] = await gateway.rows("SELECT id FROM webhooks")
    operator = await token(gateway, "operator")
    answer = await gateway.client.get(f"/api/webhooks/{row.id}", headers=operator)
    document = answer.json()
    assert document["payload"]["data"]["object"]["amount_total"] == 4900
    assert [event["type"] for event in document["events"]] == ["payment.captured.v1"]
    assert "cs_secret_x" not in answer.text
    assert "ada@example.com" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/webhooks"), ("POST", "/api/webhooks/reprocess"), ("GET", "/api/webhooks/x")]
)
async def test_without_a_token_nothing_is_shown_or_done(gateway: Gateway, method: str, path: str) -> None:
    answer: httpx.Response = await gateway.client.request(method, path, json=WHY)
    assert answer.status_code in {401, 422}
    if path != "/api/webhooks/x":
        assert answer.status_code == 401


async def test_a_viewer_may_look_and_not_reprocess(gateway: Gateway) -> None:
    viewer = await token(gateway, "viewer")
    assert (await gateway.client.post("/api/webhooks/reprocess", json=WHY, headers=viewer)).status_code == 403
