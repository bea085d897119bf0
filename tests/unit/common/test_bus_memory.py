"""What only the bus in memory does: misbehave on demand, and show what it holds."""

import asyncio
from collections.abc import Sequence

import pytest

from keyturn.bus import Blocked, Delivery, Message, Settle, connect_bus
from keyturn.bus.memory import MemoryBroker, MemoryBus, matches
from keyturn.bus.topology import DELIVERY_LIMIT
from support.buses import Inbox, message
from support.waiting import WaitUntil

KEYS = ["payment.captured.v1"]


async def _bus(broker: MemoryBroker, service: str) -> MemoryBus:
    bus = broker.bus(service)
    await bus.connect()
    return bus


@pytest.mark.parametrize(("fate", "numbers"), [((0.0, 0.0), [1, 1, 2]), ((0.02,), [2, 1]), ((), [2])])
async def test_it_delivers_twice_late_or_never_when_told_to(
    fate: Sequence[float], numbers: list[int], wait_until: WaitUntil
) -> None:
    def fate_of(_service: str, sent: Message) -> Sequence[float]:
        return fate if sent.subject.endswith("_1") else (0.0,)

    broker, inbox = MemoryBroker(fate=fate_of), Inbox()
    await (await _bus(broker, "billing")).consume(KEYS, inbox, 1)
    gateway = await _bus(broker, "gateway")
    for n in (1, 2):
        await gateway.publish(message(n))
    await wait_until(lambda: inbox.numbers == numbers, 2)


async def test_a_full_queue_blocks_its_publishers_and_the_others_have_the_message(wait_until: WaitUntil) -> None:
    broker, quick = MemoryBroker(limit=2), Inbox()
    slow = await (await _bus(broker, "notifier")).consume(["#"], Inbox())
    await slow.pause()
    await (await _bus(broker, "billing")).consume(["#"], quick)
    gateway = await _bus(broker, "gateway")
    for n in range(2):
        await gateway.publish(message(n))
    with pytest.raises(Blocked, match="notifier"):
        await gateway.publish(message(2))
    await wait_until(lambda: quick.numbers == [0, 1, 2])
    await slow.resume()
    await gateway.publish(message(3))


async def test_what_is_returned_too_often_is_dead(wait_until: WaitUntil) -> None:
    broker, tries = MemoryBroker(), []

    async def deliver(delivery: Delivery) -> Settle:
        tries.append(delivery)
        return "return"

    await (await _bus(broker, "billing")).consume(KEYS, deliver)
    await (await _bus(broker, "gateway")).publish(message(1))
    await wait_until(lambda: broker.dead["billing"])
    assert len(tries) == DELIVERY_LIMIT + 1


async def test_what_nobody_wants_is_kept_for_looking_at() -> None:
    broker = MemoryBroker()
    await (await _bus(broker, "gateway")).publish(message(1))
    assert [kept.routing_key for kept in broker.unrouted] == KEYS


async def test_a_dead_copy_is_shown() -> None:
    broker = MemoryBroker()
    billing = await _bus(broker, "billing")
    await billing.publish(message(1, source="billing", exchange="keyturn.queues", routing_key="billing.dead"))
    assert [kept.type for kept in broker.dead["billing"]] == KEYS


async def test_messages_that_come_back_keep_their_order(wait_until: WaitUntil) -> None:
    broker, inbox, hold = MemoryBroker(), Inbox(), asyncio.Event()

    async def deliver(delivery: Delivery) -> Settle:
        await inbox(delivery)
        await hold.wait()
        return "ack"

    await (await _bus(broker, "billing")).consume(KEYS, deliver, 3)
    gateway = await _bus(broker, "gateway")
    for n in range(5):
        await gateway.publish(message(n))
    await wait_until(lambda: len(inbox.got) == 3)
    hold.set()
    await broker.interrupt("billing")
    await wait_until(lambda: len(inbox.got) == 8)
    assert inbox.numbers == [0, 1, 2, 0, 1, 2, 3, 4]


async def test_one_address_is_one_bus_in_a_process(wait_until: WaitUntil) -> None:
    inbox = Inbox()
    billing = connect_bus("memory://shared-test", service="billing", replica="1")
    gateway = connect_bus("memory://shared-test", service="gateway", replica="1")
    for bus in (billing, gateway):
        await bus.connect()
    await billing.consume(KEYS, inbox)
    await gateway.publish(message(1))
    await wait_until(lambda: inbox.got)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="redis"):
        connect_bus("redis://127.0.0.1", service="billing", replica="1")


def test_a_broker_s_certificate_is_always_checked() -> None:
    with pytest.raises(ValueError, match="certificate"):
        connect_bus("amqps://billing:x@broker/keyturn?no_verify_ssl=1", service="billing", replica="1")


@pytest.mark.parametrize(
    ("pattern", "key", "does"),
    [
        ("#", "payment.captured.v1", True),
        ("payment.#", "payment.captured.v1", True),
        ("payment.#", "payment", True),
        ("payment.*.v1", "payment.captured.v1", True),
        ("*", "payment.captured.v1", False),
        ("payment.captured.v1", "payment.captured.v1", True),
        ("payment.captured", "payment.captured.v1", False),
        ("#.v2", "payment.captured.v1", False),
        ("#.v1", "payment.captured.v1", True),
    ],
)
def test_topic_keys_match_as_the_broker_matches_them(pattern: str, key: str, does: bool) -> None:
    assert matches(pattern, key) is does
