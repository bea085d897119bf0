"""What the leading relay does: read, publish and mark, all three at once.

Of one subject one event is in flight at a time, so that its order is kept when one of them is refused: that row waits,
those behind it wait with it, and nobody else does. A crash between confirm and mark costs a duplicate, never a loss.
"""

import asyncio
from collections import deque
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

from keyturn import failpoints
from keyturn.bus import Blocked, Bus, Message, Refused
from keyturn.bus.message import CAUSE
from keyturn.database import Database
from keyturn.log import get_logger
from keyturn.metrics import CONFIRM, OUTBOX_REFUSED
from keyturn.retry import LONGEST_MESSAGE, RetryPolicy
from keyturn.wakeups import wait

POLL = 1.0
BATCH = 500
ROOM = 1_500  # rows in hand at most; a batch is read when there is room for it
IN_FLIGHT = 200
BURST = 20  # so many begin together: what is sent together is written, and often confirmed, together
# What commits, or is confirmed, within so short a while is read, or marked, by one statement.
READ_PAUSE = 0.003
MARK_PAUSE = 0.02
BROKER_AWAY = RetryPolicy(first=timedelta(milliseconds=200), cap=timedelta(seconds=5))
REFUSED = RetryPolicy(first=timedelta(seconds=1), cap=timedelta(minutes=5))

log = get_logger()

READ = """
SELECT id, event_id, subject, wire, time, body, exchange, routing_key, traceparent, cause, attempts FROM outbox AS mine
WHERE published IS NULL AND due <= $1 AND NOT id = ANY($2::bigint[]) AND NOT EXISTS (
  SELECT FROM outbox AS refused WHERE refused.published IS NULL AND refused.attempts > 0 AND refused.due > $1
    AND refused.subject = mine.subject AND refused.exchange = mine.exchange AND refused.id < mine.id)
ORDER BY id LIMIT $3
"""
MARK = "UPDATE outbox SET published = $2, error = NULL WHERE id = ANY($1::bigint[])"
REFUSE = "UPDATE outbox SET attempts = attempts + 1, error = $2, due = $3 WHERE id = $1"

Lane = tuple[str, str]


async def rehearse(connection: Any, now: datetime) -> None:
    """Each statement once, to no effect, before the lock is taken. The driver prepares what it has not sent before in a
    message of its own; a process that is stopped just then is not silent to the server, which waits for it for ever."""
    await connection.fetch(READ, now, [], 0)
    await connection.execute(MARK, [], now)
    await connection.execute(REFUSE, 0, None, now)


class Leader:
    """One leadership: ends with its connection. The server ends that where it hears nothing, and frees the lock: each
    `beat` seconds there is a sign of life, also while the broker is away. Whoever was stopped for longer may publish
    once more what it had in hand, which the others have published since; it can mark nothing, and ends at its next
    statement."""

    def __init__(self, database: Database, bus: Bus, connection: Any, *, beat: float) -> None:
        self._database = database
        self._service = database.service
        self._confirm_seconds = CONFIRM.labels(database.service)
        self._bus = bus
        self._connection = connection
        self._beat = beat
        self._one_statement = asyncio.Lock()
        self._in_hand: set[int] = set()
        self._lanes: dict[Lane, deque[Any]] = {}
        self._waiting: deque[Lane] = deque()  # for their turn to be in flight
        self._in_flight = 0
        self._tasks = asyncio.TaskGroup()
        self._confirmed: list[int] = []
        self._to_mark = asyncio.Event()
        self._room = asyncio.Event()
        self._woken = asyncio.Event()
        self._released = 0  # how often rows were put back: what was read meanwhile may stand before them
        self._unknown = 0  # in a row
        self._go_on = asyncio.Event()
        self._go_on.set()
        self.stopping = False

    def stop_when_empty(self) -> None:
        self.stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Until the outbox is empty after `stop_when_empty`. Raises what the connection raises."""
        async with self._tasks:
            beside = [self._tasks.create_task(run()) for run in (self._mark_for_ever, self._beat_for_ever)]
            await self._read_for_ever()
            for task in beside:
                task.cancel()

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._beat)
            async with self._one_statement:
                await self._connection.execute("SELECT 1")

    async def _read_for_ever(self) -> None:
        with self._database.wakeups.listen("outbox") as self._woken:
            while True:
                # Before the read: what it began to read earlier may not show the last commit.
                told_to_stop = self.stopping
                rows = await self._read()
                for row in rows:
                    self._take(row)
                self._begin()
                if not rows and not self._in_hand and told_to_stop:
                    return
                await self._until_there_is_room()
                if len(rows) < BATCH:
                    await asyncio.sleep(READ_PAUSE)
                    await wait(self._woken, POLL if not self.stopping else 0.02)

    async def _read(self) -> list[Any]:
        await self._go_on.wait()
        released = self._released
        async with self._one_statement:
            rows = await self._connection.fetch(READ, self._database.clock.now(), list(self._in_hand), BATCH)
        return rows if released == self._released else []

    async def _until_there_is_room(self) -> None:
        while len(self._in_hand) > ROOM - BATCH:
            self._room.clear()
            await self._room.wait()

    def _take(self, row: Any) -> None:
        self._in_hand.add(row["id"])
        lane = (row["exchange"], row["subject"])
        if lane in self._lanes:
            self._lanes[lane].append(row)
        else:
            self._lanes[lane] = deque([row])
            self._waiting.append(lane)

    def _begin(self) -> None:
        while self._waiting and self._in_flight < IN_FLIGHT:
            self._in_flight += 1
            self._tasks.create_task(self._drain(self._waiting.popleft()))

    async def _drain(self, lane: Lane) -> None:
        rows = self._lanes[lane]
        while rows and await self._publish(rows[0]):
            self._confirmed.append(rows.popleft()["id"])
            self._to_mark.set()
        self._release(rows)
        del self._lanes[lane]
        self._in_flight -= 1
        if self._in_flight <= IN_FLIGHT - BURST:
            self._begin()

    def _release(self, rows: deque[Any]) -> None:
        if rows:
            self._released += 1
            self._in_hand.difference_update(row["id"] for row in rows)
            self._room.set()
            self._woken.set()

    async def _publish(self, row: Any) -> bool:
        """Whether the next of its subject may follow."""
        if not self._go_on.is_set():
            return False
        began = perf_counter()
        try:
            await failpoints.hit(f"{self._service}.relay.claimed")
            await self._bus.publish(self._message(row))
            await failpoints.hit(f"{self._service}.relay.confirmed")
        except (Refused, Blocked, TypeError, ValueError) as error:
            await self._refuse(row, error)
            return False
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            self._pause()  # the client library cancels where its peer went silent
            return False
        except Exception as error:  # noqa: BLE001 - no confirm came, for whatever reason: it is sent again
            log.warning("event_not_confirmed", error=type(error).__name__, event_id=str(row["event_id"]))
            self._pause()
            return False
        self._unknown = 0
        self._confirm_seconds.observe(perf_counter() - began)
        return True

    def _message(self, row: Any) -> Message:
        headers = {"traceparent": row["traceparent"], CAUSE: row["cause"]}
        return Message(
            id=str(row["event_id"]),
            type=row["wire"],
            subject=row["subject"],
            source=self._service,
            time=row["time"],
            body=row["body"],
            headers={name: value for name, value in headers.items() if value},
            exchange=row["exchange"],
            routing_key=row["routing_key"],
        )

    async def _refuse(self, row: Any, error: Exception) -> None:
        reason = type(error).__name__
        OUTBOX_REFUSED.labels(self._service, reason).inc()
        log.error("event_refused", event_id=str(row["event_id"]), wire=row["wire"], error=reason)
        due = self._database.clock.now() + REFUSED.delay(row["attempts"] + 1)
        async with self._one_statement:
            await self._connection.execute(REFUSE, row["id"], f"{reason}: {error}"[:LONGEST_MESSAGE], due)

    def _pause(self) -> None:
        """The broker is away: that counts against no row."""
        if self._go_on.is_set():
            self._go_on.clear()
            self._unknown += 1
            delay = BROKER_AWAY.delay(self._unknown).total_seconds()
            asyncio.get_running_loop().call_later(delay, self._go_on.set)
            while self._waiting:
                self._release(self._lanes.pop(self._waiting.popleft()))

    async def _mark_for_ever(self) -> None:
        while True:
            await self._to_mark.wait()
            if self._in_flight:
                await asyncio.sleep(MARK_PAUSE)
            self._to_mark.clear()
            ids, self._confirmed = self._confirmed, []
            await failpoints.hit(f"{self._service}.relay.before_mark")
            async with self._one_statement:
                await self._connection.execute(MARK, ids, self._database.clock.now())
            await failpoints.hit(f"{self._service}.relay.marked")
            self._in_hand.difference_update(ids)
            self._room.set()
