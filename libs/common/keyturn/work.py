"""Work: anything still to be done that is not a fact. A row says what and when; `keyturn.worker` has it done.

async def send_refund(work: Work, deps: BillingDeps) -> None: ...
WORK = {"refund": WorkKind(send_refund)}
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from keyturn.database import Database, Transaction
from keyturn.errors import LeaseLost
from keyturn.events import Envelope, Event
from keyturn.retry import DEFAULT, RetryPolicy

__all__ = ["RetryPolicy", "Work", "WorkKind"]

D = TypeVar("D")
Died = Callable[["Work", BaseException, Transaction], Awaitable[None]]

# KEY SHARE keeps another worker from claiming the row until we commit, and does not make whoever schedules the same
# work again wait for us: that could be a transaction that holds a row we want next. With its values in it, which are
# ours, it takes no way of its own to the server.
HOLD = "SELECT 1 FROM work WHERE id = '{id}' AND fence = {fence} AND state = 'open' FOR KEY SHARE"


def ending(now: str, following: str) -> str:
    """What an UPDATE sets of work that is done: closed, or open again for what was asked meanwhile, or `following`."""
    return f"""
  state = CASE WHEN least(again, {following}) IS NULL THEN 'done' ELSE 'open' END,
  finished = CASE WHEN least(again, {following}) IS NULL THEN {now}::timestamptz END,
  due = coalesce(least(again, {following}), due),
  again = NULL, attempts = 0, started = NULL, reason = NULL, leased_until = NULL, worker = NULL"""


# `$4`: when a periodic kind is due next.
FINISH = f"""
UPDATE work SET {ending("$3", "$4::timestamptz")}
WHERE id = $1 AND fence = $2 AND state = 'open'
RETURNING id
"""  # noqa: S608 - our own names


@dataclass
class Work:
    """A claimed row in a worker's hands. `attempt` counts from 1; `fence` grows with every claim."""

    id: UUID
    kind: str
    key: str
    payload: dict[str, Any]
    subject: str | None
    attempt: int
    created: datetime
    fence: int
    database: Database = field(repr=False)
    waiting_since: datetime
    body: bytes | None = field(default=None, repr=False)
    history: list[dict[str, Any]] = field(default_factory=list, repr=False)
    traceparent: str | None = None
    causationid: str | None = None
    every: timedelta | None = None
    finished: bool = False

    def transaction(
        self, name: str = "", *, finish: bool = False, hold: bool = True
    ) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that only the holder of the lease gets: raises `LeaseLost` otherwise. With `finish` the work
        is done in the same commit. Without `hold`, one of its own statements checks the fence."""
        return self.labelled(f"{self.kind}.{name}" if name else self.kind, finish=finish, hold=hold)

    @asynccontextmanager
    async def labelled(
        self, label: str, *, finish: bool, hold: bool = True, cause: Event | Envelope | None = None
    ) -> AsyncIterator[Transaction]:
        held = HOLD.format(id=self.id, fence=self.fence) if hold and not finish else ""
        async with self.database.transaction(label, cause=cause, first=held) as tx:
            if held and tx.first != "SELECT 1":
                raise LeaseLost(f"{self.kind} {self.id}")
            tx.waiting_since = self.waiting_since
            tx.causationid = tx.causationid or self.causationid
            if finish:  # which checks the fence itself
                tx.before_commit.append(lambda: self._finish(tx))
            yield tx
        self.finished = self.finished or finish

    async def end(self) -> None:
        """Finish it, where no transaction of its own did. The statement checks the fence itself."""
        self._check(await self.database.run(f"{self.kind}.done", *self._finishing(self.database.clock.now())))
        self.finished = True

    async def _finish(self, tx: Transaction) -> None:
        self._check(await tx.run(*self._finishing(tx.now)))

    def _finishing(self, now: datetime) -> tuple[Any, ...]:
        return FINISH, self.id, self.fence, now, now + self.every if self.every else None

    def _check(self, held: Sequence[Any]) -> None:
        if not held:
            raise LeaseLost(f"{self.kind} {self.id}")


@dataclass(frozen=True)
class WorkKind(Generic[D]):
    """How one kind of work is done. `every`: a periodic run, at one replica at a time. `slots`: at most so many at
    once in one process. `died` runs in the transaction in which the row dies."""

    run: Callable[[Work, D], Awaitable[None]]
    retry: RetryPolicy = DEFAULT
    every: timedelta | None = None
    slots: int | None = None
    died: Died | None = None
