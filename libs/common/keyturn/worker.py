"""The worker: claims due work up to its free slots, holds it under a lease that it renews, and writes what came of it.

Due times are compared with our clock, leases with the database's. A worker whose lease was taken is cancelled; the
fence keeps it from writing anything in between.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from time import monotonic, perf_counter
from typing import Any, Generic, TypeVar
from uuid import UUID

from keyturn import failpoints
from keyturn.database import Database
from keyturn.errors import GiveUp, LeaseLost, Unavailable
from keyturn.events import Envelope, Event
from keyturn.inbox import Handler, Inbox
from keyturn.leases import CLAIM, ENSURE, RELEASE, RENEW
from keyturn.log import correlated, get_logger
from keyturn.maintenance import RETENTION, sample
from keyturn.metrics import WORK_DONE
from keyturn.retry import cause_of
from keyturn.settling import settle
from keyturn.tracing import trace, trace_id
from keyturn.wakeups import wait
from keyturn.work import Work, WorkKind

D = TypeVar("D")
POLL = 1.0
SAMPLE_EVERY = 10.0

log = get_logger()


class Worker(Generic[D]):
    def __init__(
        self,
        database: Database,
        work: Mapping[str, WorkKind[D]],
        deps: D,
        *,
        handlers: Mapping[type[Event] | type[Envelope], Handler[Any]] | None = None,
        slots: int = 16,
        lease: timedelta = timedelta(seconds=30),
        stop_within: timedelta = timedelta(seconds=20),
    ) -> None:
        self._database = database
        self._kinds: dict[str, WorkKind[Any]] = {**work, "retention": RETENTION}
        self._kinds["event"] = Inbox(database, handlers or {}).work_kind()
        self._deps = deps
        self._slots = slots
        self._lease = lease
        self._stop_within = stop_within.total_seconds()
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._running: dict[asyncio.Task[None], Work] = {}
        self._renewed = monotonic()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        loops = {"claim": self._claim_forever, "renew": self._renew_forever, "tend": self._tend_forever}
        self._tasks = [asyncio.create_task(_for_ever(run), name=f"worker-{name}") for name, run in loops.items()]

    def alive(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def stop(self) -> None:
        """Takes nothing new, lets what runs finish, and gives back what does not finish in time."""
        self._stopping = True
        if self._tasks:
            claiming = self._tasks.pop(0)
            self._wake.set()
            await asyncio.wait([claiming], timeout=POLL)  # what it is claiming now would wait for its lease to expire
            claiming.cancel()
            await asyncio.wait([claiming])
        if self._running:
            await asyncio.wait(self._running, timeout=self._stop_within)
        unfinished = list(self._running)
        for task in (*unfinished, *self._tasks):
            task.cancel()
        if unfinished or self._tasks:
            await asyncio.wait([*unfinished, *self._tasks])

    async def _claim_forever(self) -> None:
        with self._database.wakeups.listen("work") as self._wake:
            while not self._stopping:
                self._wake.clear()  # what is scheduled from here on wakes us again
                if not await self._claim():
                    await wait(self._wake, POLL)

    async def _claim(self) -> bool:
        """Claim what is due and start it; whether there may be more."""
        room = self._room()
        if not room:
            return False
        columns = zip(*((kind, part, most) for part, (kinds, most) in enumerate(room) for kind in kinds), strict=True)
        now = self._database.clock.now()
        rows = await self._database.run("claim", CLAIM, now, *columns, self._lease, self._name)
        for row in rows:
            self._begin(self._work(row))
        return len(rows) >= min(most for _, most in room)

    def _room(self) -> list[tuple[list[str], int]]:
        """Which kinds may be claimed, and how many of them; kinds with slots of their own apart."""
        busy = [work.kind for work in self._running.values()]
        free = self._slots - len(busy)
        shared = [name for name, kind in self._kinds.items() if kind.slots is None]
        own = [([n], min(free, kind.slots - busy.count(n))) for n, kind in self._kinds.items() if kind.slots]
        return [(kinds, limit) for kinds, limit in ((shared, free), *own) if limit > 0]

    def _work(self, row: Any) -> Work:
        return Work(
            id=row.id,
            kind=row.kind,
            key=row.key,
            payload=row.payload,
            subject=row.subject,
            attempt=row.attempts,
            created=row.created,
            fence=row.fence,
            database=self._database,
            waiting_since=row.started,
            body=row.body,
            history=row.history,
            traceparent=row.traceparent,
            causationid=row.causationid,
            every=self._kinds[row.kind].every,
        )

    def _begin(self, work: Work) -> None:
        task = asyncio.create_task(self._run(work), name=f"work-{work.kind}-{work.id}")
        self._running[task] = work
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._wake.set()  # a slot is free
        if not task.cancelled() and (error := task.exception()):
            log.error("work_task_failed", error=type(error).__name__)

    async def _run(self, work: Work) -> None:
        kind = self._kinds[work.kind]
        label = {"service": self._database.service, "work": work.kind, "work_id": str(work.id)}
        with (
            trace(work.traceparent) as header,
            correlated(**label, subject=work.subject, attempt=work.attempt, trace_id=trace_id(header)),
        ):
            began = perf_counter()
            try:
                outcome = await self._attempt(work, kind)
            except asyncio.CancelledError:
                outcome = "cancelled"
                await self._give_back(work)
            WORK_DONE.labels(self._database.service, work.kind, outcome).observe(perf_counter() - began)

    async def _attempt(self, work: Work, kind: WorkKind[D]) -> str:
        try:
            _refuse_killers(work, kind)
            await failpoints.hit(f"{self._database.service}.work.{work.kind}.claimed")
            await kind.run(work, self._deps)
            await failpoints.hit(f"{self._database.service}.work.{work.kind}.ran")
            if not work.finished:
                await work.end()
        except LeaseLost:
            log.warning("work_lease_lost")
            return "lease_lost"
        except Exception as error:  # noqa: BLE001 - whatever it is, `judge` says what follows
            return await self._failed(work, kind, error)
        return "done"

    async def _failed(self, work: Work, kind: WorkKind[D], error: Exception) -> str:
        if work.finished:
            log.error("work_failed_after_its_end", **asdict(cause_of(error)))
            return "done"
        patience = monotonic() + self._lease.total_seconds()
        while True:
            try:
                return await settle(work, kind, error)
            except LeaseLost:
                return "lease_lost"
            except Unavailable:
                if monotonic() > patience:
                    return "unavailable"  # the lease expires, and somebody does the work again
                await asyncio.sleep(POLL)

    async def _give_back(self, work: Work) -> None:
        """Stopped before its end: due again at once, and no attempt is counted."""
        if not work.finished:
            with suppress(Unavailable):
                await self._database.run("release", RELEASE, work.id, work.fence)

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                await self._renew()
            except Unavailable:
                if monotonic() - self._renewed > self._lease.total_seconds():
                    self._stop_running([])  # others may have the work by now

    async def _renew(self) -> None:
        began = monotonic()
        mine = [work for work in self._running.values() if not work.finished]
        held: list[UUID] = []
        if mine:
            ids, fences = [work.id for work in mine], [work.fence for work in mine]
            rows = await self._database.run("renew", RENEW, ids, fences, self._lease)
            held = [row.id for row in rows]
        self._renewed = began
        self._stop_running(held, among=mine)

    def _stop_running(self, held: Sequence[UUID], among: Sequence[Work] | None = None) -> None:
        for task, work in self._running.items():
            if work.id not in held and not work.finished and (among is None or work in among):
                log.warning("work_lease_lost", work=work.kind, work_id=str(work.id), subject=work.subject)
                task.cancel()

    async def _tend_forever(self) -> None:
        """Periodic kinds have their open row, and the gauges are current."""
        periodic = [name for name, kind in self._kinds.items() if kind.every]
        while True:
            async with self._database.transaction("ensure_periodic") as tx:
                if await tx.run(ENSURE, periodic, tx.now):
                    tx.wake("work")
            await sample(self._database, list(self._kinds))
            await asyncio.sleep(SAMPLE_EVERY)


def _refuse_killers(work: Work, kind: WorkKind[D]) -> None:
    if work.attempt > kind.retry.attempts:
        raise GiveUp(f"{work.attempt - 1} attempts ended without an answer: the process died in them")


async def _for_ever(run: Callable[[], Awaitable[None]]) -> None:
    """A database that is away ends no loop; nor does an error that nobody thought of."""
    while True:
        try:
            await run()
        except Unavailable:
            log.warning("worker_waits_for_database")
        except Exception as error:  # noqa: BLE001
            # Not the traceback: a bug's own text may quote what customers told us.
            log.error("worker_loop_failed", **asdict(cause_of(error)))  # noqa: TRY400
        else:
            return
        await asyncio.sleep(POLL)
