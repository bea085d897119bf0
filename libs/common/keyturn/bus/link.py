"""One connection to RabbitMQ that is made again whenever it is lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError
from pamqp.common import FieldValue
from yarl import URL

from keyturn.log import get_logger

log = get_logger()

# The library gives a silent peer up after 3 * (heartbeat + 1) seconds: 33 here, three minutes with its own default.
HEARTBEAT_SECONDS = 10
CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 5.0
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0

# What the library raises for a connection that is gone, refused or of no use. RuntimeError: asked while reconnecting.
_BROKEN = (AMQPError, OSError, RuntimeError, TimeoutError)


@contextmanager
def library_errors() -> Iterator[None]:
    """Every way in which the library says that a connection is of no use, as ConnectionError.

    One of them is CancelledError, raised although nobody cancelled, when its watchdog ends a silent connection. Taken
    for a real one, it would end the task that publishes, and nobody would notice. Another is a plain Exception: what it
    gives to whoever is waiting for an answer on a channel that is closed for no reason that it knows.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if cancelled_by_us():
            raise
        raise ConnectionError("the connection fell silent") from error
    except Exception as error:
        if isinstance(error, _BROKEN) or type(error) is Exception:
            raise ConnectionError(f"{type(error).__name__}: {error}"[:300]) from error
        raise


def cancelled_by_us() -> bool:
    """In an `except CancelledError`: did somebody cancel this task?"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Connection(aio_pika.Connection):
    """Closed by whoever opened it. The library closes one that is collected as garbage, as a failed attempt to connect
    is, in a task that it makes wherever that happens; outside a loop that is a coroutine which nobody awaits."""

    def __del__(self) -> None:
        """Nothing."""


class Link:
    """Plain connections and one loop of our own, instead of the library's robust ones: what is restored, when, and
    with what pause stands here."""

    def __init__(self, url: URL, name: str, restore: Callable[[AbstractConnection], Awaitable[None]]) -> None:
        self._url = url.update_query(heartbeat=url.query.get("heartbeat", HEARTBEAT_SECONDS))
        self._name = name
        self._restore = restore
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._tried = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    async def open(self) -> None:
        """Returns after the first try; goes on trying."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"link {self._name}")
        await self._tried.wait()

    async def connection(self) -> AbstractConnection:
        """The connection, once it is up: give it a time-out. Raises ConnectionError where nobody has opened it."""
        while True:
            if self._keeper is None:
                raise ConnectionError("the bus is closed")
            await self._up.wait()
            if self._connection is not None:
                return self._connection

    def drop(self, connection: AbstractConnection, reason: str) -> None:
        """Give this connection up for a new one: something on it broke that only a new one restores."""
        if self._connection is connection and not self._lost.is_set():
            log.warning("broker connection given up", link=self._name, reason=reason)
            self._lost.set()

    async def close(self) -> None:
        if self._keeper is None:
            return
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper
        self._keeper = None

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                with library_errors():
                    await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever it is: the task that reconnects must not end
                log.warning("broker away", link=self._name, reason=str(error), error=type(error).__name__)
                self._tried.set()
                await asyncio.sleep(_pause(failures))
                failures += 1
                continue
            failures = 0
            log.info("broker connected", link=self._name)
            self._tried.set()
            try:
                await self._lost.wait()
            finally:
                self._up.clear()
                await self._let_go()
            log.warning("broker connection lost", link=self._name)

    async def _connect(self) -> None:
        self._lost = lost = asyncio.Event()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                properties: dict[str, FieldValue] = {"connection_name": self._name}
                self._connection = await aio_pika.connect(
                    self._url, timeout=CONNECT_SECONDS, client_properties=properties, connection_class=Connection
                )
                self._connection.close_callbacks.add(lambda *_: lost.set())
                await _unless(lost, self._restored(self._connection))
        except BaseException:
            self._up.clear()
            await self._let_go()
            raise

    async def _restored(self, connection: AbstractConnection) -> None:
        """Up in the same moment: who asked in between would find it restored already and not yet up, and do nothing."""
        await self._restore(connection)
        self._up.set()

    async def _let_go(self) -> None:
        """A silent peer answers no goodbye either, and whatever the library raises then: for us it is gone."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        closing = asyncio.create_task(connection.close())
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
        closing.cancel()


async def _unless(lost: asyncio.Event, restoring: Awaitable[None]) -> None:
    """What is asked on a connection that is lost meanwhile may never be answered, and the library does not say so."""
    tasks = [asyncio.ensure_future(restoring), asyncio.create_task(lost.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ConnectionError("lost while it was being set up")
        tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()


def _pause(failures: int) -> float:
    """With jitter, so that not all come back at once."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret
