"""Live journeys: any replica serves any browser, from the database.

One query a wake-up asks how far all watched journeys have come; only the streams of those that moved read theirs.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from gateway.journeys import WAKEUP
from gateway.repository import journeys
from gateway.repository.journeys import StoredEvent
from keyturn.database import Database
from keyturn.errors import Problem, Unavailable
from keyturn.wakeups import wait

POLL = 2.0  # seconds between looks, whatever the wake-ups say
DOUBT = 2.0  # seconds between looks at whether watchers may still watch
KEEP_ALIVE = 15.0  # seconds of silence: below what proxies take for a dead connection
LONGEST = 30 * 60.0  # seconds of one stream; the browser comes back by itself with its Last-Event-ID
BATCH = 100
MOST = 1000  # streams in one replica
MOST_OF_CLIENT = 100  # streams of one address in one replica: an office, and not all there are
MOST_OF_ONE = 20  # streams of one purchase in one replica

T = TypeVar("T")
Proven = Callable[[], Awaitable[bool]]  # whether a watcher may still watch: tokens are revoked, tickets run out
_reads: set[asyncio.Task[Any]] = set()  # held, since nobody else may hold them


class Watcher:
    """One stream's interest in one journey."""

    def __init__(self, last: int, client: str, proven: Proven) -> None:
        self.last = last
        self.client = client
        self.proven = proven
        self.dismissed = False
        self.moved = asyncio.Event()

    def dismiss(self) -> None:
        self.dismissed = True
        self.moved.set()


class LiveJourneys:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: defaultdict[UUID, set[Watcher]] = defaultdict(set)
        self._stopping = False
        self._doubted = 0.0

    async def run(self) -> None:
        """Until cancelled, which also ends every stream: nobody waits for an endless answer at the stop."""
        try:
            with self._database.wakeups.listen(WAKEUP) as heard:
                while True:
                    await wait(heard, POLL)
                    await self._look()
                    await self._doubt()
        except asyncio.CancelledError:
            self.stop()
            raise

    def stop(self) -> None:
        """Every stream ends now, and none begins."""
        self._stopping = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.moved.set()

    async def _look(self) -> None:
        if not self._watchers:
            return

        async def read() -> Mapping[UUID, int]:
            async with self._database.transaction("watch") as tx:
                return await journeys.last_events(tx, self._watchers)

        try:
            known = await uncut(read())
        except Unavailable:
            return  # the next look is soon
        for purchase, last in known.items():
            for watcher in self._watchers.get(purchase, ()):
                if watcher.last < last:
                    watcher.moved.set()

    async def _doubt(self) -> None:
        """Ends the streams of those who may not watch any more."""
        now = asyncio.get_running_loop().time()
        if now < self._doubted + DOUBT:
            return
        self._doubted = now
        for watcher in [watcher for watchers in self._watchers.values() for watcher in watchers]:
            try:
                if not await watcher.proven():
                    watcher.dismiss()
            except Unavailable:
                return

    @contextmanager
    def watch(self, purchase: UUID, after: int, client: str, proven: Proven) -> Iterator[Watcher]:
        """Raises `Problem` 503 where this replica, and 429 where this purchase or this client's address, has as many as
        it may."""
        everyone = [watcher.client for watchers in self._watchers.values() for watcher in watchers]
        if self._stopping or len(everyone) >= MOST:
            raise Problem(503, "too_many_streams", "no more live updates can be served now", retry_after=10)
        if everyone.count(client) >= MOST_OF_CLIENT:
            raise Problem(429, "too_many_streams", "too many live updates go to this address already", retry_after=10)
        if len(self._watchers.get(purchase, ())) >= MOST_OF_ONE:
            raise Problem(429, "too_many_streams", "this journey is already watched often enough", retry_after=10)
        watcher = Watcher(after, client, proven)
        self._watchers[purchase].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[purchase].discard(watcher)
            if not self._watchers[purchase]:
                del self._watchers[purchase]

    def watched(self, purchase: UUID) -> bool:
        """Whether a stream of this purchase is open here."""
        return purchase in self._watchers

    async def events(self, purchase: UUID, watcher: Watcher) -> AsyncIterator[list[StoredEvent]]:
        """The journey's events after the watcher's, as they come. An empty list: all is told for now, or is silent
        for `KEEP_ALIVE`. Ends at the stop, after `LONGEST`, and soon after the watcher may not watch any more."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + LONGEST
        while not (self._stopping or watcher.dismissed) and loop.time() < ends:
            watcher.moved.clear()
            found = await self._read(purchase, watcher.last)
            if found:
                watcher.last = found[-1].id
                yield found
                if len(found) == BATCH:
                    continue
            yield []
            await _quiet(watcher.moved, KEEP_ALIVE)

    async def _read(self, purchase: UUID, after: int) -> list[StoredEvent]:
        async def read() -> list[StoredEvent]:
            async with self._database.transaction("read_journey") as tx:
                return list(await journeys.events_after(tx, purchase, after, BATCH))

        try:
            return await uncut(read())
        except Unavailable:
            return []


async def uncut(read: Coroutine[Any, Any, T]) -> T:
    """A stream whose browser is gone is cancelled at once and everywhere. A query under way ends by itself instead: cut
    off half-way it would cost the pool its connection."""
    task = asyncio.create_task(read)
    _reads.add(task)
    task.add_done_callback(_over)
    return await asyncio.shield(task)


def _over(read: asyncio.Task[Any]) -> None:
    """Where the stream is gone nobody asks what came of it, a failure neither."""
    _reads.discard(read)
    _ = read.cancelled() or read.exception()


async def _quiet(moved: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await moved.wait()
    except TimeoutError:
        pass
