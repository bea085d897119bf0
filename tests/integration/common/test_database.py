"""Transactions: what becomes of errors, wake-ups and commit points; migrations run by several at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from keyturn import failpoints
from keyturn.clock import MovableClock
from keyturn.database import Database, migrate
from keyturn.errors import GiveUp, Unavailable
from keyturn.revisions import differences, new, reset, scratch
from support.data_plane import METADATA, expired, one

pytestmark = pytest.mark.servers


@pytest.fixture
async def database(database_url: Any, clock: MovableClock) -> AsyncIterator[Database]:
    made = Database(await database_url(METADATA), service="billing", clock=clock)
    yield made
    await made.close()


async def test_a_database_that_is_not_there_is_unavailable(clock: MovableClock) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", service="billing", clock=clock)
    with pytest.raises(Unavailable):
        await away.ping()
    with pytest.raises(Unavailable):
        async with away.transaction("t"):
            pass
    await away.close()


async def test_a_connection_lost_in_the_middle_is_unavailable_and_the_next_transaction_works(
    database: Database,
) -> None:
    with pytest.raises(Unavailable):
        await _publish_and_lose_the_connection(database)
    assert await one(database, "SELECT count(*) FROM outbox") == 0


async def _publish_and_lose_the_connection(database: Database) -> None:
    async with database.transaction("t") as tx:
        tx.publish(expired())
        pid = (await tx.run("SELECT pg_backend_pid()"))[0][0]
        await one(database, "SELECT pg_terminate_backend($1)", pid)
        await tx.run("SELECT 1")


async def test_a_connection_that_its_driver_lost_track_of_is_unavailable_and_used_no_more(database: Database) -> None:
    """As it happens where a server is killed in the middle of an answer."""
    pid = await one(database, "SELECT pg_backend_pid()")
    with pytest.raises(Unavailable):
        async with database.transaction("t"):
            raise asyncpg.InternalClientError("cannot switch to state 2; another operation (11) is in progress")
    assert await one(database, "SELECT pg_backend_pid()") != pid


async def test_a_cancelled_statement_is_no_database_that_is_away(database: Database, wait_until: Any) -> None:
    """SQLAlchemy closes a connection whose statement was cancelled. Whoever caught the answer to a ROLLBACK on it for a
    failure would go on for ever: a background task, say, that a service waits for when it stops."""
    task = asyncio.create_task(_sleep_in_a_session(database))
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'"
    await wait_until(lambda: one(database, asleep))
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def _sleep_in_a_session(database: Database) -> None:
    async with database.transaction("t") as tx:
        await tx.session.execute(text("SELECT pg_sleep(60)"))


async def test_what_a_handler_raised_is_not_hidden_by_a_connection_that_was_lost_meanwhile(database: Database) -> None:
    with pytest.raises(GiveUp):
        await _give_up_without_a_connection(database)
    assert await one(database, "SELECT 1") == 1


async def _give_up_without_a_connection(database: Database) -> None:
    async with database.transaction("t") as tx:
        await one(database, "SELECT pg_terminate_backend($1)", (await tx.run("SELECT pg_backend_pid()"))[0][0])
        raise GiveUp("whatever else happened")


async def test_our_own_mistakes_are_not_taken_for_a_database_that_is_away(database: Database) -> None:
    with pytest.raises(Exception, match="does not exist") as caught:
        async with database.transaction("t") as tx:
            await tx.run("SELECT nothing")
    assert not isinstance(caught.value, Unavailable)


async def test_a_failed_statement_whose_error_was_swallowed_does_not_pass_for_a_commit(database: Database) -> None:
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await _fail_and_go_on(database)
    assert await one(database, "SELECT count(*) FROM effects") == 0


async def _fail_and_go_on(database: Database) -> None:
    async with database.transaction("t") as tx:
        await tx.run("INSERT INTO effects (what, n) VALUES ('x', 1)")
        with suppress(asyncpg.PostgresError):
            await tx.run("SELECT nothing")


async def test_the_first_statement_goes_with_the_beginning_and_its_answer_is_kept(database: Database) -> None:
    async with database.transaction("t", first="INSERT INTO effects (what, n) VALUES ('x', 1)") as tx:
        assert tx.first == "INSERT 0 1"
    assert await one(database, "SELECT count(*) FROM effects") == 1


async def test_rule_17_the_text_of_a_database_error_holds_no_parameters(database: Database) -> None:
    with pytest.raises(Exception, match="effects") as caught:
        async with database.transaction("t") as tx:
            await tx.run("INSERT INTO effects (what, n) VALUES ($1, NULL)", "customer@example.com")
    assert "customer@example.com" not in str(caught.value).split("DETAIL")[0]


async def test_every_commit_passes_its_two_failpoints(database: Database) -> None:
    async with database.transaction("refund"):
        pass
    assert {"billing.refund.before_commit", "billing.refund.after_commit"} <= failpoints.seen.keys()


async def test_callbacks_and_wake_ups_come_after_the_commit_and_only_then(database: Database) -> None:
    called: list[str] = []
    with database.wakeups.listen("outbox") as woken:
        with pytest.raises(RuntimeError):
            await _call_and_fail(database, lambda: called.append("never"))
        assert not woken.is_set()
        async with database.transaction("works") as tx:
            tx.publish(expired())
            tx.on_commit(lambda: called.append("once"))
        assert woken.is_set()
    assert called == ["once"]


async def _call_and_fail(database: Database, callback: Callable[[], None]) -> None:
    async with database.transaction("fails") as tx:
        tx.publish(expired())
        tx.on_commit(callback)
        raise RuntimeError


async def test_another_replica_is_woken_by_notify(database: Database, clock: MovableClock, wait_until: Any) -> None:
    replica = Database(database.url, service="billing", clock=clock)
    for each in (database, replica):
        each.wakeups.start()
    with replica.wakeups.listen("journey") as woken:

        async def heard() -> bool:
            database.wakeups.wake("journey")
            return woken.is_set()

        await wait_until(heard)
    await replica.close()


TABLES = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from keyturn.database import TypedBase, new_metadata

class Base(TypedBase, DeclarativeBase):
    metadata = new_metadata()

class Thing(Base):
    __tablename__ = "things"
    name: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[dict]
"""


async def test_migrations_are_written_from_the_models_and_applied_by_three_at_once(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "things_service"
    (package / "migrations").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tables.py").write_text(TABLES)
    env = "from keyturn.upgrading import run_env\nfrom things_service.tables import Base\n\nrun_env(Base.metadata)\n"
    (package / "migrations" / "env.py").write_text(env)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert (await reset(postgres_url, "things_service") or Path()).name == "0001_initial.py"
    assert await differences(postgres_url, "things_service") == ""
    assert await new(postgres_url, "things_service", "nothing") is None
    async with scratch(postgres_url) as url:
        await asyncio.gather(*(migrate(url, "things_service") for _ in range(3)))
