"""DESIGN §6 rules 2 and 3: thousands of events, while the broker and every process around it are killed at random."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from keyturn.bus import Delivery, Settle, connect_bus
from keyturn.clock import SystemClock
from keyturn.database import Database
from keyturn.events import OperatorActed, read
from support.broker import RabbitMQ, VirtualHost
from support.chaos import Place, Victim, consumer, relay
from support.data_plane import METADATA, acted, one
from support.rabbitmq import PrivateRabbitMQ
from support.waiting import WaitUntil

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("private-rabbitmq")]

SEED = 20_261_121
EVENTS = 1_500  # 10,000 take a minute on two cores, and meet the same kills
SUBJECTS = 200
A_COMMIT = 10  # events in one transaction
KILLS = 12  # each at a random point of progress, not of time: so a slow machine meets the same
BROKER_KILLS = 1
PATIENCE = 60.0
WIRE = OperatorActed.wire


class Watcher:
    """Subscribes to everything, and notes in which order the events of each subject arrive for the first time."""

    def __init__(self) -> None:
        self.seen: defaultdict[str, list[int]] = defaultdict(list)
        self.copies: Counter[tuple[str, int]] = Counter()

    async def __call__(self, delivery: Delivery) -> Settle:
        event = read(delivery.message.body)
        assert isinstance(event, OperatorActed)
        number = event.after["n"]
        if not self.copies[event.subject, number]:
            self.seen[event.subject].append(number)
        self.copies[event.subject, number] += 1
        return "ack"

    @property
    def inversions(self) -> int:
        return sum(a > b for numbers in self.seen.values() for a, b in pairwise(numbers))


@pytest.fixture
def vhost(private: PrivateRabbitMQ) -> VirtualHost:
    admin = RabbitMQ(private.url, private.management_url)
    made = admin.create({"billing": [], "gateway": [WIRE], "notifier": [WIRE], "provisioner": []})
    admin.close()
    return made


@pytest.fixture
async def databases(database_url: Any) -> AsyncIterator[dict[str, Database]]:
    made = {
        name: Database(await database_url(METADATA), service=name, clock=SystemClock())
        for name in ("billing", "gateway")
    }
    yield made
    for database in made.values():
        await database.close()


async def test_rules_2_and_3_nothing_is_lost_or_done_twice_whoever_is_killed_whenever(
    private: PrivateRabbitMQ,
    vhost: VirtualHost,
    databases: dict[str, Database],
    tmp_path: Path,
    wait_until: WaitUntil,
    record_property: Any,
) -> None:
    chance = random.Random(SEED)
    began = time.monotonic()
    roles = {"billing": relay, "gateway": consumer}
    victims = [
        Victim(roles[name], Place(name, databases[name].dsn, vhost.url(name), tmp_path / f"{name}-{replica}.log"))
        for name in roles
        for replica in (1, 2)
    ]
    watcher = Watcher()
    watching = connect_bus(vhost.url("notifier"), service="notifier", replica="watcher")
    await watching.connect()
    await watching.consume([WIRE], watcher, 200)

    # A queue gets what was published after its service first bound its keys to it.
    await wait_until(lambda: all(victim.is_up() for victim in victims), PATIENCE)

    async def progress() -> int:
        """Arrivals and effects: twice the number of events in the end."""
        return len(watcher.copies) + int(await one(databases["gateway"], "SELECT count(*) FROM effects"))

    async def reached(point: int) -> None:
        async def there() -> bool:
            return await progress() >= point

        await wait_until(there, PATIENCE)

    published = asyncio.create_task(_publish(databases["billing"], random.Random(SEED)))
    points = sorted(chance.sample(range(2 * EVENTS), KILLS))
    broker_dies = set(chance.sample(points[: KILLS // 2], BROKER_KILLS))
    died = 0
    for point in points:
        await reached(point)
        back = asyncio.create_task(_kill_broker(private)) if point in broker_dies else None
        victim = chance.choice(victims)
        died += victim.ended_by_itself
        victim.kill()
        victim.start()
        if back:
            await back
    await published
    await reached(2 * EVENTS)
    await wait_until(lambda: all(victim.is_up() for victim in victims))
    died += sum(victim.stop() != 0 for victim in victims)
    await watching.close()

    async with databases["gateway"].transaction("count") as tx:
        (found,) = await tx.run("SELECT count(*) AS effects, count(DISTINCT (what, n)) AS events FROM effects")
        dead = (await tx.run("SELECT count(*) FROM work WHERE kind = 'event'"))[0][0]
    report = {
        "events": EVENTS,
        "processes killed": KILLS,
        "broker killed": BROKER_KILLS,
        "copies": watcher.copies.total() - EVENTS,
        "seconds": round(time.monotonic() - began, 1),
        "lost": EVENTS - found.events,
        "done more than once": found.effects - found.events,
        "inversions": watcher.inversions,
        "died of themselves": died,
        "unpublished": await one(databases["billing"], "SELECT count(*) FROM outbox WHERE published IS NULL"),
        "failed events": dead,
    }
    for name, value in report.items():
        record_property(name, value)
    print(report)  # noqa: T201 - what this test is for
    wrong = ("lost", "done more than once", "inversions", "died of themselves", "unpublished", "failed events")
    assert {name: report[name] for name in wrong} == dict.fromkeys(wrong, 0), report


async def _publish(database: Database, chance: random.Random) -> None:
    """Over the whole time: subjects at random, each one's events counted up."""
    subjects = [str(uuid4()) for _ in range(SUBJECTS)]
    numbers: Counter[str] = Counter()
    for _ in range(EVENTS // A_COMMIT):
        async with database.transaction("publish") as tx:
            for subject in (chance.choice(subjects) for _ in range(A_COMMIT)):
                numbers[subject] += 1
                tx.publish(acted(subject, numbers[subject]))
        await asyncio.sleep(chance.uniform(0, 0.01))


async def _kill_broker(broker: PrivateRabbitMQ) -> None:
    broker.kill()
    await asyncio.to_thread(lambda: broker.launch().wait())
