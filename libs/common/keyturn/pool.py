"""The connections to one database: opened when they are needed, and kept. A transaction uses the driver's; SQLAlchemy's
session can join it there.

SQLAlchemy's own pool took a fifth of a transaction's time, and asyncpg's asks the server to reset a connection each
time it comes back: ours come back only with nothing left to reset.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from keyturn.errors import Unavailable

# What the driver raises. The last is for a connection that it has lost track of, as where the server ends in an answer.
DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

PATIENCE = 30.0  # seconds to wait for a connection while all are in use


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection, as the driver knows it and as SQLAlchemy does."""

    sql: AsyncConnection
    driver: Any

    @property
    def clean(self) -> bool:
        """Whether the next one may use it."""
        driver, sql = self.driver, self.sql
        return not (driver.is_closed() or driver.is_in_transaction() or sql.invalidated or sql.in_transaction())

    async def discard(self) -> None:
        await self.sql.invalidate()
        await self.sql.close()


class Pool:
    """At most `size` connections of an engine that keeps none itself."""

    def __init__(self, engine: AsyncEngine, size: int, service: str) -> None:
        self._engine = engine
        self._service = service
        self._free = asyncio.Semaphore(size)
        self._kept: list[Connection] = []
        self.busy = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Raises `Unavailable` where the database is away, or all connections stay in use."""
        await self._turn()
        self.busy += 1
        try:
            connection = await self._open()
            try:
                yield connection
            except asyncpg.InternalClientError as error:
                connection.driver.terminate()
                raise Unavailable(f"database of {self._service}: {type(error).__name__}") from error
            except BaseException as error:
                if _gave_up(error):
                    connection.driver.terminate()
                raise
            finally:
                if connection.clean:
                    self._kept.append(connection)
                else:
                    await connection.discard()
        finally:
            self.busy -= 1
            self._free.release()

    async def _turn(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self._free.acquire()
        except TimeoutError as error:
            raise Unavailable(f"database of {self._service}: all its connections are in use") from error

    async def _open(self) -> Connection:
        while self._kept:  # the last one first: its statements are prepared
            connection = self._kept.pop()
            if connection.clean:
                return connection
            await connection.discard()  # the server went since it was last used
        sql = self._engine.connect()
        try:
            await sql.start()
        except (OSError, exc.SQLAlchemyError, *DRIVER) as error:
            raise Unavailable(f"database of {self._service}: {type(error).__name__}") from error
        return Connection(sql, sql.sync_connection.connection.driver_connection)  # type: ignore[union-attr]

    async def close(self) -> None:
        """Close those that nobody uses."""
        while self._kept:
            await self._kept.pop().sql.close()


def _gave_up(error: BaseException) -> bool:
    """Cancelled, or out of patience. The server may still be at a statement that nobody waits for, a BEGIN say, and
    answers it to whoever has the connection next: what that one commits would be another's."""
    return isinstance(error, Unavailable | TimeoutError) or not isinstance(error, Exception)
