"""The skeleton, on the real database: started, asked, and stopped."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from pydantic import Field

from keyturn.bus import Message, connect_bus
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import SystemClock
from keyturn.database import Database, Transaction
from keyturn.errors import Misconfigured
from keyturn.events import PurchaseFailed
from keyturn.internal import Caller, InternalClient, Signer, Viewer
from keyturn.metrics import BUS_CONNECTED
from keyturn.sealing import KeyRing, new_key_line
from keyturn.service import Service
from keyturn.settings import ServiceSettings
from keyturn.work import Work, WorkKind
from support.broker import VirtualHost
from support.databases import DatabaseUrl
from support.proxy import Proxy
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

Start = Callable[..., Awaitable[subprocess.Popen[str]]]
SIGNER = Signer.from_seed(base64.b64encode(os.urandom(32)).decode())
# `python -m notifier`, with a thread that hangs in a library: it keeps no stopped process alive.
HANGING = """
import runpy, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
runpy.run_module("notifier", run_name="__main__")
"""


class Settings(ServiceSettings):
    database_url: str = Field(validation_alias="SKELETON_DATABASE_URL")


@dataclass
class Deps:
    began: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    background: asyncio.Event = field(default_factory=asyncio.Event)


async def slow(work: Work, deps: Deps) -> None:
    deps.began.set()
    await deps.may_end.wait()
    deps.ended.append(work.key)


def service(url: str, broker: MemoryBroker | None = None, **more: Any) -> Service[Deps]:
    settings = Settings(_env_file=None, database_url=url, internal_key=SIGNER.public_key())
    clock, deps = SystemClock(), Deps()
    router = APIRouter()

    @router.get("/internal/hello")
    async def hello(caller: Viewer) -> str:
        return caller.actor

    async def close() -> None:
        deps.closed.append("client")

    async def background() -> None:
        deps.background.set()
        await asyncio.Event().wait()

    bus = (broker or MemoryBroker()).bus("notifier")
    given: dict[str, Any] = {"bus": bus, "handlers": {}, "work": {"slow": WorkKind(slow)}, "routers": [router]}
    return Service(
        name="notifier",
        settings=settings,
        clock=clock,
        database=Database(settings.database_url, service="notifier", clock=clock),
        deps=deps,
        package="notifier",
        port=0,
        closing=[close],
        background=[background],
        **(given | more),
    )


@asynccontextmanager
async def serving(one: Service[Deps]) -> AsyncIterator[httpx.AsyncClient]:
    task = asyncio.create_task(one.serve())
    try:
        await asyncio.wait_for(one.listening.wait(), 20)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.port}") as client:
            yield client
    finally:
        one.request_stop()
        await asyncio.wait_for(task, 20)


async def ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def test_it_starts_and_answers_every_probe(database_url: DatabaseUrl, wait_until: WaitUntil) -> None:
    one = service(await database_url("notifier"))
    async with serving(one) as client:
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        await wait_until(lambda: ready(client))
        assert (await client.get("/readyz")).json() == {"status": "ready", "failed": {}}
        metrics = (await client.get("/metrics")).text
        assert (
            'keyturn_http_request_seconds_count{method="GET",route="/healthz",service="notifier",status="200"}'
            in metrics
        )
        await asyncio.wait_for(one.deps.background.wait(), 5)
    assert one.deps.closed == ["client"]


async def test_only_the_gateways_calls_are_taken(database_url: DatabaseUrl, wait_until: WaitUntil) -> None:
    one = service(await database_url("notifier"))
    async with serving(one) as client:
        await wait_until(lambda: ready(client))
        assert (await client.get("/internal/hello")).status_code == 401
        assert (await client.get("/internal/work")).status_code == 401
        gateway = InternalClient(str(client.base_url), "notifier", SIGNER)
        assert await gateway.request("GET", "/internal/hello", Caller("ada", "viewer")) == "ada"
        await gateway.close()


async def test_it_is_not_ready_and_says_why_when_a_dependency_is_away(
    database_url: DatabaseUrl, wait_until: WaitUntil
) -> None:
    async def broken() -> None:
        raise ConnectionRefusedError("secret-host refused")

    async def silent() -> None:
        await asyncio.Event().wait()

    one = service(await database_url("notifier"), pings={"target": broken, "mail": silent})
    async with serving(one) as client:
        await wait_until(lambda: one.state == "ready")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["failed"] == {"target": "ConnectionRefusedError", "mail": "no answer in time"}
        assert (await client.get("/healthz")).status_code == 200


async def test_a_broker_that_is_away_stops_no_work(database_url: DatabaseUrl, wait_until: WaitUntil) -> None:
    away = connect_bus("amqp://guest:guest@127.0.0.1:9/", service="notifier", replica="test")
    one = service(await database_url("notifier"), bus=away)
    one.deps.may_end.set()
    async with serving(one) as client:
        await wait_until(lambda: one.state == "ready")
        assert list((await client.get("/readyz")).json()["failed"]) == ["bus"]
        async with one.database.transaction("test") as tx:
            tx.schedule("slow", "first")
        await wait_until(lambda: one.deps.ended == ["first"])


async def test_a_broker_that_goes_away_later_keeps_no_request_out(
    rabbitmq: VirtualHost, database_url: DatabaseUrl, wait_until: WaitUntil
) -> None:
    async with Proxy(rabbitmq.host) as proxy:
        url = rabbitmq.url("notifier", host=proxy.address)
        one = service(await database_url("notifier"), bus=connect_bus(url, service="notifier", replica="test"))
        proxy.mode = "refuse"
        async with serving(one) as client:
            await wait_until(lambda: one.state == "ready")
            answer = await client.get("/readyz")  # at the start it waits for the broker
            assert (answer.status_code, list(answer.json()["failed"])) == (503, ["bus"])
            proxy.mode = "pass"
            await wait_until(lambda: _whole(client), 20)
            proxy.mode = "refuse"
            proxy.reset()
            await wait_until(lambda: _connected("notifier", 0.0))
            answer = await client.get("/readyz")
            assert answer.status_code == 200
            assert answer.json() == {"status": "ready", "failed": {}, "degraded": {"bus": "Unavailable"}}
            assert 'keyturn_bus_connected{service="notifier"} 0.0' in (await client.get("/metrics")).text
            assert (await client.get("/healthz")).status_code == 200
            proxy.mode = "pass"
            await wait_until(lambda: _connected("notifier", 1.0), 20)
            await wait_until(lambda: _whole(client), 20)


async def _whole(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/readyz")
    return answer.status_code == 200 and "degraded" not in answer.json()


def _connected(name: str, value: float) -> bool:
    """Noticed without any probe."""
    return bool(BUS_CONNECTED.labels(name)._value.get() == value)


async def test_a_wrong_key_under_a_known_id_ends_the_start_and_a_new_one_is_noted(
    database_url: DatabaseUrl, wait_until: WaitUntil
) -> None:
    url, first, second = await database_url("notifier"), new_key_line("2026-11"), new_key_line("2026-12")

    async def start(*lines: str) -> None:
        one = service(url, rings={"MAIL_KEYS": KeyRing.from_text("\n".join(lines))})
        async with serving(one) as client:
            await wait_until(lambda: ready(client))

    await start(first)
    await start(second, first)
    await start(second)
    one = service(url, rings={"MAIL_KEYS": KeyRing.from_text(new_key_line("2026-11"))})
    with pytest.raises(Misconfigured, match="MAIL_KEYS: key 2026-11 is another one"):
        await one.serve()


async def test_it_waits_for_its_database_and_stops_while_waiting() -> None:
    one = service("postgresql://nobody@127.0.0.1:9/none")
    async with serving(one) as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "starting"})


async def test_a_stop_lets_running_work_finish(database_url: DatabaseUrl, wait_until: WaitUntil) -> None:
    url = await database_url("notifier")
    one = service(url)
    async with serving(one) as client:
        await wait_until(lambda: ready(client))
        async with one.database.transaction("test") as tx:
            tx.schedule("slow", "first")
        await asyncio.wait_for(one.deps.began.wait(), 10)
        one.request_stop()
        await wait_until(lambda: one.state == "stopping")
        assert (await client.get("/readyz")).json() == {"status": "stopping"}
        async with one.database.transaction("test") as tx:
            tx.schedule("slow", "second")
        one.deps.may_end.set()
    assert one.deps.ended == ["first"]
    again = service(url)
    again.deps.may_end.set()
    async with serving(again):
        await wait_until(lambda: again.deps.ended)
    assert again.deps.ended == ["second"]


async def test_a_stop_lets_a_running_handler_finish(database_url: DatabaseUrl, wait_until: WaitUntil) -> None:
    broker, began, may_end = MemoryBroker(), asyncio.Event(), asyncio.Event()
    done: list[str] = []

    async def on_purchase_failed(event: PurchaseFailed, tx: Transaction) -> None:
        began.set()
        await may_end.wait()
        tx.on_commit(lambda: done.append(event.subject))

    one = service(await database_url("notifier"), broker, handlers={PurchaseFailed: on_purchase_failed})
    async with serving(one) as client:
        await wait_until(lambda: ready(client))
        event = PurchaseFailed(subject="p1", time=SystemClock().now())
        billing = broker.bus("billing")
        await billing.connect()
        await billing.publish(message(event))
        await asyncio.wait_for(began.wait(), 10)
        one.request_stop()
        await wait_until(lambda: one.state == "stopping")
        assert not done
        may_end.set()
    assert done == ["p1"]


def message(event: PurchaseFailed) -> Message:
    return Message(
        id=str(event.id),
        type=event.wire,
        subject=event.subject,
        source="billing",
        time=event.time,
        body=event.to_bytes("billing"),
        routing_key=event.wire,
    )


async def test_a_failing_background_task_brings_nothing_down(database_url: DatabaseUrl, wait_until: WaitUntil) -> None:
    async def breaks() -> None:
        raise RuntimeError("a bug")

    one = service(await database_url("notifier"))
    one.background = [breaks, *one.background]
    async with serving(one) as client:
        await wait_until(lambda: ready(client))
        await asyncio.wait_for(one.deps.background.wait(), 5)


async def test_a_part_that_cannot_close_does_not_keep_the_others_open(
    database_url: DatabaseUrl, wait_until: WaitUntil
) -> None:
    async def stuck() -> None:
        raise OSError("cannot close")

    one = service(await database_url("notifier"))
    one.closing = [stuck, *one.closing]
    async with serving(one) as client:
        await wait_until(lambda: ready(client))
    assert one.deps.closed == ["client"]


async def test_four_services_share_a_process(database_url: DatabaseUrl, wait_until: WaitUntil) -> None:
    several = [service(await database_url("notifier")) for _ in range(4)]
    async with serving(several[0]) as a, serving(several[1]) as b, serving(several[2]) as c, serving(several[3]) as d:
        for client in (a, b, c, d):
            await wait_until(partial(ready, client))
    assert all(one.deps.closed == ["client"] for one in several)


@pytest.fixture
async def process(database_url: DatabaseUrl) -> AsyncIterator[Start]:
    started: list[subprocess.Popen[str]] = []

    url = await database_url("notifier")

    async def start(**more: str) -> subprocess.Popen[str]:
        environment = {"PATH": os.environ["PATH"], "NOTIFIER_DATABASE_URL": url}
        environment |= {"NOTIFIER_PORT": "0", "LOG_FORMAT": "json", "OPERATOR_EMAIL": "op@example.com"}
        environment |= {"MAIL_KEYS": "k:" + base64.b64encode(os.urandom(32)).decode()}
        command = [sys.executable, "-c", HANGING]
        started.append(
            subprocess.Popen(  # noqa: ASYNC220 - starting is quick
                command, env=environment | more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_process_with_exit_code_0(process: Start, number: signal.Signals) -> None:
    one = await process()
    assert one.stdout
    async with asyncio.timeout(30):
        while "service_ready" not in (line := await asyncio.to_thread(one.stdout.readline)):
            assert line, "it ended before it was ready"
        one.send_signal(number)
        rest = await asyncio.to_thread(one.stdout.read)
        assert await asyncio.to_thread(one.wait) == 0
    assert "service_stopped" in rest


async def test_a_wrong_key_ends_the_process_with_exit_code_2_and_one_line(process: Start) -> None:
    one = await process()
    assert one.stdout
    async with asyncio.timeout(30):
        while "service_ready" not in (line := await asyncio.to_thread(one.stdout.readline)):
            assert line, "it ended before it was ready"
        one.terminate()
        await asyncio.to_thread(one.wait)
    again = await process()  # with another key
    assert again.stdout
    output = await asyncio.wait_for(asyncio.to_thread(again.stdout.read), 30)
    assert await asyncio.to_thread(again.wait) == 2
    (told,) = [line for line in output.splitlines() if "MAIL_KEYS" in line]
    assert "another one than was used" in told
    assert "Traceback" not in output


async def test_wrong_settings_end_the_process_with_exit_code_2_and_no_values(process: Start) -> None:
    one = await process(MAIL_KEYS="change-me", SMTP_PORT="hunter2")
    assert one.stdout
    output = await asyncio.wait_for(asyncio.to_thread(one.stdout.read), 30)
    assert await asyncio.to_thread(one.wait) == 2
    assert "SMTP_PORT" in output
    assert "hunter2" not in output
