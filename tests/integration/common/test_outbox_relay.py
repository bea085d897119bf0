"""DESIGN §6 rule 2: state and the events about it commit together; every event that happened is published."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from keyturn.bus import Blocked, Message, Refused, Unknown
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.database import Database
from keyturn.leader import BATCH, IN_FLIGHT, MARK, READ, ROOM, Leader
from keyturn.outbox import INSERT, columns, event_row
from keyturn.relay import PLAN, Relay
from keyturn.replay import replay
from support.data_plane import METADATA, Wire, acted, expired, one, publish

pytestmark = pytest.mark.servers

UNPUBLISHED = "SELECT count(*) FROM outbox WHERE published IS NULL"


@pytest.fixture
async def database(database_url: Any, clock: MovableClock) -> AsyncIterator[Database]:
    made = Database(await database_url(METADATA), service="billing", clock=clock)
    yield made
    await made.close()


@pytest.fixture
async def relay_on(database: Database) -> AsyncIterator[Any]:
    started: list[Relay] = []

    async def start(wire: Any, on: Database = database) -> Relay:
        relay = Relay(on, wire)
        started.append(relay)
        await relay.start()
        return relay

    yield start
    for relay in started:
        await relay.stop()


async def test_rule_2_an_event_is_published_with_its_commit_and_not_without(
    database: Database, relay_on: Any, wait_until: Any
) -> None:
    wire = Wire()
    await relay_on(wire)
    kept, undone = expired(), expired()
    with pytest.raises(RuntimeError):
        await _publish_and_fail(database, undone)
    await publish(database, kept)
    await wait_until(lambda: wire.sent)
    assert wire.subjects() == [kept.subject]
    document = json.loads(wire.sent[0].body)
    assert document["id"] == str(kept.id)
    assert document["source"] == "/billing"
    assert document["traceparent"] == wire.sent[0].headers["traceparent"]


async def _publish_and_fail(database: Database, event: Any) -> None:
    async with database.transaction("fails") as tx:
        tx.publish(event)
        raise RuntimeError


async def test_a_backlog_is_read_along_its_index_whatever_the_statistics_say(
    database: Database, clock: MovableClock
) -> None:
    row = event_row(expired(), "billing", clock.now())
    connection = await asyncpg.connect(database.dsn, server_settings=PLAN)
    try:
        await connection.execute("ANALYZE outbox")  # a quiet day's: there is nothing to publish
        await connection.execute(INSERT, *columns([row] * 5_000))
        plan = [line[0] for line in await connection.fetch("EXPLAIN " + READ, clock.now(), [], BATCH, 0)]
    finally:
        await connection.close()
    assert any("Index Scan using ix_outbox_unpublished" in line for line in plan)
    assert not [line for line in plan if "Sort" in line or "Bitmap" in line]


async def test_what_is_published_is_not_passed_by_every_read(database: Database, clock: MovableClock) -> None:
    """It stays in the index of the unpublished until that is vacuumed."""
    row = event_row(expired(), "billing", clock.now())
    connection = await asyncpg.connect(database.dsn, server_settings=PLAN)
    leader = Leader(database, Wire(), connection, beat=1)
    try:
        await connection.execute("ALTER TABLE outbox SET (autovacuum_enabled = off)")
        await connection.execute(INSERT, *columns([row] * 5_000))
        while rows := await leader._read():
            await connection.execute(MARK, [row["id"] for row in rows], clock.now())
        passed = [await _pages(connection, clock, floor) for floor in (0, leader._read_to)]
    finally:
        await connection.close()
    assert passed[0] > 5 * passed[1]


async def _pages(connection: Any, clock: MovableClock, floor: int) -> int:
    explained = await connection.fetch("EXPLAIN (ANALYZE, BUFFERS) " + READ, clock.now(), [], BATCH, floor)
    buffers = next(line[0] for line in explained if "Buffers:" in line[0])
    return sum(int(number) for number in re.findall(r"(?:hit|read)=(\d+)", buffers))


@pytest.fixture
async def leader(database: Database) -> AsyncIterator[Leader]:
    """Reads when it is told to. Each read is as if a second had passed: at the beginning, and perhaps a new floor."""
    connection = await asyncpg.connect(database.dsn)
    yield Leader(database, Wire(), connection, beat=1)
    await connection.close()


async def test_what_took_its_id_before_others_committed_is_read_before_what_follows_it(
    database: Database, leader: Leader
) -> None:
    """However long that takes: whoever wants to tell more of the same subject waits for its commit."""
    late, next_ = acted("p", 1), acted("p", 2)
    async with AsyncExitStack() as waits:
        async with database.transaction("first") as first:
            await first.run("SELECT pg_current_xact_id()")
            tx = await waits.enter_async_context(database.transaction("late"))
            await tx.run(INSERT, *columns([event_row(late, "billing", tx.now)]))
            first.publish(expired())
        assert [len(await _read_after_a_while(leader)) for _ in range(4)] == [1, 0, 0, 0]
        await publish(database, expired())
        assert [len(await _read_after_a_while(leader)) for _ in range(4)] == [1, 0, 0, 0]
    await publish(database, next_)
    assert [row["event_id"] for row in await leader._read()] == [late.id, next_.id]


async def test_what_was_refused_is_read_before_what_follows_it(
    database: Database, leader: Leader, clock: MovableClock
) -> None:
    refused, next_ = acted("p", 1), acted("p", 2)
    await publish(database, refused)
    (row,) = await _read_after_a_while(leader)
    await leader._refuse(row, Refused("unroutable"))
    for _ in range(3):
        await publish(database, expired())
        assert len(await _read_after_a_while(leader)) == 1
    await publish(database, next_)
    assert not await leader._read()
    clock.move(timedelta(hours=1))
    rows = await leader._read() or await _read_after_a_while(leader)
    assert [row["event_id"] for row in rows] == [refused.id, next_.id]


async def test_what_is_published_once_more_is_read_batch_after_batch(
    database: Database, leader: Leader, clock: MovableClock
) -> None:
    since = clock.now()
    await leader._connection.execute(INSERT, *columns([event_row(expired(), "billing", since)] * 2 * BATCH))
    await leader._connection.execute("UPDATE outbox SET published = $1", since)
    for _ in range(3):
        await publish(database, expired())
        assert len(await _read_after_a_while(leader)) == 1
    clock.move(timedelta(seconds=1))
    assert await replay(database, since) == 2 * BATCH
    assert [len(await read(leader)) for read in (_read_after_a_while, _read, _read)] == [BATCH, BATCH, 0]


async def _read_after_a_while(leader: Leader) -> list[Any]:
    leader._swept = 0.0
    return await _read(leader)


async def _read(leader: Leader) -> list[Any]:
    rows = await leader._read()
    leader._in_hand |= {row["id"] for row in rows}
    return rows


async def test_the_row_function_serves_single_and_bulk_inserts_alike(database: Database, clock: MovableClock) -> None:
    rows = [event_row(expired(f"s{n}"), "billing", clock.now()) for n in range(3)]
    async with database.transaction("single") as tx:
        tx.put(rows[0])
    async with database.transaction("bulk") as tx:
        await tx.run(INSERT, *columns(rows[1:]))
    async with database.transaction("look") as tx:
        found = [row.subject for row in await tx.run("SELECT subject FROM outbox ORDER BY id")]
    assert found == ["s0", "s1", "s2"]


class ClosesOver(Wire):
    """As RabbitMQ does over one message, and does not say which: what came with it is unknown."""

    def __init__(self, id_: UUID) -> None:
        super().__init__(fails=lambda message: Refused("unroutable") if message.id == str(id_) else None)

    async def publish_all(self, messages: Sequence[Message]) -> Sequence[Any]:
        if len(messages) > 1 and any(map(self.fails, messages)):
            return [Unknown("closed")] * len(messages)
        return await super().publish_all(messages)


async def test_a_refused_row_holds_back_its_own_subject_and_no_other(
    database: Database, relay_on: Any, wait_until: Any, clock: MovableClock
) -> None:
    first, bad, after, other = acted("p", 1), acted("p", 2), acted("p", 3), acted("q", 1)
    wire = ClosesOver(bad.id)
    await publish(database, first, bad, after, other)
    await relay_on(wire)
    await wait_until(lambda: len(wire.sent) == 2)
    await publish(database, acted("p", 4), acted("q", 2))
    await wait_until(lambda: len(wire.sent) == 3)
    assert sorted(wire.subjects()) == ["p", "q", "q"]
    attempts, error = await _refused(database)
    assert attempts >= 1
    assert error == "Refused: unroutable"
    wire.fails = lambda _message: None
    clock.move(timedelta(hours=1))
    await wait_until(lambda: len(wire.sent) == 6)
    assert [json.loads(m.body)["data"]["after"]["n"] for m in wire.sent if m.subject == "p"] == [1, 2, 3, 4]


async def test_of_one_subject_none_waits_for_the_confirm_of_the_one_before(
    database: Database, relay_on: Any, wait_until: Any
) -> None:
    wire = Wire(delay=0.1)
    await publish(database, *(acted("p", number) for number in range(100)))
    await relay_on(wire)
    await wait_until(lambda: len(wire.sent) == 100)
    assert wire.most > 1
    assert [json.loads(m.body)["data"]["after"]["n"] for m in wire.sent] == list(range(100))


async def test_what_was_in_flight_when_the_broker_went_away_is_sent_again_in_its_order(
    database: Database, relay_on: Any, wait_until: Any
) -> None:
    """And before all that was read since."""
    lost = iter(range(IN_FLIGHT))
    wire = Wire(delay=0.02, fails=lambda _message: Unknown("gone") if next(lost, 0) else None)
    await publish(database, *(acted("p", number) for number in range(400)))
    await relay_on(wire)
    await wait_until(lambda: len({message.id for message in wire.sent}) == 400, 20)
    seen = dict.fromkeys(json.loads(message.body)["data"]["after"]["n"] for message in wire.sent[1:])
    assert list(seen) == sorted(seen)


async def _refused(database: Database) -> tuple[int, str]:
    async with database.transaction("look") as tx:
        row = (await tx.run("SELECT attempts, error FROM outbox WHERE attempts > 0"))[0]
    return row.attempts, row.error


@pytest.mark.parametrize("error", [Unknown("no confirm"), asyncio.CancelledError(), Blocked("full")])
async def test_what_was_not_confirmed_is_sent_again(
    database: Database, relay_on: Any, wait_until: Any, clock: MovableClock, error: BaseException
) -> None:
    failures = iter([error, error])
    wire = Wire(fails=lambda _message: next(failures, None))
    relay = await relay_on(wire)
    event = expired()
    await publish(database, event)

    async def arrived() -> bool:
        clock.move(timedelta(seconds=30))
        return bool(wire.sent)

    await wait_until(arrived)
    assert relay.alive()
    assert wire.sent[0].id == str(event.id)


async def test_10_000_rows_pass_the_memory_bus_in_order_within_each_subject(
    database: Database, relay_on: Any, wait_until: Any
) -> None:
    broker, heard = MemoryBroker(), defaultdict[str, list[int]](list)
    bus, listener = broker.bus("billing"), broker.bus("gateway")
    await bus.connect()
    await listener.connect()

    async def hear(delivery: Any) -> Any:
        heard[delivery.message.subject].append(json.loads(delivery.message.body)["data"]["after"]["n"])
        return "ack"

    consumer = await listener.consume(["#"], hear, 1)
    subjects = [str(uuid4()) for _ in range(500)]
    await publish(database, *(acted(subject, number) for number in range(20) for subject in subjects))
    await relay_on(bus)
    await wait_until(lambda: sum(map(len, heard.values())) == 10_000, 60)
    await consumer.stop()
    assert all(numbers == list(range(20)) for numbers in heard.values())
    await wait_until(lambda: _count(database, 0))


async def _count(database: Database, wanted: int) -> bool:
    return bool(await one(database, UNPUBLISHED) == wanted)


async def test_at_most_200_are_in_flight(database: Database, relay_on: Any, wait_until: Any) -> None:
    wire = Wire(delay=0.02)
    await publish(database, *(expired() for _ in range(1_000)))
    await relay_on(wire)
    await wait_until(lambda: len(wire.sent) == 1_000)
    assert 100 < wire.most <= 200


async def test_what_trickles_in_while_the_broker_is_silent_is_left_in_the_database(
    database: Database, relay_on: Any, wait_until: Any
) -> None:
    relay = await relay_on(Wire(delay=3600))
    for number in range(25):
        await publish(database, *(expired() for _ in range(100)))
        wanted = min(100 * number, ROOM - BATCH)
        await wait_until(lambda wanted=wanted: relay._leader and len(relay._leader._in_hand) >= wanted)
    assert len(relay._leader._in_hand) <= ROOM
    relay._task.cancel()  # it would wait for what is in hand


async def test_another_relay_takes_over_when_the_leader_loses_its_connection(
    database: Database, relay_on: Any, wait_until: Any, clock: MovableClock
) -> None:
    wires = [Wire(), Wire()]
    replica = Database(database.url, service="billing", clock=clock)
    await relay_on(wires[0])
    await publish(database, expired())
    await wait_until(lambda: wires[0].sent)
    await relay_on(wires[1], replica)
    for _ in range(2):  # whoever leads loses its lock; one of the two leads again
        count = len(wires[0].sent) + len(wires[1].sent)
        await one(
            database,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        await publish(database, expired())
        await wait_until(lambda before=count: len(wires[0].sent) + len(wires[1].sent) == before + 1)
    await replica.close()


async def test_rule_2_a_crash_between_confirm_and_mark_loses_nothing_and_repeats_the_same_id(
    database: Database, wait_until: Any
) -> None:
    event, wire = expired(), Wire()
    await publish(database, event)
    crashing = Relay(database, NeverAnswers(wire))
    await crashing.start()
    await wait_until(lambda: wire.sent)
    assert crashing._task is not None
    crashing._task.cancel()
    await asyncio.wait([crashing._task])
    assert await one(database, UNPUBLISHED) == 1
    successor = Relay(database, wire)
    await successor.start()
    await wait_until(lambda: len(wire.sent) == 2)
    await wait_until(lambda: _count(database, 0))
    await successor.stop()
    assert {message.id for message in wire.sent} == {str(event.id)}


class NeverAnswers(Wire):
    """The broker has the message, and its confirm never comes."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(sent=wire.sent)

    async def publish(self, message: Message) -> None:
        await super().publish(message)
        await asyncio.Event().wait()


async def test_stop_publishes_what_is_committed(database: Database, wait_until: Any) -> None:
    wire = Wire(delay=0.01)
    relay = Relay(database, wire)
    await relay.start()
    await publish(database, *(expired() for _ in range(50)))
    await wait_until(lambda: relay._leader)
    await relay.stop()
    assert len(wire.sent) == 50
    assert await one(database, UNPUBLISHED) == 0


class Held:
    """A connection whose first read shows what was there when it began, and answers when it is let."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.read, self.answers = asyncio.Event(), asyncio.Event()

    async def fetch(self, *arguments: Any) -> Any:
        rows = await self._connection.fetch(*arguments)
        self.read.set()
        await self.answers.wait()
        return rows

    async def execute(self, *arguments: Any) -> Any:
        return await self._connection.execute(*arguments)


async def test_stop_publishes_what_was_committed_during_its_last_read(database: Database) -> None:
    wire, connection = Wire(), await asyncpg.connect(database.dsn)
    held = Held(connection)
    leader = Leader(database, wire, held, beat=1)
    leading = asyncio.create_task(leader.run())
    await held.read.wait()
    await publish(database, expired(), expired())
    leader.stop_when_empty()
    held.answers.set()
    await leading
    await connection.close()
    assert len(wire.sent) == 2
    assert await one(database, UNPUBLISHED) == 0


async def test_replay_publishes_again_under_the_same_ids(
    database: Database, relay_on: Any, wait_until: Any, clock: MovableClock
) -> None:
    wire = Wire()
    await relay_on(wire)
    events = [expired() for _ in range(3)]
    since = clock.now()
    await publish(database, *events)
    await wait_until(lambda: _count(database, 0))
    assert await replay(database, since) == 3
    await wait_until(lambda: len(wire.sent) == 6)
    assert [m.id for m in wire.sent[3:]] == [str(event.id) for event in events]
    assert await replay(database, since, subject=events[1].subject) == 1


async def test_an_event_larger_than_the_bus_takes_is_refused_where_it_is_published(database: Database) -> None:
    with pytest.raises(ValueError, match="bytes"):
        async with database.transaction("large") as tx:
            tx.publish(expired(reason="x", subject="s" * 10, causationid="c" * 300_000))
