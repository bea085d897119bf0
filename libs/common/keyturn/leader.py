"""What the leading relay does: read, publish and mark, all three at once.

What is read is published in its order, several in flight, so that of one subject none waits for the confirm of the one
before. One that is refused holds back those of its subject behind it which are not in flight yet. Where it is unknown
what became of one, all that is not confirmed is read again, and what was in flight goes out one by one: so order
survives a lost connection, and a message over which the broker closes the channel is found. A crash between confirm and
mark costs a duplicate, never a loss. See docs/decisions/0008-order-of-events.md.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any
from uuid import UUID

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
BURST = 50  # at most so many go out together, in one write
# What commits, or is confirmed, within so short a while is read, or marked, by one statement.
READ_PAUSE = 0.003
MARK_PAUSE = 0.02
BROKER_AWAY = RetryPolicy(first=timedelta(milliseconds=200), cap=timedelta(seconds=5))
REFUSED = RetryPolicy(first=timedelta(seconds=1), cap=timedelta(minutes=5))

log = get_logger()

READ = """
SELECT id, event_id, subject, wire, time, body, exchange, routing_key, traceparent, cause, attempts FROM outbox AS mine
WHERE published IS NULL AND id > $4 AND due <= $1 AND NOT id = ANY($2::bigint[]) AND NOT EXISTS (
  SELECT FROM outbox AS refused WHERE refused.published IS NULL AND refused.attempts > 0
    AND (refused.due > $1 OR refused.id <= $4 AND NOT refused.id = ANY($2::bigint[]))
    AND refused.subject = mine.subject AND refused.exchange = mine.exchange AND refused.id < mine.id)
ORDER BY id LIMIT $3
"""
# Of the transactions that write: the last to begin, which is this one, and the first that has not ended.
WRITERS = """
SELECT pg_current_xact_id()::text::bigint AS last, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS first
"""
MARK = "UPDATE outbox SET published = $2, error = NULL WHERE id = ANY($1::bigint[])"
REFUSE = "UPDATE outbox SET attempts = attempts + 1, error = $2, due = $3 WHERE id = $1"


async def rehearse(connection: Any, now: datetime) -> None:
    """Each statement once, to no effect, before the lock is taken. The driver prepares what it has not sent before in a
    message of its own; a process that is stopped just then is not silent to the server, which waits for it for ever."""
    await connection.fetch(READ, now, [], 0, 0)
    await connection.fetch(WRITERS)
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
        self._after = self._floor = self._next_floor = self._read_to = 0  # ids
        self._last_writer = 0  # when the next floor was chosen, which is one once this writer and all before have ended
        self._swept = 0.0
        self._rows: deque[Any] = deque()  # read, and not in flight yet
        self._in_flight = 0
        self._one_by_one = 0  # so many more
        self._refusing = 0
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
                self._in_hand.update(row["id"] for row in rows)
                self._rows.extend(rows)
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
            await self._sweep()
            now = self._database.clock.now()
            rows = await self._connection.fetch(READ, now, list(self._in_hand), BATCH, self._after)
        if released != self._released:
            return []
        self._after = min(rows[-1]["id"], self._floor) if len(rows) == BATCH else self._floor
        self._read_to = max(self._read_to, rows[-1]["id"] if rows else 0)
        return rows  # type: ignore[no-any-return]

    async def _sweep(self) -> None:
        """What is published stays at the head of the index until it is vacuumed: that is passed once in a while, not by
        every read. Then also what is due again is found. The floor is below whatever may yet be committed."""
        if (now := perf_counter()) - self._swept < POLL and not self.stopping:
            return
        self._swept, self._after = now, 0
        if self._read_to == self._floor:
            return
        (writers,) = await self._connection.fetch(WRITERS)
        if writers["first"] > self._last_writer:
            self._floor, self._next_floor, self._last_writer = self._next_floor, self._read_to, writers["last"]

    async def _until_there_is_room(self) -> None:
        while len(self._in_hand) > ROOM - BATCH:
            self._room.clear()
            await self._room.wait()

    def _begin(self) -> None:
        """Send what there is room for. A task each, which the bus takes in the order in which they begin."""
        while self._rows and self._go_on.is_set() and not self._refusing:
            most, burst = (1, 1) if self._one_by_one else (IN_FLIGHT, BURST)
            if self._in_flight + min(burst, len(self._rows)) > most:
                return
            rows = self._next(burst)
            self._in_flight += len(rows)
            self._tasks.create_task(self._publish(rows))

    def _next(self, most: int) -> list[Any]:
        """One event may stand in the outbox twice, published and dead: not in one message to the bus."""
        rows: dict[UUID, Any] = {}
        while self._rows and len(rows) < most and self._rows[0]["event_id"] not in rows:
            row = self._rows.popleft()
            rows[row["event_id"]] = row
        return list(rows.values())

    async def _publish(self, rows: list[Any]) -> None:
        began = perf_counter()
        outcomes = list(zip(rows, await self._outcomes(rows), strict=True))
        self._confirmed += [row["id"] for row, error in outcomes if error is None]
        if self._confirmed:
            self._to_mark.set()
        refused = [(row, error) for row, error in outcomes if isinstance(error, Refused | Blocked)]
        unknown = [(row, error) for row, error in outcomes if error and not isinstance(error, Refused | Blocked)]
        if unknown:
            self._put_back(unknown)
        elif self._go_on.is_set():
            self._unknown = 0
            self._one_by_one = max(self._one_by_one - len(rows), 0)
            self._confirm_seconds.observe(perf_counter() - began)
        for row, reason in refused:
            await self._refuse(row, reason)
        self._in_flight -= len(rows)
        self._begin()

    async def _outcomes(self, rows: list[Any]) -> Sequence[BaseException | None]:
        try:
            await failpoints.hit(f"{self._service}.relay.claimed")
            outcomes = await self._bus.publish_all([self._message(row) for row in rows])
            await failpoints.hit(f"{self._service}.relay.confirmed")
        except Exception as error:  # noqa: BLE001 - no confirm came, for whatever reason: it is sent again
            return [error] * len(rows)
        return outcomes

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
        """Nothing else goes out meanwhile: those of its subject behind it are not to."""
        reason = type(error).__name__
        OUTBOX_REFUSED.labels(self._service, reason).inc()
        log.error("event_refused", event_id=str(row["event_id"]), wire=row["wire"], error=reason)
        due = self._database.clock.now() + REFUSED.delay(row["attempts"] + 1)
        self._refusing += 1
        async with self._one_statement:
            await self._connection.execute(REFUSE, row["id"], f"{reason}: {error}"[:LONGEST_MESSAGE], due)
        self._refusing -= 1
        self._release(row, *(other for other in self._rows if _lane(other) == _lane(row)))
        self._rows = deque(other for other in self._rows if _lane(other) != _lane(row))

    def _put_back(self, unknown: list[tuple[Any, BaseException]]) -> None:
        """The broker is away: that counts against no row. What is read anew is in order again."""
        (row, error), *_ = unknown
        log.warning("events_not_confirmed", error=type(error).__name__, first=str(row["event_id"]), count=len(unknown))
        self._release(*(row for row, _ in unknown), *self._rows)
        self._rows.clear()
        if self._go_on.is_set():
            self._go_on.clear()
            self._one_by_one = max(self._one_by_one, self._in_flight)
            self._unknown += 1
            delay = BROKER_AWAY.delay(self._unknown).total_seconds()
            asyncio.get_running_loop().call_later(delay, self._go_on.set)

    def _release(self, *rows: Any) -> None:
        self._released += 1
        self._after = self._floor = self._next_floor = self._read_to = 0
        self._in_hand.difference_update(row["id"] for row in rows)
        self._room.set()
        self._woken.set()

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


def _lane(row: Any) -> tuple[str, str]:
    """What is kept in order."""
    return row["exchange"], row["subject"]
