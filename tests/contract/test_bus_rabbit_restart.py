"""A broker of our own that is killed, and that runs short of memory."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from keyturn.bus import Blocked, Delivery, Message, NotPublished, Settle, Unknown
from keyturn.bus.rabbit import RabbitBus
from keyturn.bus.topology import MONITORING, SERVICES
from support import rabbitmq
from support.broker import RabbitMQ, VirtualHost
from support.buses import SUBSCRIPTIONS, Inbox, message
from support.waiting import WaitUntil

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("private-rabbitmq")]

DEFINITIONS = Path(__file__).parents[2] / "deploy/rabbitmq/definitions.json"


@pytest.fixture
def vhost(private: rabbitmq.PrivateRabbitMQ) -> Iterator[VirtualHost]:
    admin = RabbitMQ(private.url, private.management_url)
    yield admin.create(SUBSCRIPTIONS)
    admin.close()


@pytest.fixture
async def gateway(vhost: VirtualHost) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(vhost.url("gateway"), service="gateway", replica="1")
    await bus.connect()
    yield bus
    await bus.close()


@pytest.fixture
async def impatient(vhost: VirtualHost) -> AsyncIterator[RabbitBus]:
    """Gives a confirm one second."""
    bus = RabbitBus(vhost.url("gateway"), service="gateway", replica="2", confirm_seconds=1)
    await bus.connect()
    yield bus
    await bus.close()


@pytest.fixture
async def inbox(vhost: VirtualHost) -> AsyncIterator[Inbox]:
    bus = RabbitBus(vhost.url("billing"), service="billing", replica="1")
    await bus.connect()
    inbox = Inbox()
    await bus.consume(["payment.captured.v1"], inbox)
    yield inbox
    await bus.close()


async def test_a_killed_broker_loses_nothing_that_it_confirmed_and_everybody_comes_back(
    private: rabbitmq.PrivateRabbitMQ, gateway: RabbitBus, inbox: Inbox, wait_until: WaitUntil
) -> None:
    confirmed: list[int] = []

    async def send(sent: Message, n: int) -> None:
        await _until_confirmed(gateway, sent)
        confirmed.append(n)

    sending = [asyncio.create_task(send(message(n), n)) for n in range(500)]
    await wait_until(lambda: len(confirmed) > 50)
    private.kill()
    await asyncio.to_thread(lambda: private.launch().wait())
    await asyncio.gather(*sending)
    await wait_until(lambda: set(inbox.numbers) == set(range(500)), 60)


async def test_a_broker_short_of_memory_blocks_and_takes_more_when_it_has_some(
    private: rabbitmq.PrivateRabbitMQ, vhost: VirtualHost, impatient: RabbitBus, inbox: Inbox, wait_until: WaitUntil
) -> None:
    """Only whoever publishes is blocked: what was consumed is acknowledged meanwhile, on a connection of its own."""
    other, hold, in_hand = RabbitBus(vhost.url("notifier"), service="notifier", replica="1"), asyncio.Event(), Inbox()

    async def slow(delivery: Delivery) -> Settle:
        await in_hand(delivery)
        await hold.wait()
        return "ack"

    await other.connect()
    await other.consume(["payment.failed.v1"], slow)
    await impatient.publish(message(0, "payment.failed.v1"))
    await wait_until(lambda: in_hand.got)
    await asyncio.to_thread(private.control, "set_vm_memory_high_watermark", "absolute", "1")
    sent = message(1)
    with pytest.raises(Unknown):  # before the broker has said so, the message may lie in the socket, or not
        await impatient.publish(sent)
    with pytest.raises(Blocked):
        await impatient.publish(message(2))
    hold.set()
    await other.close()
    await asyncio.to_thread(private.control, "set_vm_memory_high_watermark", "0.6")
    for following in (sent, message(3)):
        await _until_confirmed(impatient, following)
    await wait_until(lambda: 1 in inbox.numbers)
    await wait_until(lambda: inbox.numbers[-1] == 3)
    assert 2 not in inbox.numbers
    admin = RabbitMQ(private.url, private.management_url)
    assert admin.bodies(vhost, "notifier.events") == []
    admin.close()


async def test_the_shipped_definitions_are_set_up_by_command_and_again_without_harm(
    private: rabbitmq.PrivateRabbitMQ, wait_until: WaitUntil
) -> None:
    """As compose does it: users with passwords from the environment, then the file."""
    passwords = {f"{user.upper()}_BUS_PASSWORD": "test" for user in (*SERVICES, MONITORING)}
    command = [sys.executable, "-m", "keyturn.bus.setup", str(DEFINITIONS)]
    for _ in range(2):
        await asyncio.to_thread(
            subprocess.run, command, check=True, env={**passwords, "BUS_ADMIN_URL": private.management_url}
        )
    gateway, billing = (
        RabbitBus(f"amqp://{service}:test@127.0.0.1:{private.port}/keyturn", service=service, replica="1")
        for service in ("gateway", "billing")
    )
    inbox = Inbox()
    for bus in (gateway, billing):
        await bus.connect()
    await billing.consume(["payment.captured.v1"], inbox)
    await billing.ping()
    await gateway.publish(message(1))
    await wait_until(lambda: inbox.got)
    for bus in (gateway, billing):
        await bus.close()


async def _until_confirmed(bus: RabbitBus, sent: Message) -> None:
    """As the relay does."""
    async with asyncio.timeout(60):
        while True:
            with suppress(NotPublished):
                return await bus.publish(sent)
            await asyncio.sleep(0.05)  # a broker that is starting refuses at once
