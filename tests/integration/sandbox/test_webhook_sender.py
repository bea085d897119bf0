"""How the stand-ins deliver webhooks: signed, retried, and as unreliable as asked."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from keyturn.clock import MovableClock
from sandbox.delivery import Endpoint, Webhooks
from sandbox.loopback import Loopback
from sandbox.razorpay.sandbox import RULES as RAZORPAY_RULES
from sandbox.razorpay.sandbox import sign as sign_razorpay
from sandbox.stripe import StripeSandbox
from sandbox.stripe.sandbox import RULES as STRIPE_RULES
from sandbox.stripe.sandbox import sign as sign_stripe
from support.waiting import WaitUntil


class Receiver:
    """A webhook endpoint that answers what the test wants, and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []  # the next ones; 200 when there are no more
        self.delay = 0.0
        self._loopback = Loopback()
        self.url = f"{self._loopback.url}/hook"

    async def start(self) -> None:
        app = FastAPI()

        @app.post("/hook")
        async def hook(request: Request) -> Response:
            self.got.append((dict(request.headers), await request.body()))
            await asyncio.sleep(self.delay)
            return Response(status_code=self.answers.pop(0) if self.answers else 200)

        await self._loopback.start(app)

    async def stop(self) -> None:
        await self._loopback.stop()

    def bodies(self) -> list[str]:
        return [body.decode() for _, body in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


Sender = Callable[..., Webhooks]


@pytest.fixture
async def sender(receiver: Receiver, clock: MovableClock) -> AsyncIterator[Sender]:
    made: list[Webhooks] = []

    def make(*, like: str = "stripe", secrets: tuple[str, ...] = ("s-1",), seed: int = 0, **rules: float) -> Webhooks:
        sign, base = (sign_stripe, STRIPE_RULES) if like == "stripe" else (sign_razorpay, RAZORPAY_RULES)
        webhooks = Webhooks(sign, replace(base, first=0.01, cap=0.05, **rules), clock, seed=seed)  # type: ignore[arg-type]
        webhooks.endpoints.append(Endpoint(receiver.url, list(secrets)))
        made.append(webhooks)
        return webhooks

    yield make
    for webhooks in made:
        await webhooks.close()


async def test_a_refused_event_comes_again_until_it_is_taken(receiver: Receiver, sender: Sender) -> None:
    webhooks = sender()
    receiver.answers = [500, 404, 302]
    webhooks.send("evt_1", "ping", b"{}")
    await webhooks.settled()
    (delivery,) = webhooks.log
    assert [attempt["status"] for attempt in delivery.attempts] == [500, 404, 302, 200]
    assert webhooks.succeeded("evt_1")


async def test_stripe_signs_with_every_secret_and_anew_for_each_try(receiver: Receiver, sender: Sender) -> None:
    webhooks = sender(secrets=("s-old",))
    receiver.answers = [500]
    webhooks.endpoints[0].secrets.append("s-new")
    webhooks.send("evt_1", "ping", b'{"a": 1}')
    await webhooks.settled()
    for headers, body in receiver.got:
        time, *signatures = headers["stripe-signature"].split(",")
        for secret, signature in zip(("s-old", "s-new"), signatures, strict=True):
            signed = time.removeprefix("t=").encode() + b"." + body
            assert signature == "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


async def test_razorpay_retries_with_the_same_event_id_and_the_secret_of_the_events_time(
    receiver: Receiver, sender: Sender, wait_until: WaitUntil
) -> None:
    webhooks = sender(like="razorpay", secrets=("s-old",))
    receiver.answers = [500]
    receiver.delay = 0.05
    webhooks.send("evt_1", "ping", b"{}")
    await wait_until(lambda: receiver.got)
    webhooks.endpoints[0].secrets[:] = ["s-new"]
    await webhooks.settled()
    expected = hmac.new(b"s-old", b"{}", hashlib.sha256).hexdigest()
    assert [headers["x-razorpay-signature"] for headers, _ in receiver.got] == [expected] * 2
    assert {headers["x-razorpay-event-id"] for headers, _ in receiver.got} == {"evt_1"}


async def test_an_answer_that_comes_too_late_is_a_failure(
    receiver: Receiver, sender: Sender, wait_until: WaitUntil
) -> None:
    webhooks = sender(like="razorpay", timeout=0.1)
    receiver.delay = 0.3
    webhooks.send("evt_1", "ping", b"{}")
    await wait_until(lambda: len(receiver.got) > 1)
    assert webhooks.log[0].attempts[0]["error"] in {"TimeoutError", "ReadTimeout"}


async def test_razorpay_switches_an_endpoint_off_after_a_day_and_sends_nothing_that_was_missed(
    receiver: Receiver, sender: Sender, clock: MovableClock, wait_until: WaitUntil
) -> None:
    webhooks = sender(like="razorpay")
    receiver.answers = [500] * 1000
    webhooks.send("evt_1", "ping", b"1")
    await wait_until(lambda: receiver.got)
    clock.move(timedelta(hours=25))
    await webhooks.settled()
    assert not webhooks.endpoints[0].enabled
    receiver.answers.clear()
    webhooks.send("evt_2", "ping", b"2")
    webhooks.enable()
    webhooks.send("evt_3", "ping", b"3")
    await webhooks.settled()
    assert "2" not in receiver.bodies()
    assert receiver.bodies()[-1] == "3"
    assert webhooks.resend(webhooks.log[0].id)
    await webhooks.settled()
    assert receiver.bodies()[-1] == "1"


async def test_events_are_lost_doubled_and_sent_in_copies_on_demand(receiver: Receiver, sender: Sender) -> None:
    webhooks = sender()
    webhooks.weather.losses = 1.0
    webhooks.send("evt_1", "ping", b"lost")
    webhooks.weather.losses = 0.0
    webhooks.weather.copies = 5
    webhooks.send("evt_2", "ping", b"five")
    webhooks.weather.copies = 1
    webhooks.weather.duplicates = 1.0
    webhooks.send("evt_3", "ping", b"two")
    await webhooks.settled()
    assert sorted(receiver.bodies()) == ["five"] * 5 + ["two"] * 2
    assert not webhooks.succeeded("evt_1")


async def test_the_same_seed_brings_the_same_weather(sender: Sender) -> None:
    def states(seed: int) -> list[str]:
        webhooks = sender(seed=seed)
        webhooks.weather.losses = 0.5
        for number in range(30):
            webhooks.send(f"evt_{number}", "ping", b"{}")
        return [delivery.state for delivery in webhooks.log]

    assert states(7) == states(7)
    assert states(7) != states(8)


@pytest.mark.parametrize(
    ("order", "expected"),
    [("as_sent", "abc"), ("reversed", "cba"), (["b", "c"], "bca")],
)
async def test_held_events_go_out_in_the_wanted_order(
    receiver: Receiver, sender: Sender, order: str | list[str], expected: str
) -> None:
    webhooks = sender()
    webhooks.hold()
    for name in "abc":
        webhooks.send(f"evt_{name}", name, name.encode())
    assert receiver.got == []
    await webhooks.release(order)
    assert "".join(receiver.bodies()) == expected


async def test_the_log_is_a_page_with_a_button_and_json(receiver: Receiver, clock: MovableClock) -> None:
    async with (
        StripeSandbox(secret_key="sk_test_x", webhook_url=receiver.url, webhook_secrets=["whsec_1"]) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url) as browser,
    ):
        sandbox.pay_foreign(500, "usd")
        await sandbox.webhooks.settled()
        log = (await browser.get("/_control/deliveries")).json()
        assert {row["state"] for row in log} == {"delivered"}
        assert "whsec_1" not in str(log)
        count = len(receiver.got)
        assert "checkout.session.completed" in (await browser.get("/deliveries")).text
        assert (await browser.post("/deliveries", data={"delivery": log[0]["id"]})).status_code == 303
        await sandbox.webhooks.settled()
        assert len(receiver.got) == count + 1
