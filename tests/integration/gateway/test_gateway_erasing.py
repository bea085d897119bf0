"""A customer is forgotten here: what journeys and webhooks say of them, and their sessions. Nothing brings it back."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway import sessions
from gateway.handlers import HANDLERS, WORK
from keyturn.events import Contact, CustomerDataErased, CustomerErased, PurchaseOpened, read
from keyturn.worker import Worker
from support import provider_webhooks as sent
from support.gateway import Gateway
from support.journeys import EMAIL, START, Story, hear
from support.leftovers import places

pytestmark = pytest.mark.servers
ADA = UUID(int=7)
WORDS = (EMAIL, "Zebulon", "ada.example")


async def receive(gateway: Gateway, type_: str, data: dict[str, Any]) -> None:
    body = sent.body_of(sent.stripe_event(type_, data))
    answer = await gateway.client.post("/api/webhooks/stripe", content=body, headers=sent.stripe_headers(body))
    assert answer.status_code == 200


async def work(gateway: Gateway) -> None:
    """As it goes where a relay publishes what is written."""
    await gateway.rows("UPDATE outbox SET published = created RETURNING 1")
    worker = Worker(gateway.service.database, WORK, gateway.service.deps, handlers=HANDLERS)
    while await worker._claim() or worker._running:
        await asyncio.gather(*worker._running)


async def forget(gateway: Gateway, story: Story) -> None:
    await hear(gateway.service.database, CustomerErased(subject=str(story.id), time=START, customer_id=str(ADA)))
    await work(gateway)


async def left(gateway: Gateway) -> set[str]:
    return await places(gateway.rows, WORDS)


@pytest.fixture
async def story(gateway: Gateway) -> Story:
    """With the webhooks that told of it: one with our facts, one that says nothing to us, and a stranger's."""
    told = Story()
    person = {"email": EMAIL, "name": "Zebulon"}
    session = sent.stripe_session(id=told.captured.payment_key, customer_details=person)
    await receive(gateway, "checkout.session.completed", session)
    await receive(gateway, "customer.created", {"id": "cus_1", **person})
    await receive(gateway, "customer.created", {"id": "cus_2", "email": "grace@example.net"})
    await hear(gateway.service.database, *told.whole)
    async with gateway.service.database.transaction("test") as tx:
        gateway.client.cookies.set(sessions.cookie_name(gateway.service.deps), await sessions.begin(tx, ADA))
    return told


async def test_only_what_happened_and_when_is_left(gateway: Gateway, story: Story, admin: str) -> None:
    assert await left(gateway) == {"journeys", "journey_events", "webhooks"}
    before = await gateway.count("journey_events")
    await forget(gateway, story)
    assert await left(gateway) == set()
    assert await gateway.count("journey_events") == before + 1
    assert await gateway.count("sessions") == 0
    assert await places(gateway.rows, ["grace@example.net"]) == {"webhooks"}
    operator = {"authorization": f"Bearer {admin}"}
    shown = (await gateway.client.get(f"/api/journeys/{story.id}", headers=operator)).json()
    assert (shown["status"], shown["amount"], shown["domain"], shown["email"]) == ("active", 4900, None, None)
    for row in await gateway.rows("SELECT id FROM webhooks"):
        assert (await gateway.client.get(f"/api/webhooks/{row.id}", headers=operator)).status_code == 200
    events = [read(row.body) for row in await gateway.rows("SELECT body FROM outbox WHERE wire LIKE 'customer.%'")]
    assert [(event.subject, event.service) for event in events if isinstance(event, CustomerDataErased)] == [
        (str(story.id), "gateway")
    ]


async def test_nothing_that_comes_later_brings_it_back(gateway: Gateway, story: Story) -> None:
    await forget(gateway, story)
    again = [event.model_copy(update={"id": UUID(int=number)}) for number, event in enumerate(story.whole, 100)]
    assert any(isinstance(event, PurchaseOpened) for event in again)
    await hear(gateway.service.database, *again)
    assert await left(gateway) == set()


async def test_a_webhook_that_comes_later_is_emptied_once_it_is_known_whose_it_is(
    gateway: Gateway, story: Story
) -> None:
    await forget(gateway, story)
    session = sent.stripe_session(id=story.captured.payment_key, customer_details={"email": EMAIL}, amount_total=1)
    await receive(gateway, "checkout.session.completed", session)
    assert await left(gateway) == {"webhooks"}
    late = story.captured.model_copy(update={"id": UUID(int=1)})
    effect = story.paid.model_copy(update={"id": UUID(int=2), "causationid": str(late.id)})
    await hear(gateway.service.database, late, effect)
    await work(gateway)
    assert await left(gateway) == set()


async def test_webhooks_of_somebody_with_a_longer_address_or_id_stay_as_they_came(
    gateway: Gateway, story: Story
) -> None:
    longer = {"id": f"{story.captured.payment_key}x", "email": f"gr{EMAIL}"}
    await receive(gateway, "customer.created", longer)
    await forget(gateway, story)
    (kept,) = [row for row in await gateway.rows("SELECT body FROM webhooks") if longer["id"].encode() in row.body]
    assert longer["email"].encode() in kept.body


async def test_the_address_is_found_as_it_was_typed(gateway: Gateway, story: Story) -> None:
    typed = "Ada.Zebulon@Example.ORG"
    opened = story.opened.model_copy(update={"id": UUID(int=3), "contact": Contact(email=typed)})
    await hear(gateway.service.database, opened)
    await receive(gateway, "customer.created", {"id": "cus_3", "email": typed})
    await forget(gateway, story)
    assert await places(gateway.rows, [typed]) == set()


async def test_an_emptied_webhook_that_is_sent_again_is_still_the_same(gateway: Gateway, story: Story) -> None:
    body = sent.body_of(sent.stripe_event("customer.created", {"id": "cus_9", "email": EMAIL}))
    for _ in range(2):
        await gateway.client.post("/api/webhooks/stripe", content=body, headers=sent.stripe_headers(body))
        await forget(gateway, story)
    assert await left(gateway) == set()


@pytest.mark.parametrize("how", ["operator", "customer"])
async def test_everything_that_is_kept_is_one_document(gateway: Gateway, story: Story, admin: str, how: str) -> None:
    def answer(document: object) -> httpx.Response:
        return httpx.Response(200, json=document)

    bought = {"id": str(story.id)}
    pages = {None: ([bought], "c"), "c": ([bought], None)}

    def listed(request: httpx.Request) -> httpx.Response:
        items, cursor = pages[request.url.params.get("cursor")]
        return answer({"customer": {"id": str(ADA), "email": EMAIL}, "items": items, "cursor": cursor})

    gateway.services.answers |= {
        f"/internal/customers/{ADA}/data": lambda _: answer({"trials": ["one"]}),
        f"/internal/customers/{ADA}/purchases": listed,
        f"/internal/purchases/{story.id}/data": lambda request: answer({"from": [request.url.port]}),
    }
    path = f"/api/customers/{ADA}/export" if how == "operator" else "/api/account/export"
    headers = {"authorization": f"Bearer {admin}"} if how == "operator" else {}
    told = await gateway.client.get(path, headers=headers)
    assert (told.headers["cache-control"], told.json()["customer"]["email"]) == ("no-store", EMAIL)
    assert told.json()["billing"] == {"trials": ["one"]}
    assert [set(one) & {"hash"} for one in told.json()["gateway"]["sessions"]] == [set()]
    first, second = told.json()["purchases"]
    assert first == second
    ports = {name: first[name]["from"] for name in ("billing", "provisioner", "notifier")}
    assert ports == {"billing": [8001], "provisioner": [8002], "notifier": [8003]}
    assert len(first["gateway"]["journey_events"]) == await gateway.count("journey_events")
    gateway.services.answers.pop(f"/internal/purchases/{story.id}/data")
    assert (await gateway.client.get(path, headers=headers)).status_code == 503
