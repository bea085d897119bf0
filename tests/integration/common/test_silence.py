"""A peer that falls silent is not waited for: neither the database by us, nor one of us by the others."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from keyturn import probes
from keyturn.clock import MovableClock
from keyturn.database import Database
from keyturn.errors import Unavailable
from keyturn.relay import Relay
from support.broker import VirtualHost
from support.chaos import Place, Victim, impatient_relay
from support.data_plane import METADATA, Wire, expired, one, publish
from support.proxy import Proxy
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

BOUND = 20.0  # seconds; in truth it takes two


@pytest.fixture
async def url(database_url: Any) -> str:
    return str(await database_url(METADATA))


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    async with Proxy(urlsplit(url).netloc.rpartition("@")[2]) as made:
        yield made


@pytest.fixture
async def behind(url: str, proxy: Proxy, clock: MovableClock) -> AsyncIterator[Database]:
    """A database on the other side of the proxy, which gets half a second for each answer."""
    parts = urlsplit(url)
    there = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{proxy.address}").geturl()
    made = Database(there, service="billing", clock=clock, answer_within=0.5)
    yield made
    await made.close()


@pytest.mark.parametrize("asked", ["by the driver", "by a session"])
async def test_a_database_that_falls_silent_in_a_transaction_is_unavailable(
    behind: Database, proxy: Proxy, asked: str
) -> None:
    async with asyncio.timeout(BOUND):
        with pytest.raises(Unavailable):
            await _publish_into_silence(behind, proxy, asked)
        proxy.mode = "pass"
        assert await one(behind, "SELECT count(*) FROM outbox") == 0


async def _publish_into_silence(database: Database, proxy: Proxy, asked: str) -> None:
    async with database.transaction("t") as tx:
        tx.publish(expired())
        await tx.session.execute(text("SELECT 1"))
        proxy.mode = "swallow from"
        await (tx.run("SELECT 1") if asked == "by the driver" else tx.session.execute(text("SELECT 1")))


async def test_a_database_that_fell_silent_while_nobody_asked_is_unavailable(behind: Database, proxy: Proxy) -> None:
    await behind.ping()
    proxy.mode = "swallow to"
    async with asyncio.timeout(BOUND):
        with pytest.raises(Unavailable):
            await behind.ping()
        with pytest.raises(Unavailable):
            await publish(behind, expired())
        proxy.mode = "pass"
        await behind.ping()


async def test_a_probe_that_gave_a_silent_database_up_leaves_no_connection_behind_to_hang_on(
    behind: Database, proxy: Proxy, wait_until: WaitUntil
) -> None:
    await behind.ping()
    proxy.mode = "swallow from"
    async with asyncio.timeout(BOUND):
        assert await probes.failures({"database": behind.ping}, within=0.1) == {"database": "no answer in time"}
        proxy.mode = "pass"
        await wait_until(lambda: _answers(behind))


async def test_rule_3_whoever_gives_up_while_a_transaction_begins_is_in_no_other_transaction(
    behind: Database, proxy: Proxy
) -> None:
    """The server hears of that beginning all the same: whoever has the connection next must not commit it."""
    await behind.ping()
    proxy.delay = 0.2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_effect(behind, "given up"), 0.1)
    proxy.delay = 0
    await _effect(behind, "kept")
    assert await one(behind, "SELECT array_agg(what) FROM effects") == ["kept"]


async def _effect(database: Database, what: str) -> None:
    async with database.transaction("t", first=f"INSERT INTO effects VALUES ('{what}', 1)"):
        pass


async def _answers(database: Database) -> bool:
    try:
        await database.ping()
    except Unavailable:
        return False
    return True


async def test_whoever_stops_in_the_middle_of_a_transaction_holds_its_locks_for_a_bounded_time(
    url: str, clock: MovableClock, wait_until: WaitUntil
) -> None:
    database, other = (Database(url, service="billing", clock=clock) for _ in range(2))
    bound = "SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"
    assert await one(database, bound) == 10_000

    async def stop_in_the_middle() -> None:
        async with database.transaction("t") as tx:
            await tx.run("SET idle_in_transaction_session_timeout = 1")
            pid = (await tx.run("SELECT pg_backend_pid()"))[0][0]
            gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1"
            await wait_until(lambda: one(other, gone, pid), BOUND)
            await tx.run("SELECT 1")

    with pytest.raises(Unavailable):
        await stop_in_the_middle()
    for each in (database, other):
        await each.close()


async def test_rule_2_a_leader_that_was_stopped_is_replaced_and_marks_nothing_when_it_goes_on(
    url: str, rabbitmq: VirtualHost, clock: MovableClock, tmp_path: Path, wait_until: WaitUntil
) -> None:
    log = tmp_path / "stopped.log"
    stopped = Victim(impatient_relay, Place("billing", url, rabbitmq.url("billing"), log))
    await wait_until(stopped.is_up, BOUND)
    database, wire = Database(url, service="billing", clock=clock), Wire()
    held = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""  # and not another test's
    await wait_until(lambda: one(database, held), BOUND)
    other = Relay(database, wire)
    try:
        await other.start()
        stopped.signal(signal.SIGSTOP)
        await publish(database, first := expired("s"), second := expired("s"))
        await wait_until(lambda: len(wire.sent) == 2, BOUND)
        stopped.signal(signal.SIGCONT)
        await wait_until(lambda: b"relay_lost_its_lead" in log.read_bytes(), BOUND)
        await publish(database, third := expired("s"))
        await wait_until(lambda: len(wire.sent) == 3, BOUND)
        assert [message.id for message in wire.sent] == [str(event.id) for event in (first, second, third)]
        assert not stopped.ended_by_itself
    finally:
        stopped.kill()
        await other.stop()
        await database.close()
