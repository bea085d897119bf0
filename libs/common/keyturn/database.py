"""The database of one service, and its transactions: state, events and work commit together or not at all.

A transaction is the driver's own, and statements in SQL go straight to it: that costs a quarter of the way through
SQLAlchemy. Its session joins the same transaction where a handler works with objects.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import cached_property
from typing import Any

import asyncpg
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from keyturn import failpoints, schedule, tracing
from keyturn.clock import Clock
from keyturn.errors import JSON, TooSlow, Unavailable
from keyturn.events import Envelope, Event
from keyturn.metrics import COMMITS
from keyturn.migrations import migrate
from keyturn.outbox import INSERT, OutboxRow, columns, event_row
from keyturn.pool import DRIVER, Connection, Pool
from keyturn.tables import TypedBase, new_metadata
from keyturn.wakeups import Wakeups

__all__ = ["Database", "Transaction", "TypedBase", "migrate", "new_metadata"]

# The server or the way to it is away or full: connection errors, shutdown, start-up, out of connections or memory.
# Also a statement or a session that the server ended because it took too long.
_ENDED = "57014"
_AWAY = ("08", "53", "57P", _ENDED, "25P03")

# Seconds for an answer. Nothing of ours takes one: beyond these the server or the way is silent. A server that is not
# ends the statement before, so that the two can be told apart.
ANSWER_WITHIN = 10.0

# Where it is we who fall silent, stopped or cut off, the server ends the transaction, and with it the locks that it
# holds. To the server, whoever stops between the two messages of a new statement is not idle, but in the statement.
SESSION = {
    "statement_timeout": "8s",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_user_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class Transaction:
    """One unit of work. What is published and scheduled is written by one statement each, just before the commit."""

    def __init__(
        self, connection: Connection, *, name: str, service: str, now: datetime, cause: Event | Envelope | None
    ) -> None:
        self.name = name
        self.now = now
        self.cause = cause
        self.causationid = str(cause.id) if cause else None
        self.waiting_since = now
        self.first = ""  # what the server answered to the first statement
        self.before_commit: list[Callable[[], Any]] = []
        self._connection = connection
        self._driver = connection.driver
        self._service = service
        self._traceparent = tracing.current() or (cause and cause.traceparent) or tracing.traceparent()
        self._outgoing: list[OutboxRow] = []
        self._plan = schedule.Plan()
        self._wakes: dict[str, datetime] = {}
        self._callbacks: list[Callable[[], None]] = []

    @cached_property
    def session(self) -> AsyncSession:
        """For handlers that work with objects. Flushed before the commit."""
        return AsyncSession(self._connection.sql, expire_on_commit=False)

    def publish(self, event: Event) -> None:
        """Publish with the commit. Serialises at once: raises ValueError where the event is too large."""
        causationid = event.causationid or self.causationid
        traceparent = event.traceparent or self._traceparent
        sent = event.model_copy(update={"causationid": causationid, "traceparent": traceparent})
        self.put(event_row(sent, self._service, self.now))

    def put(self, row: OutboxRow) -> None:
        """Write this outbox row with the commit."""
        self._outgoing.append(row)

    def schedule(
        self,
        kind: str,
        key: str,
        payload: Mapping[str, JSON] | None = None,
        *,
        due: datetime | None = None,
        subject: str | None = None,
    ) -> None:
        """Have work done. An open row of this kind and key gets the new payload and the earlier due time; one that is
        being worked on right now runs again afterwards."""
        self._plan.schedule(kind, key, payload, due or self.now, subject)

    def cancel(self, kind: str, key: str) -> None:
        """Close the open row of this kind and key, if there is one; a worker that has it is stopped."""
        self._plan.cancel(kind, key)

    def wake(self, name: str) -> None:
        """With the commit, wake whoever listens to this name in `Database.wakeups`, in any replica."""
        self.wake_at(name, self.now)

    def wake_at(self, name: str, due: datetime) -> None:
        """Once committed, wake whoever waits for what falls due then."""
        self._wakes[name] = min(due, self._wakes.get(name, due))

    @property
    def effects(self) -> list[str]:
        """What it tells and asks for so far: wire names of events, kinds of work."""
        return [row.wire for row in self._outgoing] + [f"work {kind}" for kind, _ in self._plan.requests]

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call this once the commit has succeeded."""
        self._callbacks.append(callback)

    async def run(self, sql: str, *parameters: object) -> Sequence[Any]:
        """The rows of a statement with asyncpg's own `$1` parameters; their columns are attributes."""
        rows: Sequence[Any] = await self._driver.fetch(sql, *parameters)
        return rows

    async def finish(self) -> None:
        """Write what is left to be written."""
        if self._has_session():
            await self.session.flush()
        if self._outgoing:
            await self.run(INSERT, *columns(self._outgoing))
        if self._plan.cancelled:
            await self.run(schedule.CANCEL, *schedule.cancel_parameters(self._plan, self.now))
        if self._plan.requests:
            origin = schedule.Origin(self.now, self._traceparent, self.causationid)
            await self.run(schedule.SCHEDULE, *schedule.schedule_parameters(self._plan, origin))
        for step in self.before_commit:
            await step()
        await failpoints.hit(f"{self._service}.{self.name}.before_commit")

    async def close(self) -> None:
        """What the session gave away stays readable."""
        if self._has_session():
            await self.session.close()

    def _has_session(self) -> bool:
        return "session" in self.__dict__

    def committed(self, wakeups: Wakeups) -> None:
        """Wake whoever waits for what was written."""
        if self._outgoing:
            self.wake_at("outbox", self.now)
        if self._plan.requests:
            self.wake_at("work", min(request.due for request in self._plan.requests.values()))
        for name, due in self._wakes.items():
            if due <= self.now:
                wakeups.wake(name)
            else:
                wakeups.wake_at(name, (due - self.now).total_seconds())
        for callback in self._callbacks:
            callback()


class Database:
    def __init__(
        self, url: str, *, service: str, clock: Clock, pool_size: int = 10, answer_within: float = ANSWER_WITHIN
    ) -> None:
        self.url = _normal(url)
        self.dsn = self.url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self.service = service
        self.clock = clock
        self.wakeups = Wakeups(self.dsn)
        # Parameters stay out of errors: they hold what customers told us.
        # AUTOCOMMIT: SQLAlchemy begins and ends no transaction, `transaction` does.
        self.engine = create_async_engine(
            self.url,
            poolclass=NullPool,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "timeout": answer_within,
                "command_timeout": answer_within,
                "server_settings": SESSION,
                "record_class": _Record,
            },
        )
        # Never more than this, so never open a transaction within another.
        self.pool = Pool(self.engine, pool_size, service)

    @asynccontextmanager
    async def transaction(
        self, name: str, *, cause: Event | Envelope | None = None, first: str = ""
    ) -> AsyncIterator[Transaction]:
        """Commits at the end, rolls back on any error. `name` labels the commit: failpoints, metrics, logs. `first`: a
        statement without parameters that goes to the server together with BEGIN. Raises `Unavailable` where the
        database is away."""
        async with self._connection(name) as connection:
            tx = Transaction(connection, name=name, service=self.service, now=self.clock.now(), cause=cause)
            try:
                driver = connection.driver
                try:
                    tx.first = await driver.execute(f"BEGIN;{first}")
                    yield tx
                    await tx.finish()
                except BaseException:
                    await _roll_back(driver)
                    raise
                if await driver.execute("COMMIT") != "COMMIT":
                    raise asyncpg.InFailedSQLTransactionError(
                        f"{name}: a statement failed, and the error was swallowed"
                    )
            finally:
                await tx.close()
        COMMITS.labels(self.service, name).inc()
        tx.committed(self.wakeups)
        await failpoints.hit(f"{self.service}.{name}.after_commit")

    async def run(self, name: str, sql: str, *parameters: object, wake: str | None = None) -> Sequence[Any]:
        """A transaction of one statement, in one round trip instead of three. `name` as above; with the commit it
        wakes whoever listens to `wake`."""
        await failpoints.hit(f"{self.service}.{name}.before_commit")
        async with self._connection(name) as connection:
            rows: Sequence[Any] = await connection.driver.fetch(sql, *parameters)
        COMMITS.labels(self.service, name).inc()
        if wake:
            self.wakeups.wake(wake)
        await failpoints.hit(f"{self.service}.{name}.after_commit")
        return rows

    @asynccontextmanager
    async def _connection(self, what: str) -> AsyncIterator[Connection]:
        async with self.pool.connection() as connection:
            try:
                yield connection
            except (exc.DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                if _state(error) == _ENDED:
                    raise TooSlow(f"database of {self.service}: {what}: it ended a statement") from error
                if connection.driver.is_closed() or away(error):
                    raise Unavailable(f"database of {self.service}: {what}") from error
                raise

    async def ping(self) -> None:
        """Raises `Unavailable` where the database does not answer."""
        async with self.pool.connection() as connection:
            try:
                await connection.driver.execute("SELECT 1")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                raise Unavailable(f"database of {self.service}") from error

    async def close(self) -> None:
        await self.wakeups.stop()
        await self.pool.close()
        await self.engine.dispose()


async def _roll_back(driver: Any) -> None:
    """Whatever comes of it: what ended the transaction is what its user must hear, a cancellation above all. The pool
    keeps no connection that is still in a transaction."""
    with suppress(*DRIVER, TimeoutError):
        if not driver.is_closed() and driver.is_in_transaction():
            await driver.execute("ROLLBACK")


class _Record(asyncpg.Record):  # type: ignore[misc]
    """A row whose columns are attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def away(error: BaseException) -> bool:
    """Whether the database is away, rather than our statement wrong."""
    if isinstance(error, TimeoutError) or (isinstance(error, exc.DBAPIError) and error.connection_invalidated):
        return True
    return _state(error).startswith(_AWAY)


def _state(error: BaseException) -> str:
    origin = error.orig if isinstance(error, exc.DBAPIError) else error
    return str(getattr(origin, "sqlstate", None) or "")


def _normal(url: str) -> str:
    _, found, rest = url.partition("://")
    if not found:
        raise ValueError("a database URL starts with postgresql://")
    return f"postgresql+asyncpg://{rest}"
