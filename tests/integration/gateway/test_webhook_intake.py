"""Webhooks against the real application and PostgreSQL: what is on disk after each answer."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from gateway.repository.webhooks import store
from gateway.webhooks import SOURCES
from support import provider_webhooks as sent
from support.gateway import Gateway, Start

pytestmark = pytest.mark.servers

STRIPE = "/api/webhooks/stripe"
RAZORPAY = "/api/webhooks/razorpay"


def stripe_paid(**fields: Any) -> bytes:
    return sent.body_of(sent.stripe_event("checkout.session.completed", sent.stripe_session(**fields)))


async def post_stripe(gateway: Gateway, body: bytes, path: str = STRIPE) -> httpx.Response:
    return await gateway.client.post(path, content=body, headers=sent.stripe_headers(body))


async def post_razorpay(gateway: Gateway, body: bytes, event_id: str | None = "evt_1") -> httpx.Response:
    return await gateway.client.post(RAZORPAY, content=body, headers=sent.razorpay_headers(body, event_id=event_id))


async def published(gateway: Gateway) -> list[str]:
    return [row.wire for row in await gateway.rows("SELECT wire FROM outbox ORDER BY id")]


async def test_rule_1_a_2xx_means_that_the_raw_bytes_and_the_fact_are_on_disk(gateway: Gateway) -> None:
    body = stripe_paid()
    answer = await post_stripe(gateway, body)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    [row] = await gateway.rows("SELECT * FROM webhooks")
    assert (row.provider, row.body, row.state, row.livemode) == ("stripe", body, "read", False)
    assert row.headers == {"content-type": "application/json; charset=utf-8", **_agent(row)}
    [fact] = await gateway.rows("SELECT * FROM outbox")
    data = json.loads(fact.body)
    assert (fact.wire, data["data"]["payment_key"], data["causationid"]) == (
        "payment.captured.v1",
        "cs_test_1",
        row.event_id,
    )


def _agent(row: Any) -> dict[str, str]:
    return {"user-agent": row.headers["user-agent"]}


@pytest.mark.parametrize("path", ["/api/webhooks/stripe", "/api/webhooks/stripe/", "/api/webhook/stripe/"])
async def test_every_documented_path_takes_webhooks_without_a_redirect(gateway: Gateway, path: str) -> None:
    assert (await post_stripe(gateway, stripe_paid(), path)).status_code == 200


@pytest.mark.parametrize("post", [post_stripe, post_razorpay])
async def test_rule_3_five_concurrent_copies_are_one_webhook_and_one_fact(
    gateway: Gateway, post: Callable[..., Any]
) -> None:
    document = sent.razorpay_event("payment.captured", payment=sent.razorpay_payment())
    body = stripe_paid() if post is post_stripe else sent.body_of(document)
    answers = await asyncio.gather(*(post(gateway, body) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await gateway.count("webhooks"), await published(gateway)) == (1, ["payment.captured.v1"])


async def test_a_razorpay_body_replayed_under_another_event_id_changes_nothing(gateway: Gateway) -> None:
    body = sent.body_of(sent.razorpay_event("payment.captured", payment=sent.razorpay_payment()))
    assert (await post_razorpay(gateway, body, "evt_1")).status_code == 200
    assert (await post_razorpay(gateway, body, "evt_2")).status_code == 200
    assert (await post_razorpay(gateway, body, None)).status_code == 200
    assert await gateway.count("webhooks") == 1


async def test_many_different_webhooks_at_once_are_all_stored(gateway: Gateway) -> None:
    answers = await asyncio.gather(*(post_stripe(gateway, stripe_paid(id=f"cs_{n}")) for n in range(60)))
    assert {answer.status_code for answer in answers} == {200}
    assert await gateway.count("webhooks") == await gateway.count("outbox") == 60


async def test_different_notices_of_one_payment_give_one_fact_id(gateway: Gateway) -> None:
    told = {
        "payment": sent.razorpay_payment(),
        "order": sent.razorpay_order(),
        "subscription": sent.razorpay_subscription(),
    }
    for number, kind in enumerate(("payment.captured", "order.paid", "subscription.charged")):
        body = sent.body_of(sent.razorpay_event(kind, **told))
        await post_razorpay(gateway, body, f"evt_{number}")
    rows = await gateway.rows("SELECT DISTINCT event_id FROM outbox WHERE wire = 'payment.captured.v1'")
    assert len(rows) == 1


async def test_rule_6_unknown_types_are_stored_and_publish_nothing(gateway: Gateway) -> None:
    body = sent.body_of(sent.stripe_event("product.created", {"id": "prod_1"}))
    assert (await post_stripe(gateway, body)).status_code == 200
    assert [row.state for row in await gateway.rows("SELECT state FROM webhooks")] == ["ignored"]
    assert await published(gateway) == []


def unreadable() -> float:
    """Counted apart; there from the start, so that the first one is an increase."""
    found = REGISTRY.get_sample_value("keyturn_webhooks_total", {"provider": "stripe", "outcome": "unreadable"})
    assert found is not None
    return found


async def test_rule_1_a_signed_webhook_that_cannot_be_read_is_stored_and_alerted(gateway: Gateway) -> None:
    body = stripe_paid(amount_total="a lot")
    before = unreadable()
    assert (await post_stripe(gateway, body)).status_code == 200
    assert unreadable() == before + 1
    [row] = await gateway.rows("SELECT * FROM webhooks")
    assert row.state == "unreadable"
    assert "amount_total" in row.cause
    [alarm] = await gateway.rows("SELECT * FROM outbox")
    assert alarm.wire == "webhook.unreadable.v1"
    assert json.loads(alarm.body)["data"]["webhook_id"] == str(row.id)


async def test_nothing_is_stored_for_what_is_forged(gateway: Gateway) -> None:
    body = stripe_paid()
    for headers in (
        sent.stripe_headers(body, secret="whsec_another"),
        sent.stripe_headers(body + b" "),
        sent.stripe_headers(body, at=1_000),
        {"content-type": "application/json"},
    ):
        answer = await gateway.client.post(STRIPE, content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await gateway.count("webhooks"), await gateway.count("outbox")) == (0, 0)


async def test_the_batch_answers_for_each_webhook_it_was_given(gateway: Gateway) -> None:
    bodies = [stripe_paid(id="cs_1"), stripe_paid(id="cs_2")]
    made = [_webhook(gateway, body) for body in (*bodies, bodies[0])]
    first = await store(gateway.service.database, made)
    again = [_webhook(gateway, body) for body in reversed(bodies)]
    second = await store(gateway.service.database, again)
    assert (sorted(first), second) == (["duplicate", "stored", "stored"], ["duplicate", "duplicate"])
    assert await gateway.count("outbox") == 2


def _webhook(gateway: Gateway, body: bytes) -> Any:
    from gateway.app import intake

    return intake(gateway.service.deps).understand(SOURCES["stripe"], body, {})[0]


async def test_a_database_that_is_away_is_answered_503_and_tried_again(start: Start) -> None:
    gateway = await start(database_url="postgresql://nobody@127.0.0.1:1/none")
    answer = await post_stripe(gateway, stripe_paid())
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"


async def test_an_empty_secret_turns_the_endpoint_off(start: Start) -> None:
    gateway = await start(stripe_webhook_secret=())
    answer = await post_stripe(gateway, stripe_paid())
    assert (answer.status_code, answer.json()["code"]) == (404, "endpoint_off")
    assert await gateway.count("webhooks") == 0


async def test_both_secrets_are_good_while_one_is_changed(start: Start) -> None:
    gateway = await start(stripe_webhook_secret=("whsec_new", sent.STRIPE_SECRET))
    for secret in ("whsec_new", sent.STRIPE_SECRET):
        body = stripe_paid()
        headers = sent.stripe_headers(body, secret=secret)
        assert (await gateway.client.post(STRIPE, content=body, headers=headers)).status_code == 200
