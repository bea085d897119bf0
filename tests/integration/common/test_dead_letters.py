"""What the broker itself moves to the dead queue gets its row, and what is not dead any more leaves the queue."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from keyturn.bus import Bus, Delivery, Message, Settle, connect_bus
from keyturn.bus.memory import MemoryBroker
from keyturn.bus.topology import QUEUES_EXCHANGE
from keyturn.clock import MovableClock
from keyturn.database import Database, Transaction
from keyturn.dead_letters import EVERY, reconcile, work_kind
from keyturn.errors import GiveUp
from keyturn.events import PurchaseExpired
from keyturn.handling import Consumer
from keyturn.internal import Caller
from keyturn.operations import Order, Selection, act, causes
from keyturn.relay import Relay
from keyturn.worker import Worker
from support.broker import RabbitMQ, VirtualHost
from support.data_plane import METADATA, expired, one
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

ANNA = Caller(actor="anna", role="operator")
WIRE = PurchaseExpired.wire


@dataclass
class Dead:
    """A bus whose broker moves messages to the dead queue by itself, and how to look at that queue as management
    does."""

    billing: Bus
    gateway: Bus
    bodies: Callable[[], list[bytes]]


@pytest.fixture(params=["memory", "rabbit"])
async def dead(request: pytest.FixtureRequest) -> AsyncIterator[Dead]:
    if request.param == "memory":
        memory = MemoryBroker()
        made = Dead(
            memory.bus("billing"), memory.bus("gateway"), lambda: [found.body for found in memory.dead["gateway"]]
        )
    else:
        rabbitmq: VirtualHost = request.getfixturevalue("rabbitmq")
        broker: RabbitMQ = request.getfixturevalue("broker")
        billing, gateway = (
            connect_bus(rabbitmq.url(name), service=name, replica="test") for name in ("billing", "gateway")
        )
        made = Dead(billing, gateway, lambda: broker.bodies(rabbitmq, "gateway.dead"))
    for bus in (made.billing, made.gateway):
        await bus.connect()
    yield made
    for bus in (made.billing, made.gateway):
        await bus.close()


@pytest.fixture
async def database(database_url: Any, clock: MovableClock) -> AsyncIterator[Database]:
    made = Database(await database_url(METADATA), service="gateway", clock=clock)
    yield made
    await made.close()


async def on_purchase_expired(event: PurchaseExpired, tx: Transaction) -> None:
    await tx.run("INSERT INTO effects (what, n) VALUES ($1, 1)", event.subject)


def message(event: PurchaseExpired) -> Message:
    body = event.to_bytes("billing")
    return Message(str(event.id), WIRE, event.subject, "billing", event.time, body, routing_key=WIRE)


async def let_the_broker_give_up(dead: Dead, event: PurchaseExpired, wait_until: WaitUntil) -> None:
    """As a consumer that dies of it again and again."""

    async def give_back(_: Delivery) -> Settle:
        return "return"

    before = len(dead.bodies())
    consumer = await dead.gateway.consume([WIRE], give_back)
    await dead.billing.publish(message(event))
    await wait_until(lambda: len(dead.bodies()) == before + 1)
    await consumer.stop()


async def test_what_the_broker_gave_up_gets_a_dead_row_and_stays_in_sight(
    dead: Dead, database: Database, wait_until: WaitUntil
) -> None:
    event = expired(str(uuid4()))
    await let_the_broker_give_up(dead, event, wait_until)
    for _ in range(2):  # a second look changes nothing
        await reconcile(database, dead.gateway)
    async with database.transaction("look") as tx:
        (row,) = await tx.run("SELECT kind, key, subject, state, cause, body, payload FROM work")
    assert (row.kind, row.key, row.subject, row.state) == ("event", str(event.id), event.subject, "dead")
    assert row.cause == "purchase.expired.v1 broker: delivery limit"
    assert row.payload == {"wire": WIRE, "published_by": "billing"}
    assert dead.bodies() == [row.body] == [event.to_bytes("billing")]
    assert await one(database, "SELECT count(*) FROM outbox") == 0


async def test_once_it_is_tried_again_it_has_its_effect_and_leaves_the_dead_queue(
    dead: Dead, database: Database, wait_until: WaitUntil
) -> None:
    await let_the_broker_give_up(dead, expired(str(uuid4())), wait_until)
    other = expired(str(uuid4()))
    await let_the_broker_give_up(dead, other, wait_until)
    await reconcile(database, dead.gateway)
    (cause,) = await causes(database)
    assert cause["count"] == 2
    first = await one(database, "SELECT id FROM work WHERE key <> $1", str(other.id))
    await act(database, Order("retry", Selection("ids", [first]), ANNA, "mended"))
    worker: Worker[None] = Worker(database, {}, None, handlers={PurchaseExpired: on_purchase_expired})
    await worker.start()

    async def done() -> bool:
        return bool(await one(database, "SELECT state FROM work WHERE id = $1", first) == "done")

    await wait_until(done)
    await worker.stop()
    assert await one(database, "SELECT count(*) FROM effects") == 1
    await reconcile(database, dead.gateway)
    assert dead.bodies() == [other.to_bytes("billing")]


async def test_what_was_handled_though_the_broker_never_heard_of_it_needs_no_row(
    dead: Dead, database: Database, wait_until: WaitUntil
) -> None:
    event = expired(str(uuid4()))
    handled = Consumer(database, dead.gateway, {PurchaseExpired: on_purchase_expired})
    assert await handled.deliver(Delivery(message(event), redelivered=False)) == "ack"
    await let_the_broker_give_up(dead, event, wait_until)
    await reconcile(database, dead.gateway)
    assert dead.bodies() == []
    assert await one(database, "SELECT count(*) FROM work") == 0


@pytest.mark.parametrize("action", ["resolve", "discard"])
async def test_our_own_copies_stay_while_their_row_is_dead_and_go_with_it(
    dead: Dead, database: Database, wait_until: WaitUntil, action: Any
) -> None:
    async def on_nothing(_: PurchaseExpired, __: Transaction) -> None:
        raise GiveUp("never")

    consumer = Consumer(database, dead.gateway, {PurchaseExpired: on_nothing})
    for _ in range(3):
        await consumer.deliver(Delivery(message(expired(str(uuid4()))), redelivered=False))
    relay = Relay(database, dead.gateway)
    await relay.start()
    await wait_until(lambda: len(dead.bodies()) == 3)
    await relay.stop()
    await reconcile(database, dead.gateway)
    assert len(dead.bodies()) == 3
    await act(database, Order(action, Selection("all"), ANNA, "seen to"))
    await reconcile(database, dead.gateway)
    assert dead.bodies() == []


async def test_of_several_copies_one_stays(dead: Dead, database: Database, wait_until: WaitUntil) -> None:
    event = expired(str(uuid4()))
    for _ in range(2):
        await let_the_broker_give_up(dead, event, wait_until)
    await reconcile(database, dead.gateway)
    assert len(dead.bodies()) == 1
    assert await one(database, "SELECT count(*) FROM work") == 1


async def test_unreadable_bytes_get_a_row_as_well(dead: Dead, database: Database, wait_until: WaitUntil) -> None:
    event = expired(str(uuid4()))
    own = replace(message(event), type="", source="gateway", body=b"\xff")
    for _ in range(2):
        await dead.gateway.publish(replace(own, exchange=QUEUES_EXCHANGE, routing_key="gateway.dead"))
    await wait_until(lambda: len(dead.bodies()) == 2)
    await reconcile(database, dead.gateway)
    assert await one(database, "SELECT cause FROM work") == "unreadable broker: put there by hand"
    assert dead.bodies() == [b"\xff"]


async def test_it_happens_by_itself_every_minute(
    dead: Dead, database: Database, clock: MovableClock, wait_until: WaitUntil
) -> None:
    worker: Worker[None] = Worker(database, {"dead_letters": work_kind(dead.gateway)}, None)
    await worker.start()

    async def first_run_is_over() -> bool:
        return bool(await one(database, "SELECT due > $1 FROM work WHERE kind = 'dead_letters'", clock.now()))

    await wait_until(first_run_is_over)
    await let_the_broker_give_up(dead, expired(str(uuid4())), wait_until)
    clock.move(EVERY + timedelta(seconds=1))

    async def there() -> bool:
        return bool(await one(database, "SELECT count(*) FROM work WHERE state = 'dead'") == 1)

    await wait_until(there)
    await worker.stop()
