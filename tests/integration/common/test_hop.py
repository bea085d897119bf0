"""From one service's commit to another's effect, through both transports."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from keyturn.bus import Bus, connect_bus
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.database import Database, Transaction
from keyturn.events import PurchaseExpired
from keyturn.handling import Consumer
from keyturn.relay import Relay
from support.data_plane import METADATA, expired, one, publish

pytestmark = pytest.mark.servers


@pytest.fixture(params=["memory", "rabbit"])
async def buses(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Bus, Bus]]:
    if request.param == "memory":
        broker = MemoryBroker()
        made: list[Bus] = [broker.bus("billing"), broker.bus("gateway")]
    else:
        vhost = request.getfixturevalue("rabbitmq")
        made = [connect_bus(vhost.url(name), service=name, replica="test") for name in ("billing", "gateway")]
    for bus in made:
        await bus.connect()
    yield made[0], made[1]
    for bus in made:
        await bus.close()


async def on_purchase_expired(event: PurchaseExpired, tx: Transaction) -> None:
    await tx.run("INSERT INTO effects (what, n) VALUES ($1, 1)", event.subject)


async def test_rules_2_and_3_every_committed_event_has_its_effect_once(
    buses: tuple[Bus, Bus], database_url: Any, clock: MovableClock, wait_until: Any
) -> None:
    billing = Database(await database_url(METADATA), service="billing", clock=clock)
    listener = Database(await database_url(METADATA), service="gateway", clock=clock)
    consumer = Consumer(listener, buses[1], {PurchaseExpired: on_purchase_expired})
    await consumer.start()
    relay = Relay(billing, buses[0])
    await relay.start()
    await publish(billing, *(expired() for _ in range(300)))

    async def all_there() -> bool:
        return bool(await one(listener, "SELECT count(*) FROM effects") == 300)

    await wait_until(all_there, 30)
    await consumer.stop()
    await relay.stop()
    assert await one(listener, "SELECT count(DISTINCT what) FROM effects") == 300
    assert await one(billing, "SELECT count(*) FROM outbox WHERE published IS NULL") == 0
    for database in (billing, listener):
        await database.close()
