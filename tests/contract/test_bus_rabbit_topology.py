"""The definitions on a real broker: who may do what, and where messages end up."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError

from keyturn.bus import Delivery, Settle
from keyturn.bus.rabbit import RabbitBus
from keyturn.bus.topology import DELIVERY_LIMIT, SERVICES
from support.broker import RabbitMQ, VirtualHost
from support.buses import SUBSCRIPTIONS, Inbox, message
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

KEYS = ["payment.captured.v1"]


@pytest.fixture
def vhost(broker: RabbitMQ) -> Iterator[VirtualHost]:
    made = broker.create(SUBSCRIPTIONS)
    yield made
    broker.delete(made)


@pytest.fixture
async def channel(vhost: VirtualHost) -> AsyncIterator[AbstractChannel]:
    """Billing's user, without our library in between."""
    connection = await aio_pika.connect(vhost.url("billing"))
    yield await connection.channel(on_return_raises=True)
    await connection.close()


@pytest.fixture
async def billing(vhost: VirtualHost) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(vhost.url("billing"), service="billing", replica="7")
    await bus.connect()
    yield bus
    await bus.close()


async def test_importing_the_definitions_again_changes_nothing(broker: RabbitMQ, vhost: VirtualHost) -> None:
    before = broker.exported(vhost)
    broker.import_into(vhost, SUBSCRIPTIONS)
    assert broker.exported(vhost) == before
    assert {queue["name"] for queue in before["queues"]} == {
        "keyturn.unrouted",
        *(f"{service}.{kind}" for service in SERVICES for kind in ("events", "dead")),
    }


async def test_nobody_declares_a_queue(channel: AbstractChannel) -> None:
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await channel.declare_queue("billing.more", durable=True)


async def test_nobody_declares_his_own_queue_actively(channel: AbstractChannel) -> None:
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await channel.declare_queue("billing.events", durable=True, arguments={"x-queue-type": "quorum"})


async def test_nobody_deletes_his_own_queue(channel: AbstractChannel) -> None:
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await channel.queue_delete("billing.events")


async def test_nobody_reads_another_s_queue(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("gateway.events", ensure=False)
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await queue.get(fail=False)


async def test_nobody_binds_another_s_queue(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("notifier.events", ensure=False)
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await queue.bind("keyturn.events", "payment.captured.v1")


async def test_nobody_binds_a_key_outside_his_subscriptions(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("billing.events", ensure=False)
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await queue.bind("keyturn.events", "setup_link.issued.v1")


async def test_a_newer_version_of_a_subscribed_event_needs_no_new_right(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("billing.events", ensure=False)
    await queue.bind("keyturn.events", "payment.captured.v2")


async def test_nobody_forges_the_publisher(channel: AbstractChannel) -> None:
    exchange = await channel.get_exchange("keyturn.events", ensure=False)
    with pytest.raises(AMQPError, match="user_id"):
        await exchange.publish(aio_pika.Message(b"{}", user_id="gateway"), "purchase.paid.v1")


async def test_whoever_says_he_is_another_is_delivered_as_who_he_is(
    channel: AbstractChannel, billing: RabbitBus, wait_until: WaitUntil
) -> None:
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    exchange = await channel.get_exchange("keyturn.queues", ensure=False)
    await exchange.publish(aio_pika.Message(b"{}", user_id="billing", app_id="gateway"), "billing.events")
    await exchange.publish(aio_pika.Message(b"{}", app_id="gateway"), "billing.events")
    await wait_until(lambda: len(inbox.got) == 2)
    assert [delivery.message.source for delivery in inbox.got] == ["billing", ""]


async def test_where_all_share_one_user_each_is_who_he_says(vhost: VirtualHost, wait_until: WaitUntil) -> None:
    """A developer's broker: its rights tell nobody apart."""
    gateway, billing = (RabbitBus(vhost.admin_url, service=s, replica="1") for s in ("gateway", "billing"))
    inbox = Inbox()
    for bus in (gateway, billing):
        await bus.connect()
    await billing.consume(KEYS, inbox)
    await gateway.publish(message(1))
    await wait_until(lambda: inbox.got)
    assert inbox.got[0].message.source == "gateway"
    for bus in (gateway, billing):
        await bus.close()


async def test_what_is_returned_too_often_is_a_visible_dead_letter(
    broker: RabbitMQ, vhost: VirtualHost, billing: RabbitBus, wait_until: WaitUntil
) -> None:
    tries: list[Delivery] = []

    async def deliver(delivery: Delivery) -> Settle:
        tries.append(delivery)
        return "return"

    await billing.consume(KEYS, deliver)
    sent = message(5, source="billing", exchange="keyturn.queues", routing_key="billing.events")
    await billing.publish(sent)
    await wait_until(lambda: broker.bodies(vhost, "billing.dead") == [sent.body], 15)
    assert len(tries) == DELIVERY_LIMIT + 1


async def test_looking_at_a_dead_letter_loses_it_never(
    broker: RabbitMQ, vhost: VirtualHost, billing: RabbitBus, wait_until: WaitUntil
) -> None:
    await billing.publish(message(6, source="billing", exchange="keyturn.queues", routing_key="billing.dead"))
    for _ in range(60):
        assert len(broker.bodies(vhost, "billing.dead")) == 1


async def test_connections_say_whose_they_are(
    broker: RabbitMQ, vhost: VirtualHost, billing: RabbitBus, wait_until: WaitUntil
) -> None:
    def named() -> bool:
        connections = broker.client.get(f"/api/vhosts/{vhost.name}/connections").json()
        names = {connection["client_properties"].get("connection_name") for connection in connections}
        return names == {"billing/publisher/7", "billing/consumer/7"}

    await wait_until(lambda: asyncio.to_thread(named), 15)
