"""What a publisher and a consumer see when the network or the broker misbehaves, through a proxy in between."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from yarl import URL

from keyturn import probes
from keyturn.bus import Blocked, Message, Refused, Unknown
from keyturn.bus.consumer import RabbitConsumer
from keyturn.bus.link import CONNECT_SECONDS, Link
from keyturn.bus.rabbit import RabbitBus
from keyturn.errors import Unavailable
from support.broker import RabbitMQ, VirtualHost
from support.buses import SUBSCRIPTIONS, Inbox, message, publish_all
from support.proxy import Proxy
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

KEYS = ["payment.captured.v1"]


@pytest.fixture
def vhost(broker: RabbitMQ) -> Iterator[VirtualHost]:
    made = broker.create(SUBSCRIPTIONS)
    yield made
    broker.delete(made)


@pytest.fixture
async def proxy(vhost: VirtualHost) -> AsyncIterator[Proxy]:
    async with Proxy(vhost.host) as proxy:
        yield proxy


@pytest.fixture
async def gateway(vhost: VirtualHost, proxy: Proxy) -> AsyncIterator[RabbitBus]:
    """Behind the proxy."""
    async with _behind(proxy, vhost, 10) as bus:
        yield bus


@pytest.fixture
async def impatient(vhost: VirtualHost, proxy: Proxy) -> AsyncIterator[RabbitBus]:
    """The same, with its channel open; gives a confirm one second. What must be confirmed it has to `_send`."""
    async with _behind(proxy, vhost, 1) as bus:
        await _send(bus, message(key="payment.failed.v1"))  # not billing's
        yield bus


@asynccontextmanager
async def _behind(proxy: Proxy, vhost: VirtualHost, confirm_seconds: float) -> AsyncIterator[RabbitBus]:
    url = vhost.url("gateway", host=proxy.address)
    bus = RabbitBus(url, service="gateway", replica="1", confirm_seconds=confirm_seconds)
    await bus.connect()
    yield bus
    proxy.mode = "pass"
    proxy.reset()
    await bus.close()


@pytest.fixture
async def inbox(vhost: VirtualHost) -> AsyncIterator[Inbox]:
    """What billing gets, directly from the broker."""
    bus = RabbitBus(vhost.url("billing"), service="billing", replica="1")
    await bus.connect()
    inbox = Inbox()
    await bus.consume(KEYS, inbox)
    yield inbox
    await bus.close()


async def test_a_slow_network_is_only_slow(gateway: RabbitBus, proxy: Proxy, inbox: Inbox) -> None:
    proxy.delay = 0.1
    await gateway.publish(message())


async def test_a_reset_connection_leaves_the_outcome_unknown_and_comes_back(
    gateway: RabbitBus, proxy: Proxy, inbox: Inbox, wait_until: WaitUntil
) -> None:
    await gateway.publish(message(0))
    proxy.mode = "swallow from"
    publishing = asyncio.create_task(gateway.publish(message(1)))
    await wait_until(lambda: 1 in inbox.numbers)
    proxy.mode = "pass"
    proxy.reset()
    with pytest.raises(Unknown):
        await publishing
    await _send(gateway, message(2))
    await wait_until(lambda: inbox.numbers == [0, 1, 2])


async def test_a_silent_broker_leaves_the_outcome_unknown_though_it_has_the_message(
    impatient: RabbitBus, proxy: Proxy, inbox: Inbox, wait_until: WaitUntil
) -> None:
    proxy.mode = "swallow from"
    sent = message(1)
    with pytest.raises(Unknown):
        await impatient.publish(sent)
    await wait_until(lambda: 1 in inbox.numbers)
    proxy.mode = "pass"
    proxy.reset()
    await _send(impatient, sent)
    await wait_until(lambda: inbox.numbers[:2] == [1, 1])
    assert inbox.got[0].message == inbox.got[1].message


async def test_a_deaf_broker_leaves_the_outcome_unknown_and_nothing_arrives(
    impatient: RabbitBus, proxy: Proxy, inbox: Inbox, wait_until: WaitUntil
) -> None:
    proxy.mode = "swallow to"
    with pytest.raises(Unknown):
        await impatient.publish(message(1))
    proxy.mode = "pass"
    proxy.reset()
    await _send(impatient, message(2))
    await wait_until(lambda: inbox.numbers[:1] == [2])


async def test_a_broker_that_falls_silent_before_there_is_a_channel_is_given_up(
    vhost: VirtualHost, proxy: Proxy, inbox: Inbox, wait_until: WaitUntil
) -> None:
    async with _behind(proxy, vhost, 1) as bus:
        proxy.mode = "swallow from"
        with pytest.raises(Unknown):
            await bus.publish(message(1))
        proxy.mode = "pass"
        proxy.reset()
        await _send(bus, message(2))
    await wait_until(lambda: inbox.numbers == [2])


async def test_after_an_unknown_outcome_the_event_goes_out_on_another_channel(
    impatient: RabbitBus, proxy: Proxy, inbox: Inbox, wait_until: WaitUntil
) -> None:
    """Held up, not lost: the confirm of the first copy comes late, and must not be taken for the second's."""
    sent = message(1)
    proxy.delay = 1.2
    with pytest.raises(Unknown):
        await impatient.publish(sent)
    proxy.delay = 0
    await wait_until(lambda: inbox.numbers == [1])
    await _send(impatient, sent)
    await wait_until(lambda: inbox.numbers[:2] == [1, 1])


async def test_the_library_s_watchdog_is_not_taken_for_a_cancellation(
    vhost: VirtualHost, proxy: Proxy, inbox: Inbox, wait_until: WaitUntil
) -> None:
    """It ends a silent connection with CancelledError: a relay would end with it, unnoticed."""
    url = vhost.url("gateway", host=proxy.address) + "?heartbeat=1"
    bus = RabbitBus(url, service="gateway", replica="1", confirm_seconds=60)
    await bus.connect()
    await bus.publish(message(0))
    proxy.mode = "swallow from"
    publishing = asyncio.create_task(bus.publish(message(1)))
    await wait_until(lambda: 1 in inbox.numbers)
    with pytest.raises(Unknown, match="CancelledError"):
        await asyncio.wait_for(publishing, 15)
    proxy.mode = "pass"
    await _send(bus, message(2))
    await bus.close()


async def test_while_the_broker_is_away_nothing_is_published_and_it_is_not_ready(
    impatient: RabbitBus, proxy: Proxy, inbox: Inbox, wait_until: WaitUntil
) -> None:
    proxy.mode = "refuse"
    proxy.reset()
    await wait_until(lambda: _not_connected(impatient))
    with pytest.raises(Unknown):
        await impatient.publish(message(1))
    proxy.mode = "pass"
    await wait_until(lambda: _ready(impatient), 20)
    await _send(impatient, message(2))
    await wait_until(lambda: inbox.numbers[:1] == [2])


async def test_a_broker_that_comes_later_is_found(vhost: VirtualHost, proxy: Proxy, wait_until: WaitUntil) -> None:
    proxy.mode = "refuse"
    bus = RabbitBus(vhost.url("billing", host=proxy.address), service="billing", replica="1")
    await bus.connect()
    inbox = Inbox()
    await bus.consume(KEYS, inbox)
    with pytest.raises(Unavailable):
        await bus.ping()
    proxy.mode = "pass"
    await wait_until(lambda: _ready(bus), 20)
    await bus.close()


async def test_a_wrong_password_is_tried_again_and_not_ready(vhost: VirtualHost) -> None:
    bus = RabbitBus(vhost.url("billing").replace(":test@", ":wrong@"), service="billing", replica="1")
    await bus.connect()
    with pytest.raises(Unavailable):
        await bus.ping()
    await bus.close()


async def test_a_consumer_is_restored_after_a_reset(
    vhost: VirtualHost, proxy: Proxy, gateway: RabbitBus, wait_until: WaitUntil
) -> None:
    bus = RabbitBus(vhost.url("billing", host=proxy.address), service="billing", replica="1")
    await bus.connect()
    inbox = Inbox()
    consumer = await bus.consume(KEYS, inbox)
    proxy.reset()
    await wait_until(lambda: _ready(bus), 20)
    await _send(gateway, message(1))
    await wait_until(lambda: inbox.numbers == [1])
    await consumer.pause()
    proxy.reset()
    await wait_until(lambda: _ready(bus), 20)
    await _send(gateway, message(2))
    assert inbox.numbers == [1]  # paused, it stays paused on the new connection
    await consumer.resume()
    await wait_until(lambda: inbox.numbers == [1, 2])
    await bus.close()


async def test_a_consumer_that_is_resumed_while_the_connection_is_made_anew_consumes(
    vhost: VirtualHost, proxy: Proxy, gateway: RabbitBus, wait_until: WaitUntil
) -> None:
    bus = RabbitBus(vhost.url("billing", host=proxy.address), service="billing", replica="1")
    await bus.connect()
    inbox = Inbox()
    consumer = await bus.consume(KEYS, inbox)
    await consumer.pause()
    resumed = asyncio.Event()

    class _Next:
        """Restored after the consumer, and before the link is up."""

        async def restore(self, _: object) -> None:
            await consumer.resume()
            resumed.set()

        async def check(self, _: object) -> None: ...

        async def stop(self) -> None: ...

    bus._consumers.append(cast("RabbitConsumer", _Next()))
    proxy.reset()
    await resumed.wait()
    await wait_until(lambda: _ready(bus), 20)
    await _send(gateway, message(1))
    await wait_until(lambda: inbox.numbers == [1])
    await bus.close()


async def test_a_deleted_queue_is_noticed_and_consumed_again_when_it_is_back(
    broker: RabbitMQ, vhost: VirtualHost, gateway: RabbitBus, wait_until: WaitUntil
) -> None:
    bus = RabbitBus(vhost.url("billing"), service="billing", replica="1")
    await bus.connect()
    inbox = Inbox()
    await bus.consume(KEYS, inbox)
    broker.client.delete(f"/api/queues/{vhost.name}/billing.events").raise_for_status()
    await wait_until(lambda: _not_connected(bus))  # a queue made again sooner would be the old one still going
    broker.import_into(vhost, SUBSCRIPTIONS)
    await wait_until(lambda: _ready(bus), 20)
    await gateway.publish(message(1))
    await wait_until(lambda: inbox.numbers == [1])
    await bus.close()


async def test_a_full_queue_blocks_and_loses_nothing(
    broker: RabbitMQ, vhost: VirtualHost, gateway: RabbitBus, wait_until: WaitUntil
) -> None:
    bus = RabbitBus(vhost.url("billing"), service="billing", replica="1")
    await bus.connect()
    inbox = Inbox()
    consumer = await bus.consume(KEYS, inbox)
    await consumer.pause()
    broker.set_policy(vhost, "small", "^billing.events$", {"max-length": 3, "overflow": "reject-publish"})
    confirmed: list[int] = []

    async def full() -> bool:
        try:
            await gateway.publish(message(len(confirmed)))
        except Blocked:
            return True
        confirmed.append(len(confirmed))
        return False

    await wait_until(full)
    await consumer.resume()
    await wait_until(lambda: inbox.numbers == confirmed)
    await gateway.publish(message(len(confirmed)))
    await bus.close()


async def test_a_probe_that_gives_up_costs_the_consumers_nothing(
    vhost: VirtualHost, proxy: Proxy, gateway: RabbitBus, wait_until: WaitUntil
) -> None:
    inbox = Inbox()
    async with Proxy(vhost.host) as slow:
        bus = RabbitBus(vhost.url("billing", host=slow.address), service="billing", replica="1")
        await bus.connect()
        await bus.consume(KEYS, inbox)
        slow.delay = 1.5
        for within in (0.1, 0.3, 0.7):
            assert await probes.failures({"bus": bus.ping}, within) == {"bus": "no answer in time"}
        slow.delay = 0
        await wait_until(lambda: _ready(bus))
        slow.mode = "swallow to"  # the broker never hears the question, nor may it hear of its end
        assert await probes.failures({"bus": bus.ping}, 0.1) == {"bus": "no answer in time"}
        slow.mode = "pass"
        await gateway.publish(message(1))
        await wait_until(lambda: inbox.numbers == [1])
        assert slow.accepted == 2  # the two connections of the beginning
        await bus.close()


class Bytes(str):
    """A text that is sent as other bytes."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


@pytest.mark.parametrize(
    "strange",
    [{"message_id": Bytes()}, {"type": Bytes()}, {"headers": {Bytes(): "x"}}],
    ids=lambda strange: next(iter(strange)),
)
async def test_properties_that_nobody_can_read_cost_no_connection(
    vhost: VirtualHost, inbox: Inbox, gateway: RabbitBus, wait_until: WaitUntil, strange: dict[str, Any]
) -> None:
    async with await aio_pika.connect(vhost.admin_url) as connection:
        exchange = await (await connection.channel()).get_exchange("keyturn.events")
        sent = aio_pika.Message(b'{"n": 0}')
        for name, value in strange.items():
            setattr(sent, name, value)
        await exchange.publish(sent, KEYS[0])
    await gateway.publish(message(1))
    await wait_until(lambda: inbox.numbers == [0, 1])
    assert not any(delivery.redelivered for delivery in inbox.got)


async def test_an_event_that_nobody_wants_is_kept_where_an_operator_sees_it(
    broker: RabbitMQ, vhost: VirtualHost, gateway: RabbitBus
) -> None:
    await gateway.publish(message(1, "dispute.opened.v1"))
    assert broker.bodies(vhost, "keyturn.unrouted") == [b'{"n": 1}']


async def test_an_unroutable_event_is_refused_where_nothing_keeps_it(
    broker: RabbitMQ, vhost: VirtualHost, gateway: RabbitBus
) -> None:
    broker.client.delete(f"/api/policies/{vhost.name}/unrouted").raise_for_status()
    with pytest.raises(Refused, match="no queue"):
        await gateway.publish(message(1, "dispute.opened.v1"))


async def test_pipelining_keeps_order_across_two_hundred_in_flight(
    gateway: RabbitBus, vhost: VirtualHost, wait_until: WaitUntil
) -> None:
    bus = RabbitBus(vhost.url("billing"), service="billing", replica="1")
    await bus.connect()
    inbox = Inbox()
    await bus.consume(KEYS, inbox, 1)
    await publish_all(gateway, [message(n) for n in range(1000)])
    await wait_until(lambda: len(inbox.got) == 1000, 20)
    assert inbox.numbers == list(range(1000))
    await bus.close()


async def _send(bus: RabbitBus, sent: Message) -> None:
    """As the relay does: again and again until it is confirmed."""
    for _ in range(20):
        with suppress(Unknown):
            await bus.publish(sent)
            return
    pytest.fail("never published")


async def _ready(bus: RabbitBus) -> bool:
    try:
        await bus.ping()
    except Unavailable:
        return False
    return True


async def _not_connected(bus: RabbitBus) -> bool:
    try:
        await bus.ping()
    except Unavailable as error:
        return "not connected" in str(error)
    return False


async def test_a_connection_lost_while_it_is_being_set_up_is_given_up_at_once(
    vhost: VirtualHost, proxy: Proxy, wait_until: WaitUntil
) -> None:
    """What is asked on it then is never answered, and the library says nothing: the time-out is 15 s."""
    tries: list[AbstractConnection] = []

    async def restore(connection: AbstractConnection) -> None:
        tries.append(connection)
        if len(tries) == 1:
            proxy.reset()
            await asyncio.Event().wait()

    link = Link(URL(vhost.url("billing", host=proxy.address)), "billing/consumer/1", restore)
    opening = asyncio.create_task(link.open())
    await wait_until(lambda: link.is_up, CONNECT_SECONDS - 1)
    await opening
    assert len(tries) == 2
    await link.close()
