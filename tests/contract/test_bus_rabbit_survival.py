"""A relay and a consumer on real databases, each behind a proxy to the broker, through everything that MESSAGING §5 and
§6 list: in the end every event has had its effect once, in order, and both are still there (docs/broker.md)."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from keyturn.bus.rabbit import RabbitBus
from keyturn.clock import MovableClock
from keyturn.database import Database
from keyturn.events import OperatorActed
from keyturn.handling import Consumer, Handlers
from keyturn.outbox import OutboxRow, event_row
from keyturn.relay import Relay
from support.broker import RabbitMQ, VirtualHost
from support.chaos import Part, on_operator_acted
from support.data_plane import METADATA, acted, expired, one
from support.proxy import Mode, Proxy
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

HEARTBEAT = 1  # seconds: the library gives a silent peer up after 3 * (heartbeat + 1)
SUBJECTS = [str(uuid4()) for _ in range(5)]
HANDLERS: Handlers = {OperatorActed: on_operator_acted}
PATIENCE = 40.0


@dataclass
class Line:
    """Billing's outbox to the gateway's effects."""

    broker: RabbitMQ
    vhost: VirtualHost
    out: Database
    into: Database
    proxies: list[Proxy]
    relay: Relay
    consumer: Consumer
    clock: MovableClock
    wait_until: WaitUntil
    sent: int = 0

    async def send(self, *others: OutboxRow) -> None:
        """Ten events, of each subject two, numbered; and others before them."""
        async with self.out.transaction("publish") as tx:
            for row in others:
                tx.put(row)
            for number in range(self.sent, self.sent + 2):
                for subject in SUBJECTS:
                    tx.publish(acted(subject, number))
        self.sent += 2

    async def arrived(self) -> bool:
        return int(await one(self.into, "SELECT count(*) FROM effects")) == self.sent * len(SUBJECTS)

    async def until_arrived(self) -> None:
        await self.wait_until(self.arrived, PATIENCE)

    def connected_anew(self) -> Callable[[], bool]:
        """Whether all four connections have been made once more since now."""
        before = [proxy.accepted for proxy in self.proxies]
        return lambda: all(proxy.accepted >= n + 2 for proxy, n in zip(self.proxies, before, strict=True))

    def misbehave(self, mode: Mode) -> None:
        for proxy in self.proxies:
            proxy.mode = mode

    def reset(self) -> None:
        for proxy in self.proxies:
            proxy.reset()


@pytest.fixture
def vhost(broker: RabbitMQ) -> Iterator[VirtualHost]:
    made = broker.create({"billing": [], "gateway": [OperatorActed.wire], "notifier": [], "provisioner": []})
    yield made
    broker.delete(made)


@pytest.fixture
async def line(
    broker: RabbitMQ, vhost: VirtualHost, database_url: Any, clock: MovableClock, wait_until: WaitUntil
) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        out, into = [
            Database(await database_url(METADATA), service=name, clock=clock) for name in ("billing", "gateway")
        ]
        stack.push_async_callback(out.close)
        stack.push_async_callback(into.close)
        proxies = [await stack.enter_async_context(Proxy(vhost.host)) for _ in range(2)]
        sending, hearing = (
            RabbitBus(f"{vhost.url(name, host=proxy.address)}?heartbeat={HEARTBEAT}", service=name, replica="1",
                      confirm_seconds=1)
            for name, proxy in zip(("billing", "gateway"), proxies, strict=True)
        )  # fmt: skip
        for bus in (sending, hearing):
            stack.push_async_callback(bus.close)
            await bus.connect()
        relay, consumer = Relay(out, sending), Consumer(into, hearing, HANDLERS, prefetch=1)
        parts: list[Part] = [consumer, relay]
        for part in parts:
            stack.push_async_callback(part.stop)
            await part.start()
        running = Line(broker, vhost, out, into, proxies, relay, consumer, clock, wait_until)
        await running.send()
        await running.until_arrived()
        yield running
        await _assert_everything_once_and_both_alive(running)


async def _assert_everything_once_and_both_alive(line: Line) -> None:
    """Also the watchdog's cancellation ends neither of them."""
    await line.send()
    await line.until_arrived()
    assert line.relay.alive()
    assert line.consumer.alive()
    async with line.into.transaction("look") as tx:
        rows = await tx.run("SELECT what, array_agg(n ORDER BY position) AS numbers FROM effects GROUP BY what")
        assert {row.what: row.numbers for row in rows} == {subject: list(range(line.sent)) for subject in SUBJECTS}
        assert await tx.run("SELECT 1 FROM work") == []


async def test_a_slow_network(line: Line) -> None:
    for proxy in line.proxies:
        proxy.delay = 0.1
    await line.send()
    await line.until_arrived()
    for proxy in line.proxies:
        proxy.delay = 0


async def test_connections_reset_again_and_again(line: Line) -> None:
    for _ in range(5):
        new = line.connected_anew()
        line.reset()
        await line.send()
        await line.wait_until(new, PATIENCE)
    await line.until_arrived()


@pytest.mark.parametrize("mode", ["swallow from", "swallow to"])
async def test_a_peer_that_falls_silent_until_the_watchdog_gives_it_up(line: Line, mode: Mode) -> None:
    """Both its connections at once: the one that publishes, and the one that consumes."""
    new = line.connected_anew()
    line.misbehave(mode)
    await line.send()
    await line.wait_until(new, PATIENCE)
    line.misbehave("pass")
    line.reset()  # what was opened while it was silent
    await line.until_arrived()


async def test_a_broker_that_refuses_connections(line: Line) -> None:
    line.misbehave("refuse")
    line.reset()
    await line.send()
    line.misbehave("pass")
    await line.until_arrived()


async def test_a_full_queue(line: Line) -> None:
    """Its publisher backs off: what is refused for now is due later, and those behind it of its subject with it."""
    name, one_more = "gateway.events", {"max-length": 1, "overflow": "reject-publish"}
    line.proxies[1].mode = "swallow from"  # nobody takes anything from it
    line.broker.set_policy(line.vhost, "full", f"^{name}$", one_more)

    async def held_up() -> bool:
        """It takes what comes together, and only then says that it is full."""
        await line.send()
        return bool(await one(line.out, "SELECT count(*) FROM outbox WHERE attempts > 0"))

    await line.wait_until(held_up, PATIENCE)
    line.broker.client.delete(f"/api/policies/{line.vhost.name}/full").raise_for_status()
    line.misbehave("pass")
    line.reset()
    line.clock.move(timedelta(minutes=6))  # longer than it backs off
    await line.until_arrived()


@pytest.mark.parametrize(
    ("exchange", "key"),
    [("keyturn.events", "payment.captured.v1"), ("no.such.exchange", "purchase.expired.v1")],
    ids=["forbidden", "no exchange"],
)
async def test_an_event_over_which_the_broker_closes_the_channel(line: Line, exchange: str, key: str) -> None:
    """With it everything in flight there is unknown, and sent again; only that one is refused."""
    await line.send(_row(line)._replace(exchange=exchange, routing_key=key))
    await line.until_arrived()
    await line.wait_until(lambda: _refused(line), PATIENCE)


async def test_an_event_that_nothing_takes_also_after_a_reconnect(line: Line) -> None:
    """The library's callbacks for what the broker returns stop with the first connection: it would look published."""
    line.broker.client.delete(f"/api/policies/{line.vhost.name}/unrouted").raise_for_status()
    line.reset()
    await line.send(_row(line))
    await line.until_arrived()
    await line.wait_until(lambda: _refused(line), PATIENCE)


def _row(line: Line) -> OutboxRow:
    return event_row(expired(), "billing", line.out.clock.now())


async def _refused(line: Line) -> bool:
    return bool(await one(line.out, "SELECT count(*) FROM outbox WHERE published IS NULL AND error LIKE 'Refused%'"))
