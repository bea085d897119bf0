"""Work against a model of its rows: scheduled, claimed, failed, lost and taken again, in any order."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, precondition, rule

from keyturn.clock import MovableClock
from keyturn.database import Database
from keyturn.errors import GiveUp, LeaseLost, Retry, Wait
from keyturn.events import uuid7
from keyturn.internal import Caller
from keyturn.leases import RELEASE
from keyturn.operations import Order, Selection, act
from keyturn.retry import RetryPolicy
from keyturn.settling import settle
from keyturn.work import Work, WorkKind
from keyturn.worker import Worker
from support.models import TIMEOUT, Loop, Machine, NewDatabase, run_machine

pytestmark = [pytest.mark.servers, pytest.mark.timeout(TIMEOUT)]

ATTEMPTS = 3
ROW = "SELECT id, state, attempts, fence, payload, due, leased_until IS NOT NULL AS held FROM work WHERE key = $1"


async def _never(work: Work, deps: None) -> None:
    raise AssertionError("the machine does the work itself")


KIND: WorkKind[None] = WorkKind(_never, retry=RetryPolicy(attempts=ATTEMPTS, first=timedelta(seconds=1)))
ERRORS = {"retry": Retry("away"), "wait": Wait("not_yet", "later", until=None), "give up": GiveUp("no")}


@dataclass
class Row:
    """The open row of a key. `again`: scheduled once more while somebody had it. `attempts`: as they are counted."""

    payload: int
    attempts: int = 0
    held: bool = False
    again: bool = False
    parked: bool = False


@dataclass
class Held:
    key: str
    work: Work
    lost: bool = False


class WorkRows(Machine):
    world: "Place"
    claims: Bundle[Any] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.keys = [str(uuid7()) for _ in range(2)]
        self.open: dict[str, Row] = {}
        self.closed: dict[str, list[str]] = {key: [] for key in self.keys}
        self.held: list[Held] = []
        self.effects: list[str] = []
        self.number = 0

    @rule(which=st.integers(0, 1))
    def is_scheduled(self, which: int) -> None:
        key, self.number = self.keys[which], self.number + 1
        self.do(self.world.schedule(key, self.number))
        row = self.open.setdefault(key, Row(self.number))
        row.payload, row.again, row.parked = self.number, row.held, row.parked and row.held

    @rule(which=st.integers(0, 1))
    def is_cancelled(self, which: int) -> None:
        key = self.keys[which]
        self.do(self.world.cancel(key))
        if self.open.pop(key, None):
            self.closed[key].append("cancelled")
            self._lose(key)

    @rule(target=claims)
    def is_claimed(self) -> Any:
        """All that is due: what is free, and what nobody renews any more."""
        made = []
        for work in self.do(self.world.claim(self.keys)):
            row = self.open[work.key]
            assert (row.held, row.parked) == (False, False)
            row.held, row.attempts = True, row.attempts + 1
            assert (work.attempt, work.payload) == (row.attempts, {"n": row.payload})
            made.append(Held(work.key, work))
        free = [key for key, row in self.open.items() if not (row.held or row.parked)]
        assert free == []
        self.held += made
        return made

    @rule(which=st.integers(0, 1))
    def lease_runs_out(self, which: int) -> None:
        row = self.open.get(self.keys[which])
        if row and row.held:
            self.do(self.world.expire(self.keys[which]))
            row.held = False

    @rule(which=st.integers(0, 1), outcome=st.sampled_from(["done", "done apart", *ERRORS, "given back"]))
    @precondition(lambda self: self.held)
    def ends(self, which: int, outcome: str) -> None:
        held = self.held.pop(min(which, len(self.held) - 1))
        row = self.open.get(held.key)
        holds = row is not None and not held.lost and row.attempts >= 1 and self.do(self.world.fence(held.work))
        try:
            self.do(self._end(held, outcome))
        except LeaseLost:
            assert not holds
            return
        if outcome == "given back" and not holds:
            return
        assert holds
        assert row
        self._ended(held.key, row, outcome)

    async def _end(self, held: Held, outcome: str) -> None:
        if outcome == "given back":
            await self.world.release(held.work)
        elif outcome == "done":
            async with held.work.transaction("done", finish=True) as tx:
                await tx.run("INSERT INTO effects (what, n) VALUES ($1, 1)", held.key)
        elif outcome == "done apart":
            await held.work.end()
        else:
            await settle(held.work, KIND, ERRORS[outcome])

    def _ended(self, key: str, row: Row, outcome: str) -> None:
        if outcome == "done":
            self.effects.append(key)
        row.held = False
        again, row.again = row.again, False
        if outcome == "given back":
            row.attempts, row.again = row.attempts - 1, again
        elif outcome.startswith("done"):
            row.attempts = 0
            if not again:
                self._close(key, "done")
        elif outcome == "wait":
            row.attempts, row.parked = row.attempts - 1, not again
        elif outcome == "give up" or row.attempts >= ATTEMPTS:
            self._close(key, "dead")
            if again:
                self.open[key] = Row(row.payload)

    def _close(self, key: str, state: str) -> None:
        del self.open[key]
        self.closed[key].append(state)

    def _lose(self, key: str) -> None:
        for held in self.held:
            held.lost = held.lost or held.key == key

    @rule(which=st.integers(0, 1), action=st.sampled_from(["retry", "discard"]))
    def operator_acts(self, which: int, action: Any) -> None:
        """On everything of a key: what somebody has is left alone, and of what died the newest stands for the rest."""
        key = self.keys[which]
        rows = self.do(self.world.rows(key))
        before = self.open.get(key)
        self.do(act(self.world.database, Order(action, Selection("ids", [row.id for row in rows]), ADMIN, "well")))
        dead = self.closed[key].count("dead")
        if before and before.held:
            if action == "discard":
                self._move(key, "dead", "discarded", dead)
            return
        if action == "discard":
            if before:
                self._close(key, "discarded")
                self._lose(key)
            self._move(key, "dead", "discarded", dead)
        elif before:
            self._lose(key)
            self._move(key, "dead", "resolved", dead)
            before.attempts, before.parked = 0, False
        elif dead:
            self.closed[key].remove("dead")
            self._move(key, "dead", "resolved", dead - 1)
            self.open[key] = Row(int(self._newest_dead(rows).payload["n"]))

    def _newest_dead(self, rows: list[Any]) -> Any:
        return max((row for row in rows if row.state == "dead"), key=lambda row: row.id)

    def _move(self, key: str, old: str, new: str, times: int) -> None:
        self.closed[key] = [new if state == old else state for state in self.closed[key]]
        assert times >= 0

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        for key in self.keys:
            rows = self.do(self.world.rows(key))
            assert sorted(row.state for row in rows if row.state != "open") == sorted(self.closed[key])
            found = [row for row in rows if row.state == "open"]
            wanted = [self.open[key]] if key in self.open else []
            assert [(row.held, row.attempts, row.payload["n"], row.due is None) for row in found] == [
                (one.held, one.attempts, one.payload, one.parked) for one in wanted
            ]
        assert sorted(self.do(self.world.effects(self.keys))) == sorted(self.effects)


ADMIN = Caller("ada", "admin")


class Place:
    """A database, and a worker that claims and leaves the doing to the machine."""

    def __init__(self, database: Database, clock: MovableClock) -> None:
        self.database = database
        self._clock = clock
        self._worker: Worker[None] = Worker(database, {"mail": KIND}, None)

    async def schedule(self, key: str, number: int) -> None:
        async with self.database.transaction("test") as tx:
            tx.schedule("mail", key, {"n": number})

    async def cancel(self, key: str) -> None:
        async with self.database.transaction("test") as tx:
            tx.cancel("mail", key)

    async def claim(self, keys: list[str]) -> list[Work]:
        self._clock.move(timedelta(minutes=10))
        claimed: list[Work] = []
        worker: Worker[None] = Worker(self.database, {"mail": KIND}, None, slots=1000)
        worker._begin = claimed.append  # type: ignore[method-assign, assignment]
        await worker._claim()
        return [work for work in claimed if work.key in keys]

    async def expire(self, key: str) -> None:
        """Nobody has renewed it for longer than a lease."""
        async with self.database.transaction("test") as tx:
            await tx.run("UPDATE work SET leased_until = NULL WHERE key = $1 AND state = 'open'", key)

    async def release(self, work: Work) -> None:
        async with self.database.transaction("test") as tx:
            await tx.run(RELEASE, work.id, work.fence)

    async def fence(self, work: Work) -> bool:
        async with self.database.transaction("test") as tx:
            found = await tx.run("SELECT fence, state FROM work WHERE id = $1", work.id)
        return bool(found and found[0].fence == work.fence and found[0].state == "open")

    async def rows(self, key: str) -> list[Any]:
        async with self.database.transaction("test") as tx:
            return list(await tx.run(ROW, key))

    async def effects(self, keys: list[str]) -> list[str]:
        async with self.database.transaction("test") as tx:
            return [row.what for row in await tx.run("SELECT what FROM effects WHERE what = ANY($1)", keys)]


@pytest.fixture
def place(new_database: NewDatabase, loop: Loop) -> Iterator[Place]:
    clock = MovableClock()
    database = Database(new_database("billing"), service="billing", clock=clock)

    async def effects() -> None:
        async with database.transaction("test") as tx:
            await tx.run("CREATE TABLE effects (what text, n int)")

    loop.run(effects())
    yield Place(database, clock)
    loop.run(database.close())


def test_work_is_never_done_by_two_and_never_lost(place: Place, loop: Loop) -> None:
    run_machine(WorkRows, loop, place)
