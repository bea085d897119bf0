"""The relay: publishes the outbox. One process at a time leads for each database, by an advisory lock on a connection
of its own; whoever loses the connection stops, and tries to lead again for ever. The server ends the connection of a
leader that gives no sign of life. What a leader does: `keyturn.leader`.
"""

import asyncio

import asyncpg

from keyturn.bus import Bus
from keyturn.database import ANSWER_WITHIN, SESSION, Database
from keyturn.leader import Leader, rehearse
from keyturn.log import get_logger
from keyturn.metrics import LEADER

LOCK = 7_315_221
POLL = 1.0
STOP_WITHIN = 5.0

# The outbox is read along its index: statistics of quiet days promise a handful of unpublished rows, and with them the
# planner would sort a backlog of 100,000 for every 500 that are read.
PLAN = {"enable_bitmapscan": "off", "enable_sort": "off"}

SILENCE = 10.0  # seconds: a leader that was stopped, or cut off, holds up its service's events no longer than this

log = get_logger()


class Relay:
    def __init__(self, database: Database, bus: Bus, *, silence: float = SILENCE) -> None:
        self._database = database
        self._bus = bus
        self._silence = silence
        self._leader: Leader | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="relay")

    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """Publish what is committed already, as far as that takes no longer than a moment."""
        if self._task is None:
            return
        self._stopping = True
        if self._leader:
            self._leader.stop_when_empty()
            await asyncio.wait([self._task], timeout=STOP_WITHIN)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._lead()
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
                log.warning("relay_cancelled_by_a_library")  # nobody asked us to stop: the client library does this
            except Exception as error:  # noqa: BLE001 - a relay that ends publishes nothing any more
                inner = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
                log.warning("relay_lost_its_lead", error=type(inner).__name__)
            if not self._stopping:
                await asyncio.sleep(POLL)

    async def _lead(self) -> None:
        # Marking a row waits for no disk: what a crash of the server unmarks is published once more.
        own = {"idle_session_timeout": f"{self._silence * 1000:.0f}", "synchronous_commit": "off"}
        connection = await asyncpg.connect(
            self._database.dsn,
            timeout=ANSWER_WITHIN,
            command_timeout=ANSWER_WITHIN,
            server_settings=SESSION | PLAN | own,
            max_cached_statement_lifetime=0,  # see `rehearse`
        )
        gauge = LEADER.labels(self._database.service)
        try:
            await rehearse(connection, self._database.clock.now())
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):  # noqa: ASYNC110 - the other leader may be in another process
                await asyncio.sleep(POLL)
            gauge.set(1)
            self._leader = Leader(self._database, self._bus, connection, beat=self._silence / 4)
            await self._leader.run()
        finally:
            gauge.set(0)
            self._leader = None
            connection.terminate()
