"""The relay: publishes the outbox. One process at a time leads for each database, by an advisory lock on a connection
of its own; whoever loses the connection stops, and tries to lead again for ever. What a leader does: `keyturn.leader`.
"""

import asyncio

import asyncpg

from keyturn.bus import Bus
from keyturn.database import Database
from keyturn.leader import Leader
from keyturn.log import get_logger
from keyturn.metrics import LEADER

LOCK = 7_315_221
POLL = 1.0
STOP_WITHIN = 5.0

# A dead host's lock is freed when the server's keep-alive notices, not after two hours.
_SETTINGS = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}

log = get_logger()


class Relay:
    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
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
        connection = await asyncpg.connect(
            self._database.dsn, timeout=10, command_timeout=30, server_settings=_SETTINGS
        )
        gauge = LEADER.labels(self._database.service)
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):  # noqa: ASYNC110 - the other leader may be in another process
                await asyncio.sleep(POLL)
            gauge.set(1)
            self._leader = Leader(self._database, self._bus, connection)
            await self._leader.run()
        finally:
            gauge.set(0)
            self._leader = None
            connection.terminate()
