"""Work: one open row for each key, leases with a fence, retries, periodic runs, and the end of each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.database import Database, Transaction
from keyturn.errors import GiveUp, LeaseLost, Retry, Unavailable, Wait
from keyturn.work import RetryPolicy, Work, WorkKind
from keyturn.worker import Worker
from support.data_plane import METADATA, one

pytestmark = pytest.mark.servers

LEASE = timedelta(seconds=0.6)
NOW = timedelta(0)
STATE = "SELECT state FROM work WHERE kind = $1 ORDER BY created DESC LIMIT 1"
EFFECTS = "SELECT count(*) FROM effects"


@pytest.fixture
async def database(database_url: Any, clock: MovableClock) -> AsyncIterator[Database]:
    made = Database(await database_url(METADATA), service="billing", clock=clock)
    yield made
    await made.close()


@pytest.fixture
async def worker_for(database: Database) -> AsyncIterator[Callable[..., Any]]:
    started: list[Worker[None]] = []

    async def start(kinds: dict[str, WorkKind[None]], **options: Any) -> Worker[None]:
        worker = Worker(database, kinds, None, **options)
        started.append(worker)
        await worker.start()
        return worker

    yield start
    for worker in started:
        await worker.stop()


async def schedule(database: Database, key: str = "k", **options: Any) -> None:
    async with database.transaction("schedule") as tx:
        tx.schedule("mail", key, **options)


def is_(database: Database, state: str, kind: str = "mail") -> Callable[[], Any]:
    async def check() -> bool:
        return bool(await one(database, STATE, kind) == state)

    return check


async def effect(tx: Transaction, what: str, number: int = 1) -> None:
    await tx.run("INSERT INTO effects (what, n) VALUES ($1, $2)", what, number)


async def test_scheduled_work_is_done_once_and_its_row_says_so(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    async def run(work: Work, _: None) -> None:
        async with work.transaction(finish=True) as tx:
            await effect(tx, work.payload["to"])

    await worker_for({"mail": WorkKind(run)})
    await schedule(database, payload={"to": "a"}, subject="p")
    await wait_until(is_(database, "done"))
    assert await one(database, "SELECT what FROM effects") == "a"


async def test_one_open_row_for_each_key_takes_the_new_payload_and_the_earlier_due_time(
    database: Database, clock: MovableClock
) -> None:
    later = clock.now() + timedelta(days=2)
    await schedule(database, payload={"v": 1}, due=later)
    await schedule(database, payload={"v": 2}, due=later + timedelta(days=1))
    assert await one(database, "SELECT count(*) FROM work") == 1
    assert await one(database, "SELECT payload FROM work") == {"v": 2}
    assert await one(database, "SELECT due FROM work") == later


async def test_the_last_word_of_a_transaction_counts(database: Database) -> None:
    await schedule(database)
    async with database.transaction("both") as tx:
        tx.cancel("mail", "k")
        tx.schedule("mail", "k", {"v": 3})
        tx.schedule("mail", "gone")
        tx.cancel("mail", "gone")
    assert await one(database, "SELECT count(*) FROM work WHERE state = 'open'") == 1
    assert await one(database, "SELECT payload FROM work WHERE state = 'open'") == {"v": 3}
    assert await one(database, "SELECT count(*) FROM work WHERE state = 'cancelled'") == 1


async def test_work_scheduled_while_it_runs_runs_again_afterwards_with_the_new_payload(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    seen: list[Any] = []
    go_on = asyncio.Event()

    async def run(work: Work, _: None) -> None:
        seen.append(work.payload)
        await go_on.wait()

    await worker_for({"mail": WorkKind(run)})
    await schedule(database, payload={"v": 1})
    await wait_until(lambda: seen)
    await schedule(database, payload={"v": 2})
    go_on.set()
    await wait_until(lambda: len(seen) == 2)
    await wait_until(is_(database, "done"))
    assert seen == [{"v": 1}, {"v": 2}]


async def test_due_times_follow_our_clock(
    database: Database, worker_for: Any, wait_until: Any, clock: MovableClock
) -> None:
    ran: list[str] = []

    async def run(work: Work, _: None) -> None:
        ran.append(work.key)

    await worker_for({"mail": WorkKind(run)})
    await schedule(database, "later", due=clock.now() + timedelta(days=7))
    await schedule(database, "now")
    await wait_until(lambda: ran)
    assert ran == ["now"]
    clock.move(timedelta(days=7))
    await wait_until(lambda: ran == ["now", "later"])


@pytest.mark.parametrize(("attempts", "state"), [(3, "done"), (2, "dead")])
async def test_retries_end_with_success_or_death(
    database: Database, worker_for: Any, wait_until: Any, attempts: int, state: str
) -> None:
    async def run(work: Work, _: None) -> None:
        if work.attempt < 3:
            raise Retry("not yet", after=NOW)

    await worker_for({"mail": WorkKind(run, retry=RetryPolicy(attempts=attempts))})
    await schedule(database)
    await wait_until(is_(database, state))
    assert await one(database, "SELECT jsonb_array_length(history) FROM work WHERE kind = 'mail'") == 2


async def test_waiting_counts_no_attempt_and_knows_since_when(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    tries: list[tuple[int, Any]] = []

    async def run(work: Work, _: None) -> None:
        tries.append((work.attempt, work.waiting_since))
        if len(tries) < 4:
            raise (Unavailable("away") if len(tries) == 1 else Wait("not_ready", "soon", until=work.waiting_since))

    await worker_for({"mail": WorkKind(run, retry=RetryPolicy(attempts=1))})
    await schedule(database)
    await wait_until(is_(database, "done"), 15)
    assert len(set(tries)) == 1
    assert tries[0][0] == 1


async def test_rule_16_work_that_always_takes_too_long_dies(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    async def run(work: Work, _: None) -> None:
        async with work.transaction() as tx:
            await tx.run("SET LOCAL statement_timeout = 1")
            await tx.run("SELECT pg_sleep(60)")

    await worker_for({"mail": WorkKind(run, retry=RetryPolicy(attempts=2, first=timedelta()))})
    await schedule(database)
    await wait_until(is_(database, "dead"))


async def test_a_parked_row_waits_until_somebody_acts(database: Database, worker_for: Any, wait_until: Any) -> None:
    tries: list[int] = []

    async def run(work: Work, _: None) -> None:
        tries.append(work.attempt)
        if len(tries) == 1:
            raise Wait("needs_operator", "no room", until=None)

    await worker_for({"mail": WorkKind(run)})
    await schedule(database)
    await wait_until(lambda: _reason(database, "needs_operator"))
    assert await one(database, "SELECT due FROM work WHERE kind = 'mail'") is None
    await schedule(database)
    await wait_until(is_(database, "done"))


async def _reason(database: Database, wanted: str) -> bool:
    return bool(await one(database, "SELECT reason FROM work WHERE kind = 'mail'") == wanted)


async def test_giving_up_is_death_at_once_and_runs_what_follows_in_the_same_commit(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    async def run(work: Work, _: None) -> None:
        raise GiveUp("no such address")

    async def died(work: Work, error: BaseException, tx: Transaction) -> None:
        await effect(tx, f"{work.key}: {error}")

    await worker_for({"mail": WorkKind(run, died=died)})
    await schedule(database)
    await wait_until(is_(database, "dead"))
    assert await one(database, "SELECT what FROM effects") == "k: no such address"
    assert await one(database, "SELECT cause FROM work WHERE kind = 'mail'") == "mail GiveUp at test_work.run"


async def test_rule_17_the_text_of_a_bug_is_not_stored(database: Database, worker_for: Any, wait_until: Any) -> None:
    async def run(work: Work, _: None) -> None:
        raise KeyError("customer@example.com")

    await worker_for({"mail": WorkKind(run, retry=RetryPolicy(attempts=1))})
    await schedule(database)
    await wait_until(is_(database, "dead"))
    assert "customer" not in await one(database, "SELECT work::text FROM work WHERE kind = 'mail'")


async def test_rule_11_a_worker_that_lost_its_lease_writes_nothing_and_stops(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    holding, stopped, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    written: list[str] = []

    async def run(work: Work, _: None) -> None:
        holding.set()
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            with pytest.raises(LeaseLost):
                await _write_something(work, written)
            stopped.set()
            raise

    await worker_for({"mail": WorkKind(run)}, lease=LEASE)
    await schedule(database)
    await holding.wait()
    await one(database, "UPDATE work SET fence = fence + 1, due = NULL RETURNING 1")  # somebody else has it now
    await wait_until(stopped.is_set)
    assert written == []
    assert await one(database, EFFECTS) == 0
    assert await one(database, "SELECT state FROM work WHERE kind = 'mail'") == "open"


async def _write_something(work: Work, written: list[str]) -> None:
    async with work.transaction() as tx:
        await effect(tx, "too late")
        written.append("too late")


async def test_rule_11_a_claim_that_a_crash_of_the_server_forgot_is_no_right_to_write(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    """A claim waits for no disk. Whoever holds a forgotten one is as if it had lost its lease: no fence comes twice."""
    fences: list[int] = []
    written: list[str] = []
    again, refused = asyncio.Event(), asyncio.Event()

    async def run(work: Work, _: None) -> None:
        fences.append(work.fence)
        if len(fences) == 2:
            again.set()
            await refused.wait()
            return
        await one(database, "UPDATE work SET fence = 0, attempts = 0, leased_until = NULL WHERE id = $1", work.id)
        database.wakeups.wake("work")
        await again.wait()
        with pytest.raises(LeaseLost):
            await _write_something(work, written)
        refused.set()

    await worker_for({"mail": WorkKind(run)})
    await schedule(database)
    await wait_until(is_(database, "done"))
    assert fences[0] < fences[1]
    assert written == []


async def test_rule_11_the_fence_refuses_even_a_transaction_that_is_under_way(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    outcome: list[str] = []

    async def run(work: Work, _: None) -> None:
        try:
            async with work.transaction(finish=True) as tx:
                async with database.transaction("somebody_else") as other:
                    other.cancel("mail", "k")
                await effect(tx, "refused")
        except LeaseLost:
            outcome.append("lost")
            raise

    await worker_for({"mail": WorkKind(run)})
    await schedule(database)
    await wait_until(lambda: outcome)
    assert await one(database, EFFECTS) == 0
    assert await one(database, STATE, "mail") == "cancelled"


async def test_an_expired_lease_is_taken_over(database: Database, worker_for: Any, wait_until: Any) -> None:
    await schedule(database)
    await one(
        database,
        "UPDATE work SET fence = 7, attempts = 1, worker = 'dead', leased_until = clock_timestamp() + interval '0.5 s'"
        " RETURNING 1",
    )
    seen: list[tuple[int, int]] = []

    async def run(work: Work, _: None) -> None:
        seen.append((work.fence, work.attempt))

    await worker_for({"mail": WorkKind(run)})
    await wait_until(is_(database, "done"))
    [(fence, attempt)] = seen
    assert (fence > 7, attempt) == (True, 2)


async def test_a_lease_is_renewed_while_the_work_runs(database: Database, worker_for: Any, wait_until: Any) -> None:
    runs: list[int] = []
    enough = asyncio.Event()

    async def run(work: Work, _: None) -> None:
        runs.append(work.fence)
        async with work.transaction("holds_its_row"):
            await enough.wait()  # longer than the lease, with the row locked

    for _ in range(2):
        await worker_for({"mail": WorkKind(run)}, lease=LEASE)
    await schedule(database)
    await wait_until(lambda: runs)
    first = await one(database, "SELECT clock_timestamp() + interval '1.5 s'")
    await wait_until(lambda: _past(database, first))
    await wait_until(lambda: one(database, "SELECT leased_until > $1 FROM work WHERE kind = 'mail'", first))
    enough.set()
    await wait_until(is_(database, "done"))
    assert len(runs) == 1


async def _past(database: Database, moment: Any) -> bool:
    return bool(await one(database, "SELECT clock_timestamp() > $1::timestamptz", moment))


async def test_work_that_kills_the_process_dies_in_the_end(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    await schedule(database)
    await one(database, "UPDATE work SET attempts = 3 RETURNING 1")  # claimed three times, and never answered

    async def run(work: Work, _: None) -> None:
        raise AssertionError("must not run")

    await worker_for({"mail": WorkKind(run, retry=RetryPolicy(attempts=3))})
    await wait_until(is_(database, "dead"))
    assert "process died" in await one(database, "SELECT error FROM work WHERE kind = 'mail'")


async def test_scheduling_does_not_wait_for_a_worker_that_wants_the_schedulers_rows(
    database: Database, worker_for: Any, wait_until: Any
) -> None:
    """The worker's transaction holds its work and wants the effect; the other holds the effect and schedules."""
    await one(database, "INSERT INTO effects (what, n) VALUES ('p', 0) RETURNING 1")
    held, runs = asyncio.Event(), []

    async def run(work: Work, _: None) -> None:
        async with work.transaction() as tx:
            held.set()
            await tx.run("UPDATE effects SET n = n + 1 WHERE what = 'p'")
            runs.append(work.fence)

    async with database.transaction("handler") as tx:
        await tx.run("UPDATE effects SET n = n + 1 WHERE what = 'p'")
        await schedule(database)
        await worker_for({"mail": WorkKind(run)})
        await held.wait()
        tx.schedule("mail", "k")
    await wait_until(lambda: len(runs) == 2)
    assert await one(database, "SELECT n FROM effects") == 3


async def test_a_periodic_run_happens_once_for_two_workers_and_again_when_it_is_due(
    database: Database, worker_for: Any, wait_until: Any, clock: MovableClock
) -> None:
    runs: list[str] = []

    async def run(work: Work, _: None) -> None:
        runs.append(work.key)

    kinds: dict[str, WorkKind[None]] = {"tick": WorkKind(run, every=timedelta(hours=1))}
    for _ in range(2):
        await worker_for(kinds)
    for turn in range(1, 4):
        await wait_until(lambda turn=turn: len(runs) == turn)
        await wait_until(lambda: _rests(database))
        clock.move(timedelta(hours=1))
    await wait_until(lambda: len(runs) == 4)
    assert await one(database, "SELECT count(*) FROM work WHERE kind = 'tick'") == 1


async def _rests(database: Database) -> bool:
    sql = "SELECT leased_until IS NULL AND due > $1 FROM work WHERE kind = 'tick'"
    return bool(await one(database, sql, database.clock.now()))


async def test_a_periodic_run_that_fails_is_never_dead(
    database: Database, worker_for: Any, wait_until: Any, clock: MovableClock
) -> None:
    runs: list[int] = []

    async def run(work: Work, _: None) -> None:
        runs.append(work.attempt)
        raise GiveUp("the provider says no")

    await worker_for({"tick": WorkKind(run, every=timedelta(hours=1))})
    await wait_until(lambda: runs == [1])
    await wait_until(lambda: _rests(database))
    clock.move(timedelta(hours=1))
    await wait_until(lambda: runs == [1, 1])


async def test_slots_of_a_kind_bound_how_many_run_at_once(database: Database, worker_for: Any, wait_until: Any) -> None:
    running: set[str] = set()
    most: list[int] = []

    async def run(work: Work, _: None) -> None:
        running.add(work.key)
        most.append(len(running))
        await asyncio.sleep(0)
        running.discard(work.key)

    await worker_for({"mail": WorkKind(run, slots=2)})
    async with database.transaction("schedule") as tx:
        for number in range(20):
            tx.schedule("mail", str(number))
    await wait_until(lambda: len(most) == 20)
    assert max(most) <= 2


async def test_stop_lets_running_work_finish_and_gives_back_what_does_not(database: Database, wait_until: Any) -> None:
    begun: set[str] = set()
    go_on = asyncio.Event()

    async def run(work: Work, _: None) -> None:
        begun.add(work.key)
        await (go_on if work.key == "quick" else asyncio.Event()).wait()

    worker = Worker(database, {"mail": WorkKind(run)}, None, stop_within=timedelta(seconds=0.3))
    await worker.start()
    await schedule(database, "quick")
    await schedule(database, "endless")
    await wait_until(lambda: begun == {"quick", "endless"})
    go_on.set()
    await worker.stop()
    assert await one(database, "SELECT state FROM work WHERE key = 'quick'") == "done"
    assert await one(database, "SELECT attempts FROM work WHERE key = 'endless' AND leased_until IS NULL") == 0
