"""What every transport of the bus must do: one suite, run against `memory://` and against RabbitMQ."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from keyturn.bus import MAX_BODY, Bus, Consumer, Delivery, Message, Refused, Settle, Unknown, connect_bus
from keyturn.bus.memory import MemoryBroker
from keyturn.errors import Unavailable
from support.broker import RabbitMQ
from support.buses import SUBSCRIPTIONS, Inbox, Transport, message, publish_all
from support.waiting import WaitUntil


@pytest.fixture(params=["memory", pytest.param("amqp", marks=pytest.mark.servers)])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made = _memory() if request.param == "memory" else _amqp(request.getfixturevalue("broker"), request)
    yield made
    await asyncio.gather(*(bus.close() for bus in made.buses))


def _memory() -> Transport:
    broker = MemoryBroker()

    async def make(service: str) -> Bus:
        bus = broker.bus(service)
        await bus.connect()
        return bus

    return Transport("memory", make, broker.interrupt)


def _amqp(broker: RabbitMQ, request: pytest.FixtureRequest) -> Transport:
    vhost = broker.create(SUBSCRIPTIONS)
    request.addfinalizer(lambda: broker.delete(vhost))

    async def make(service: str) -> Bus:
        bus = connect_bus(vhost.url(service), service=service, replica="1")
        await bus.connect()
        return bus

    async def interrupt(service: str) -> None:
        await asyncio.to_thread(broker.disconnect, vhost, service)

    return Transport("amqp", make, interrupt)


@pytest.fixture
async def gateway(transport: Transport) -> Bus:
    return await transport.bus("gateway")


@pytest.fixture
async def billing(transport: Transport) -> Bus:
    return await transport.bus("billing")


KEYS = ["payment.captured.v1"]


async def test_what_is_published_arrives_as_it_was(gateway: Bus, billing: Bus, wait_until: WaitUntil) -> None:
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    sent = message(body='{"n": 1, "name": "Zoë"}'.encode())
    await gateway.publish(sent)
    await wait_until(lambda: inbox.got)
    got = inbox.got[0]
    assert not got.redelivered
    headers = {name: value for name, value in got.message.headers.items() if not name.startswith("ce-")}
    assert replace(got.message, headers=headers) == sent


async def test_publish_order_is_kept(gateway: Bus, billing: Bus, wait_until: WaitUntil) -> None:
    inbox = Inbox()
    await billing.consume(KEYS, inbox, 1)
    await publish_all(gateway, [message(n) for n in range(300)])
    await wait_until(lambda: len(inbox.got) == 300)
    assert inbox.numbers == list(range(300))


async def test_only_bound_keys_arrive(gateway: Bus, billing: Bus, transport: Transport, wait_until: WaitUntil) -> None:
    inbox, everything = Inbox(), Inbox()
    await billing.consume(KEYS, inbox)
    await gateway.consume(["#"], everything)
    await gateway.publish(message(1, "payment.failed.v1"))
    await gateway.publish(message(2))
    await wait_until(lambda: len(everything.got) == 2 and inbox.got)
    assert inbox.numbers == [2]


async def test_each_service_gets_its_own_copy(gateway: Bus, transport: Transport, wait_until: WaitUntil) -> None:
    first, second = Inbox(), Inbox()
    await (await transport.bus("billing")).consume(["payment.failed.v1"], first)
    await (await transport.bus("notifier")).consume(["payment.failed.v1"], second)
    await gateway.publish(message(7, "payment.failed.v1"))
    await wait_until(lambda: first.got and second.got)


async def test_replicas_share_the_work(gateway: Bus, transport: Transport, wait_until: WaitUntil) -> None:
    first, second = Inbox(), Inbox()
    for inbox in (first, second):
        await (await transport.bus("billing")).consume(KEYS, inbox, 5)
    await publish_all(gateway, [message(n) for n in range(100)])
    await wait_until(lambda: len(first.got) + len(second.got) == 100)
    assert first.got
    assert second.got


async def test_a_returned_message_comes_again_and_says_so(gateway: Bus, billing: Bus, wait_until: WaitUntil) -> None:
    got: list[Delivery] = []

    async def deliver(delivery: Delivery) -> Settle:
        got.append(delivery)
        return "ack" if delivery.redelivered else "return"

    await billing.consume(KEYS, deliver)
    await gateway.publish(message())
    await wait_until(lambda: len(got) == 2)
    assert [delivery.redelivered for delivery in got] == [False, True]
    assert got[0].message == got[1].message


async def test_a_handler_that_raises_gets_its_message_again(gateway: Bus, billing: Bus, wait_until: WaitUntil) -> None:
    got: list[Delivery] = []

    async def deliver(delivery: Delivery) -> Settle:
        got.append(delivery)
        if not delivery.redelivered:
            raise ValueError("a bug")
        return "ack"

    await billing.consume(KEYS, deliver)
    await gateway.publish(message())
    await wait_until(lambda: len(got) == 2)


async def test_an_unsettled_delivery_blocks_nothing_but_itself(
    gateway: Bus, billing: Bus, wait_until: WaitUntil
) -> None:
    inbox, hold = Inbox(), asyncio.Event()

    async def deliver(delivery: Delivery) -> Settle:
        await inbox(delivery)
        if inbox.numbers[-1] == 0:
            await hold.wait()
        return "ack"

    await billing.consume(KEYS, deliver, 2)
    await publish_all(gateway, [message(n) for n in range(10)])
    await wait_until(lambda: len(inbox.got) == 10)
    hold.set()


async def test_no_more_than_prefetch_are_in_hand(gateway: Bus, billing: Bus, wait_until: WaitUntil) -> None:
    inbox, hold = Inbox(), asyncio.Event()

    async def deliver(delivery: Delivery) -> Settle:
        await inbox(delivery)
        await hold.wait()
        return "ack"

    await billing.consume(KEYS, deliver, 3)
    await publish_all(gateway, [message(n) for n in range(10)])
    await wait_until(lambda: len(inbox.got) >= 3)
    await gateway.publish(message(10))
    assert len(inbox.got) == 3
    hold.set()
    await wait_until(lambda: len(inbox.got) == 11)


async def test_a_stopped_subscriber_delays_nobody_else_and_misses_nothing(
    gateway: Bus, transport: Transport, wait_until: WaitUntil
) -> None:
    key = "payment.failed.v1"
    slow, quick = Inbox(), Inbox()
    consumer = await (await transport.bus("notifier")).consume([key], slow)
    await (await transport.bus("billing")).consume([key], quick)
    await consumer.pause()
    await publish_all(gateway, [message(n, key) for n in range(20)])
    await wait_until(lambda: len(quick.got) == 20)
    assert not slow.got
    await consumer.resume()
    await wait_until(lambda: len(slow.got) == 20)
    assert slow.numbers == list(range(20))


async def test_stop_waits_for_what_is_in_hand_and_takes_no_more(
    gateway: Bus, billing: Bus, wait_until: WaitUntil
) -> None:
    hold, started, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def deliver(_: Delivery) -> Settle:
        started.set()
        await hold.wait()
        finished.set()
        return "ack"

    consumer: Consumer = await billing.consume(KEYS, deliver, 1)
    await gateway.publish(message(1))
    await asyncio.wait_for(started.wait(), 5)
    stopping = asyncio.create_task(consumer.stop())
    await gateway.publish(message(2))
    assert not stopping.done()
    hold.set()
    await asyncio.wait_for(stopping, 5)
    assert finished.is_set()
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    await wait_until(lambda: inbox.got)
    assert inbox.numbers == [2]


async def test_a_lost_connection_brings_back_what_was_in_hand(
    gateway: Bus, billing: Bus, transport: Transport, wait_until: WaitUntil
) -> None:
    inbox, hold = Inbox(), asyncio.Event()

    async def deliver(delivery: Delivery) -> Settle:
        await inbox(delivery)
        if not delivery.redelivered:
            await hold.wait()
        return "ack"

    await billing.consume(KEYS, deliver, 3)
    await publish_all(gateway, [message(n) for n in range(3)])
    await wait_until(lambda: len(inbox.got) == 3)
    await transport.interrupt("billing")
    await wait_until(lambda: len(inbox.got) == 6, 20)
    assert sorted(inbox.numbers[3:]) == [0, 1, 2]
    assert all(delivery.redelivered for delivery in inbox.got[3:])
    await gateway.publish(message(3))
    await wait_until(lambda: 3 in inbox.numbers)
    hold.set()


async def test_close_under_load_loses_nothing(gateway: Bus, transport: Transport, wait_until: WaitUntil) -> None:
    """What was confirmed arrives, whichever replica of the subscriber is there to take it."""
    inbox = Inbox()
    first = await transport.bus("billing")
    await first.consume(KEYS, inbox, 10)
    publishing = asyncio.create_task(publish_all(gateway, [message(n) for n in range(200)]))
    await wait_until(lambda: inbox.got)
    await first.close()
    await publishing
    await (await transport.bus("billing")).consume(KEYS, inbox, 10)
    await wait_until(lambda: set(inbox.numbers) == set(range(200)))


async def test_a_closed_bus_publishes_nothing_and_is_not_ready(gateway: Bus) -> None:
    await gateway.close()
    with pytest.raises(Unknown):
        await gateway.publish(message())
    with pytest.raises(Unavailable):
        await gateway.ping()


async def test_a_consuming_bus_is_ready(billing: Bus) -> None:
    await billing.consume(KEYS, Inbox())
    await billing.ping()


async def test_the_same_event_sent_twice_arrives_twice(gateway: Bus, billing: Bus, wait_until: WaitUntil) -> None:
    """Both at once, too: duplicates are the inbox's business, and neither copy may be taken for the other."""
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    sent = message()
    await publish_all(gateway, [sent, sent])
    await wait_until(lambda: len(inbox.got) == 2)
    assert {delivery.message.id for delivery in inbox.got} == {sent.id}


@pytest.mark.parametrize("body", [b"", b"\x00\xff\xfe", b"{", b'{"specversion": "1.0"}'])
async def test_malformed_input_arrives_as_it_is(gateway: Bus, billing: Bus, wait_until: WaitUntil, body: bytes) -> None:
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    await gateway.publish(message(body=body, subject="", headers={}))
    await wait_until(lambda: inbox.got)
    assert inbox.got[0].message.body == body


async def test_an_event_from_before_what_brokers_take_for_the_beginning_of_time_passes(
    gateway: Bus, billing: Bus, wait_until: WaitUntil
) -> None:
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    await gateway.publish(message(time=datetime(1969, 7, 20, tzinfo=UTC)))
    await wait_until(lambda: inbox.got)


async def test_the_largest_body_passes_and_a_larger_one_is_refused(
    gateway: Bus, billing: Bus, wait_until: WaitUntil
) -> None:
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    with pytest.raises(Refused, match="body"):
        await gateway.publish(message(body=b"x" * (MAX_BODY + 1)))
    await gateway.publish(message(body=b"x" * MAX_BODY))
    await wait_until(lambda: inbox.got)


@pytest.mark.parametrize("headers", [{"n": 1}, {"b": b"x"}, {"long": "x" * 9000}])
async def test_headers_are_short_strings(gateway: Bus, headers: dict[str, str]) -> None:
    with pytest.raises(Refused, match="header"):
        await gateway.publish(message(headers=headers))


@pytest.mark.parametrize("key", ["", "payment.captured." + "x" * 250])
async def test_routing_keys_are_short(gateway: Bus, key: str) -> None:
    with pytest.raises(Refused, match="routing key"):
        await gateway.publish(message(routing_key=key))


async def test_nobody_publishes_as_somebody_else(billing: Bus) -> None:
    with pytest.raises(Refused):
        await billing.publish(message(source="gateway"))


@pytest.mark.parametrize(
    ("exchange", "key"),
    [
        ("keyturn.events", "payment.captured.v1"),
        ("keyturn.queues", "gateway.events"),
        ("keyturn.queues", "notifier.dead"),
        ("", "gateway.events"),
        ("no.such.exchange", "purchase.paid.v1"),
    ],
)
async def test_a_service_publishes_only_its_own_events_and_to_its_own_queues(
    billing: Bus, exchange: str, key: str
) -> None:
    with pytest.raises(Refused):
        await billing.publish(message(source="billing", exchange=exchange, routing_key=key))


async def test_one_refused_message_refuses_no_other(billing: Bus, gateway: Bus, wait_until: WaitUntil) -> None:
    """The broker closes the channel over it, and with it everything in flight: those are unknown, and sent again, one by
    one."""
    inbox = Inbox()
    await gateway.consume(["#"], inbox)
    good = [message(n, "purchase.paid.v1", "billing") for n in range(20)]
    bad = message(99, "payment.captured.v1", "billing")
    all_of_them = [*good[:10], bad, *good[10:]]
    refused = []
    for sent, error in zip(all_of_them, await billing.publish_all(all_of_them), strict=True):
        while isinstance(error, Unknown):
            (error,) = await billing.publish_all([sent])  # noqa: PLW2901 - what became of it in the end
        if error:
            refused.append(sent)
    assert refused == [bad]
    await wait_until(lambda: set(inbox.numbers) == set(range(20)))


async def test_what_was_asked_for_later_is_never_published_before_what_was_not(
    billing: Bus, gateway: Bus, wait_until: WaitUntil
) -> None:
    """What is in flight behind it goes with the channel; what waits for its turn must not take the next one."""
    inbox = Inbox()
    await gateway.consume(["#"], inbox)
    bad = [message(99, "payment.captured.v1", "billing") for _ in range(2)]
    later = [message(n, "purchase.paid.v1", "billing") for n in range(50)]
    outcomes = await asyncio.gather(billing.publish_all(bad), *(billing.publish_all([one]) for one in later))
    confirmed = [n for n, (error,) in enumerate(outcomes[1:]) if error is None]
    assert not confirmed or not any(isinstance(error, Unknown) for error in outcomes[0])
    await billing.publish(message(100, "purchase.paid.v1", "billing"))
    await wait_until(lambda: 100 in inbox.numbers)
    assert inbox.numbers[:-1] == confirmed


async def test_a_service_may_send_to_its_own_queue(billing: Bus, wait_until: WaitUntil) -> None:
    """So a dead event is handled again."""
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    await billing.publish(message(4, source="billing", exchange="keyturn.queues", routing_key="billing.events"))
    await wait_until(lambda: inbox.got)
    assert inbox.got[0].message.type == "payment.captured.v1"
    assert inbox.got[0].message.source == "billing"


async def test_the_dead_queue_is_shown_whole_and_in_order_and_only_what_may_go_is_removed(
    billing: Bus, wait_until: WaitUntil
) -> None:
    to_the_dead = {"source": "billing", "exchange": "keyturn.queues", "routing_key": "billing.dead"}
    for start in range(0, 450, 150):
        await publish_all(billing, [message(n, **to_the_dead) for n in range(start, start + 150)])
    shown: list[int] = []

    async def every_other(messages: Sequence[Message]) -> Sequence[bool]:
        numbers = [json.loads(found.body)["n"] for found in messages]
        shown.extend(numbers)
        return [n % 2 == 0 for n in numbers]

    await billing.sift_dead(every_other)
    assert shown == list(range(450))

    async def the_others_are_left() -> bool:
        """The broker puts back what stays a moment after it was looked at; with it what it was told may go, if the
        channel closed before it got to that."""
        shown.clear()
        await billing.sift_dead(every_other)
        return shown == list(range(1, 450, 2))

    await wait_until(the_others_are_left)


async def test_an_empty_dead_queue_shows_nothing_and_a_closed_bus_says_that_it_is_away(billing: Bus) -> None:
    async def never(_: Sequence[Message]) -> Sequence[bool]:
        pytest.fail("there is nothing to show")

    await billing.sift_dead(never)
    await billing.close()
    with pytest.raises(Unavailable):
        await billing.sift_dead(never)


async def test_cancelling_a_publish_harms_no_other(gateway: Bus, billing: Bus, wait_until: WaitUntil) -> None:
    inbox = Inbox()
    await billing.consume(KEYS, inbox)
    for n in range(20):
        task = asyncio.create_task(gateway.publish(message(100 + n)))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await gateway.publish(message(1))
    await wait_until(lambda: 1 in inbox.numbers)
