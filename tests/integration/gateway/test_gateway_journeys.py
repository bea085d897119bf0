"""Journeys on PostgreSQL: every event is kept, joined to its purchase, and shown to whoever may see it."""

import asyncio
from datetime import timedelta
from random import Random
from uuid import uuid4

import pytest

from gateway.repository import journeys
from keyturn.events import OperatorActed
from support.gateway import Gateway
from support.journeys import EMAIL, START, Story, envelope, hear, strange

pytestmark = pytest.mark.servers


async def told(gateway: Gateway, story: Story) -> list[str]:
    async with gateway.service.database.transaction("look") as tx:
        return [event.type for event in await journeys.events_after(tx, story.id, 0, 100)]


async def test_journey_is_in_the_order_of_arrival_with_the_payment_before_what_it_caused(gateway: Gateway) -> None:
    story = Story()
    await hear(gateway.service.database, *story.whole)
    assert await told(gateway, story) == [event.wire for event in story.whole]


async def test_what_nobody_paid_is_a_purchase_and_no_install(gateway: Gateway) -> None:
    unpaid, paid, ready = Story(), Story(), Story()
    await hear(gateway.service.database, unpaid.opened, paid.opened, paid.paid, *ready.whole)
    async with gateway.service.database.transaction("look") as tx:
        counted = await journeys.stats(tx, timedelta(days=100_000))
    assert counted == {"purchases": {"pending": 1, "paid": 2}, "installs": {"pending": 1, "active": 1}}


async def test_provider_fact_that_arrives_after_its_effect_joins_all_the_same(gateway: Gateway) -> None:
    story = Story()
    await hear(gateway.service.database, story.opened, story.paid, story.captured)
    assert await told(gateway, story) == [story.opened.wire, story.paid.wire, story.captured.wire]


async def test_reader_who_is_past_the_place_of_a_fact_still_gets_it_when_it_joins(gateway: Gateway) -> None:
    story, database = Story(), gateway.service.database
    await hear(database, story.captured, story.opened)
    async with database.transaction("look") as tx:
        seen = (await journeys.events_after(tx, story.id, 0, 10))[-1].id
    await hear(database, story.paid)
    async with database.transaction("look") as tx:
        later = await journeys.events_after(tx, story.id, seen, 10)
    assert [event.type for event in later] == [story.captured.wire, story.paid.wire]


@pytest.mark.parametrize("seed", range(3))
async def test_rule_3_any_order_at_once_and_redelivery_end_alike(gateway: Gateway, seed: int) -> None:
    story, database = Story(), gateway.service.database
    events = story.whole + story.whole[:4]
    Random(seed).shuffle(events)
    await asyncio.gather(*(hear(database, event) for event in events))
    async with database.transaction("look") as tx:
        found = await journeys.find(tx, story.id)
    assert found is not None
    assert (found.journey.status, found.journey.purchase_status, found.journey.domain) == (
        "active",
        "paid",
        "ada.example",
    )
    assert sorted(await told(gateway, story)) == sorted(event.wire for event in story.whole)


async def test_unknown_unreadable_and_ugly_events_are_kept_too(gateway: Gateway) -> None:
    story, database = Story(), gateway.service.database
    ugly = {"text": "a\0b", "number": float("inf"), "deep": [{"\0": ["\0"]}]}
    await hear(
        database,
        *story.whole,
        strange(story.id, "moon.risen.v1", ugly),
        strange(story.id, "install.step_changed.v1", {"step": 7}),
        strange("not a purchase", "moon.set.v2", {}),
    )
    assert await gateway.count("journey_events") == len(story.whole) + 3
    assert len(await told(gateway, story)) == len(story.whole) + 2


async def test_rule_17_no_sealed_value_is_kept(gateway: Gateway) -> None:
    story = Story()
    await hear(gateway.service.database, story.link)
    assert await gateway.rows("SELECT 1 FROM journey_events WHERE data::text LIKE '%x1.%'") == []


async def test_operator_acting_on_something_else_opens_no_journey(gateway: Gateway) -> None:
    acted = OperatorActed(subject=str(uuid4()), time=START, actor="ada", role="admin", action="work.retry", target="w")
    await hear(gateway.service.database, acted, envelope(acted))
    assert await gateway.count("journeys") == 0
    assert await gateway.count("audit") == 1


async def test_order_id_alone_shows_status_and_domain_only(gateway: Gateway) -> None:
    story = Story()
    await hear(gateway.service.database, *story.whole)
    for order in (story.captured.payment_key, str(story.id)):
        answer = await gateway.client.get(f"/api/install/by-purchase/{order}/")
        assert answer.json() == {"status": "active", "domain": "ada.example"}


async def test_access_token_shows_the_whole_install(gateway: Gateway) -> None:
    story, deps = Story(), gateway.service.deps
    await hear(gateway.service.database, *story.whole)
    token = deps.access.sign(story.id, "access", deps.clock.now())
    answer = await gateway.client.get(f"/api/install/{story.id}", headers={"Authorization": f"Bearer {token}"})
    shown = answer.json()
    assert shown["id"] == str(story.id)
    assert (shown["status"], shown["domain"], shown["url"]) == ("active", "ada.example", "https://ada.example")
    assert [step["name"] for step in shown["steps"]] == ["app", "health"]
    assert shown["createdAt"] == story.opened.time.isoformat()
    assert shown["activatedAt"] == story.activated.time.isoformat()


async def test_install_is_pending_before_its_first_event_arrived(gateway: Gateway) -> None:
    purchase, deps = uuid4(), gateway.service.deps
    headers = {"X-Access-Token": deps.access.sign(purchase, "access", deps.clock.now())}
    assert (await gateway.client.get(f"/api/install/{purchase}", headers=headers)).json()["status"] == "pending"


async def test_unknown_id_and_wrong_proof_answer_alike(gateway: Gateway) -> None:
    story, deps = Story(), gateway.service.deps
    await hear(gateway.service.database, *story.whole)
    others = {"Authorization": f"Bearer {deps.access.sign(uuid4(), 'access', deps.clock.now())}"}
    answers = [
        await gateway.client.get(f"/api/install/{story.id}"),
        await gateway.client.get(f"/api/install/{story.id}", headers=others),
        await gateway.client.get(f"/api/install/{uuid4()}", headers=others),
        await gateway.client.get("/api/install/1"),
        await gateway.client.get("/api/install/by-purchase/order_unknown"),
        await gateway.client.get(f"/api/journeys/{story.id}/events", headers=others),
        await gateway.client.post(f"/api/install/{story.id}/access", json={"email": "eve@example.org"}),
        await gateway.client.post(f"/api/install/{uuid4()}/access", json={"email": EMAIL}),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1


async def test_id_and_address_give_an_access_token(gateway: Gateway) -> None:
    story = Story()
    await hear(gateway.service.database, *story.whole)
    given = await gateway.client.post(f"/api/install/{story.id}/access", json={"email": f" {EMAIL.upper()} "})
    headers = {"Authorization": f"Bearer {given.json()['accessToken']}"}
    assert (await gateway.client.get(f"/api/install/{story.id}", headers=headers)).status_code == 200
