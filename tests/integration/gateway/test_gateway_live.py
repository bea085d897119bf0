"""Live journeys through real HTTP servers: two replicas, reconnecting browsers, and a stop that waits for nobody."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.event import listen as listen_for

from gateway.live import LiveJourneys
from keyturn.clock import MovableClock
from keyturn.errors import Problem
from keyturn.server import Server, listen
from support.gateway import Gateway, Start
from support.journeys import Story, hear
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind a real server, with what it runs in the background."""
    socket = listen("127.0.0.1", 0)
    server = Server(gateway.service.front, socket)
    gateway.service.database.wakeups.start()
    tasks = [asyncio.create_task(server.run_until_told()), asyncio.create_task(gateway.service.deps.live.run())]
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        try:
            yield client
        finally:
            tasks[1].cancel()
            await asyncio.wait([tasks[1]])
            server.should_exit = True
            await tasks[0]


@asynccontextmanager
async def watching(
    client: httpx.AsyncClient, gateway: Gateway, story: Story, last: str = ""
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    deps = gateway.service.deps
    headers = {"X-Access-Token": deps.access.sign(story.id, "access", deps.clock.now())}
    headers |= {"Last-Event-ID": last} if last else {}
    async with client.stream("GET", f"/api/journeys/{story.id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


async def events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    fields: dict[str, Any] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if line == "" and "data" in fields:
            yield {"id": fields.get("id"), "event": fields["event"], "data": json.loads(fields["data"])}
        if line == "":
            fields = {}
        elif name:
            fields[name] = value


async def until(stream: AsyncIterator[dict[str, Any]], status: str) -> list[dict[str, Any]]:
    """All events up to the view with this status."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        async for event in stream:
            if event["event"] == "install" and event["data"]["status"] == status:
                return seen
            if event["event"] == "journey":
                seen.append(event)
    raise AssertionError(f"the stream ended before {status}")


async def test_two_replicas_serve_the_same_journey_as_it_happens(start: Start) -> None:
    one = await start()
    two = await start(database_url=one.service.deps.settings.database_url)
    story = Story()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(serving(replica)) for replica in (one, two)]
        streams = [await stack.enter_async_context(watching(client, one, story)) for client in clients]
        for stream in streams:
            assert await until(stream, "pending") == []
        await hear(one.service.database, *story.whole[:7])
        for stream in streams:
            assert [event["data"]["type"] for event in await until(stream, "setup_pending")] == [
                event.wire for event in story.whole[:7]
            ]
        await hear(two.service.database, *story.whole[7:])
        for stream in streams:
            assert (await until(stream, "active"))[-1]["data"]["type"] == story.activated.wire


async def test_browser_that_comes_back_to_another_replica_misses_nothing(start: Start) -> None:
    one = await start()
    two = await start(database_url=one.service.deps.settings.database_url)
    story = Story()
    await hear(one.service.database, *story.whole[:5])
    async with serving(one) as client, watching(client, one, story) as stream:
        seen = await until(stream, "provisioning")
    await hear(one.service.database, *story.whole[5:])
    async with serving(two) as client, watching(client, one, story, seen[-1]["id"]) as stream:
        rest = await until(stream, "active")
    assert [event["data"]["type"] for event in seen + rest] == [event.wire for event in story.whole]


async def test_a_place_of_thousands_of_digits_is_none_of_ours(gateway: Gateway) -> None:
    async with serving(gateway) as client, watching(client, gateway, Story(), "9" * 5_000) as stream:
        assert await until(stream, "pending") == []


async def test_stop_ends_open_streams_at_once(gateway: Gateway) -> None:
    story = Story()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(serving(gateway))
        stream = await stack.enter_async_context(watching(client, gateway, story))
        await until(stream, "pending")
        gateway.service.deps.live.stop()
        async with asyncio.timeout(2):
            assert [event async for event in stream] == []


async def test_customer_sees_no_technical_detail_and_operator_does(gateway: Gateway, admin: str) -> None:
    story = Story()
    await hear(gateway.service.database, *story.whole)
    async with serving(gateway) as client:
        async with watching(client, gateway, story) as stream:
            mine = await until(stream, "active")
        headers = {"Authorization": f"Bearer {admin}"}
        async with client.stream("GET", f"/api/journeys/{story.id}/events", headers=headers) as answer:
            theirs = await until(events(answer), "active")
    assert all("data" not in event["data"] for event in mine)
    assert theirs[2]["data"]["data"]["found_by"] == "webhook"
    assert "contact" not in json.dumps(theirs)


async def test_browser_that_leaves_in_the_middle_of_a_query_costs_no_connection(
    gateway: Gateway, wait_until: WaitUntil
) -> None:
    story, database = Story(), gateway.service.database
    lost: list[object] = []
    listen_for(database.engine.sync_engine.pool, "close", lambda *_: lost.append(_))
    async with serving(gateway) as client:
        async with database.transaction("hold") as tx:
            await tx.run("LOCK TABLE journey_events")
            async with watching(client, gateway, story):
                await wait_until(lambda: waiting_for_a_lock(gateway))
            await wait_until(lambda: not gateway.service.deps.live.watched(story.id))
        await wait_until(lambda: database.pool.busy == 0)
        assert lost == []


async def waiting_for_a_lock(gateway: Gateway) -> bool:
    seen = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool((await gateway.rows(seen))[0][0])


async def always() -> bool:
    return True


async def test_streams_of_one_purchase_and_of_a_replica_are_bounded(gateway: Gateway) -> None:
    live: LiveJourneys = gateway.service.deps.live
    story = Story()
    async with AsyncExitStack() as stack:
        for _ in range(20):
            stack.enter_context(live.watch(story.id, 0, "203.0.113.9", always))
        with pytest.raises(Problem) as refused, live.watch(story.id, 0, "203.0.113.9", always):
            pass
        assert refused.value.status == 429
    with live.watch(story.id, 0, "203.0.113.9", always):
        pass  # their places are free again


async def test_ticket_opens_a_stream_where_no_header_can_be_sent(gateway: Gateway) -> None:
    story, deps = Story(), gateway.service.deps
    await hear(gateway.service.database, *story.whole)
    token = deps.access.sign(story.id, "access", deps.clock.now())
    given = await gateway.client.post(f"/api/journeys/{story.id}/ticket", headers={"X-Access-Token": token})
    async with serving(gateway) as client:
        path = f"/api/journeys/{story.id}/events?ticket={given.json()['ticket']}"
        async with client.stream("GET", path) as answer:
            assert len(await until(events(answer), "active")) == len(story.whole)


async def test_stream_ends_soon_after_its_ticket(gateway: Gateway, clock: MovableClock) -> None:
    story, deps = Story(), gateway.service.deps
    path = f"/api/journeys/{story.id}/events?ticket={deps.access.sign(story.id, 'ticket', clock.now())}"
    async with (
        serving(gateway) as client,
        client.stream("GET", path) as answer,
        watching(client, gateway, story) as longer,
    ):
        stream = events(answer)
        assert await until(stream, "pending") == await until(longer, "pending") == []
        clock.move(timedelta(minutes=3))
        assert await rest_of(stream) == []
        await hear(gateway.service.database, *story.whole)
        assert await until(longer, "active")


async def test_stream_ends_soon_after_its_operators_token_is_revoked(gateway: Gateway, admin: str) -> None:
    path, headers = f"/api/journeys/{Story().id}/events", {"Authorization": f"Bearer {admin}"}
    async with serving(gateway) as client, client.stream("GET", path, headers=headers) as answer:
        stream = events(answer)
        await until(stream, "pending")
        await gateway.rows("UPDATE tokens SET revoked = now() RETURNING id")
        assert await rest_of(stream) == []


async def rest_of(stream: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is told until the stream ends, which must be soon."""
    async with asyncio.timeout(30):
        return [event async for event in stream]
