"""What becomes of a delivery whose connection is lost in the middle, and of a consumer that says nothing any more."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from keyturn.bus import Delivery, Settle
from keyturn.bus.rabbit import RabbitBus
from support.broker import RabbitMQ, VirtualHost
from support.buses import SUBSCRIPTIONS, Inbox, message, publish_all
from support.proxy import Proxy
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

KEYS = ["payment.captured.v1"]
NOT_FOR_EVER = 30.0


@pytest.fixture
def vhost(broker: RabbitMQ) -> Iterator[VirtualHost]:
    made = broker.create(SUBSCRIPTIONS)
    yield made
    broker.delete(made)


@pytest.fixture
async def gateway(vhost: VirtualHost) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(vhost.url("gateway"), service="gateway", replica="1")
    await bus.connect()
    yield bus
    await bus.close()


@pytest.fixture
async def proxy(vhost: VirtualHost) -> AsyncIterator[Proxy]:
    async with Proxy(vhost.host) as proxy:
        yield proxy


@pytest.fixture
async def billing(vhost: VirtualHost, proxy: Proxy) -> AsyncIterator[RabbitBus]:
    """Behind the proxy; the broker gives it up after a few seconds of silence."""
    url = vhost.url("billing", host=proxy.address) + "?heartbeat=1"
    bus = RabbitBus(url, service="billing", replica="1")
    await bus.connect()
    yield bus
    proxy.mode = "pass"
    proxy.reset()
    await bus.close()


async def test_an_acknowledgement_that_comes_after_a_reconnect_is_lost_and_the_message_comes_again(
    proxy: Proxy, gateway: RabbitBus, billing: RabbitBus, wait_until: WaitUntil
) -> None:
    """A handler that does not stop when it is told to, because it commits at that moment."""
    got: list[Delivery] = []
    committed = asyncio.Event()

    async def commit(delivery: Delivery) -> Settle:
        got.append(delivery)
        if len(got) == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await committed.wait()
        return "ack"

    await billing.consume(KEYS, commit)
    await gateway.publish(message(1))
    await wait_until(lambda: got)
    proxy.reset()
    await wait_until(lambda: len(got) == 2, NOT_FOR_EVER)
    committed.set()
    await gateway.publish(message(2))
    await wait_until(lambda: len(got) == 3)
    assert [delivery.redelivered for delivery in got] == [False, True, False]


async def test_a_handler_that_blocks_the_loop_until_the_broker_gives_it_up_gets_its_message_again(
    broker: RabbitMQ, vhost: VirtualHost, gateway: RabbitBus, wait_until: WaitUntil
) -> None:
    bus = RabbitBus(vhost.url("billing") + "?heartbeat=1", service="billing", replica="1")
    await bus.connect()
    got: list[Delivery] = []

    async def block(delivery: Delivery) -> Settle:
        got.append(delivery)
        until = time.monotonic() + NOT_FOR_EVER
        while len(got) == 1 and _ready(broker, vhost) == 0 and time.monotonic() < until:
            time.sleep(0.1)  # noqa: ASYNC251 - what this is about
        return "ack"

    await bus.consume(KEYS, block)
    await gateway.publish(message(1))
    await wait_until(lambda: len(got) == 2, NOT_FOR_EVER)
    assert got[1].redelivered
    await gateway.publish(message(2))
    await wait_until(lambda: len(got) == 3)
    await bus.close()


async def test_a_replica_gets_what_a_silent_one_had_in_hand(
    vhost: VirtualHost, proxy: Proxy, gateway: RabbitBus, billing: RabbitBus, wait_until: WaitUntil
) -> None:
    stuck, standby = Inbox(), Inbox()
    consumer = await billing.consume(KEYS, stuck)
    proxy.mode = "swallow to"  # it gets its messages, and nobody hears that
    await publish_all(gateway, [message(n) for n in range(5)])
    await wait_until(lambda: len(stuck.got) == 5)
    other = RabbitBus(vhost.url("billing"), service="billing", replica="2")
    await other.connect()
    await other.consume(KEYS, standby)
    await wait_until(lambda: len(standby.got) == 5, NOT_FOR_EVER)
    assert standby.numbers == list(range(5))
    assert all(delivery.redelivered for delivery in standby.got)
    await other.close()
    proxy.mode = "pass"
    await consumer.stop()


async def test_channels_do_not_pile_up(
    broker: RabbitMQ, vhost: VirtualHost, gateway: RabbitBus, wait_until: WaitUntil
) -> None:
    """One to publish on and one to consume on, whatever was refused on the way."""
    await gateway.consume(["#"], Inbox())
    for n in range(20):
        await asyncio.gather(gateway.publish(message(n, "purchase.paid.v1")), return_exceptions=True)  # not its event
        await gateway.publish(message(n))
        await gateway.ping()

    async def one_each() -> bool:
        """A channel whose first figures have not come says nothing of its connection; one to publish on is made anew
        when there is something to publish."""
        await gateway.publish(message())
        answer = await asyncio.to_thread(broker.client.get, f"/api/vhosts/{vhost.name}/channels")
        found = [channel.get("connection_details") for channel in answer.json()]
        return len(found) == len({details["name"] for details in found if details}) == 2

    await wait_until(one_each, NOT_FOR_EVER)


def _ready(broker: RabbitMQ, vhost: VirtualHost) -> int:
    """Messages that wait for a consumer: got and returned, which is quicker to tell than the queue's statistics."""
    return len(broker.bodies(vhost, "billing.events"))


async def test_questions_leave_nothing_behind(gateway: RabbitBus) -> None:
    await gateway.consume(KEYS, Inbox())
    await gateway.ping()
    before = _tasks_kept()
    for _ in range(30):
        await gateway.ping()
    assert _tasks_kept() < before + 10


def _tasks_kept() -> int:
    """Those that are done, too: what is kept of a question keeps them."""
    gc.collect()
    return sum(isinstance(thing, asyncio.Task) for thing in gc.get_objects())
