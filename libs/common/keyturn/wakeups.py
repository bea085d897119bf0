"""Waking whoever waits for new rows: in this process at once after the commit, in other replicas by NOTIFY.

NOTIFY runs outside the writer's transaction (inside, it costs group commit) and is throttled. Everybody polls as
well: a wake-up makes things quick, the poll makes them correct.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg

from keyturn.log import get_logger
from keyturn.pool import DRIVER

CHANNEL = "keyturn"
THROTTLE = 0.05
SOON = 1.0
PING_EVERY = 5.0  # a silently lost connection is noticed by nobody else

log = get_logger()


class Wakeups:
    """Named wake-ups of one database: `outbox`, `work`, and what a service adds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._unsent: set[str] = set()
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Also hear and tell other processes from now on."""
        self._task = asyncio.create_task(self._run(), name="wakeups")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    @contextmanager
    def listen(self, name: str) -> Iterator[asyncio.Event]:
        """An event that is set at each wake-up of that name; the listener clears it."""
        event = asyncio.Event()
        self._waiting[name].add(event)
        try:
            yield event
        finally:
            self._waiting[name].discard(event)

    def wake(self, name: str) -> None:
        """Wake everybody here now, and everybody elsewhere soon."""
        self._wake_here(name)
        self._unsent.add(name)
        self._something.set()

    def wake_at(self, name: str, seconds: float) -> None:
        """Wake everybody here when something falls due, where that is sooner than they poll."""
        if seconds < SOON:
            asyncio.get_running_loop().call_later(max(seconds, 0.0), self._wake_here, name)

    def _wake_here(self, name: str) -> None:
        for event in self._waiting[name]:
            event.set()

    def _heard(self, connection: Any, pid: int, _channel: str, name: object) -> None:
        if pid != connection.get_server_pid():  # what we told ourselves was heard here at once
            self._wake_here(str(name))

    async def _run(self) -> None:
        while True:
            try:
                await self._connected()
            except (OSError, *DRIVER) as error:
                log.warning("wakeups_connection_lost", error=type(error).__name__)
            await asyncio.sleep(1)

    async def _connected(self) -> None:
        connection: Any = await asyncpg.connect(self._url, timeout=10, command_timeout=10)
        try:
            await connection.add_listener(CHANNEL, self._heard)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PING_EVERY):
                        await self._something.wait()
                await self._tell(connection)
                await asyncio.sleep(THROTTLE)
        finally:
            connection.terminate()

    async def _tell(self, connection: Any) -> None:
        self._something.clear()
        names, self._unsent = sorted(self._unsent), set()
        # With nothing to tell this is the ping.
        await connection.fetch("SELECT pg_notify($1, name) FROM unnest($2::text[]) AS name", CHANNEL, names)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Until the next wake-up, at most `seconds`; clears the event."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()
