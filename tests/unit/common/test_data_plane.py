"""The pure parts of clock, failpoints, retries, the outbox row and the plan of work."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn import failpoints, tracing
from keyturn.clock import MovableClock, SystemClock
from keyturn.errors import GiveUp, Problem, Retry, TooSlow, Unavailable, Wait
from keyturn.events import PurchaseExpired
from keyturn.outbox import columns, event_row
from keyturn.retry import RetryPolicy, cause_of, judge
from keyturn.schedule import Plan

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY = RetryPolicy(attempts=3, first=timedelta(seconds=1), cap=timedelta(seconds=10))


def test_a_moved_clock_is_ahead_and_two_clocks_share_a_file(tmp_path: Path) -> None:
    one, other = MovableClock(tmp_path / "clock"), MovableClock(tmp_path / "clock")
    one.move(timedelta(days=3))
    one.move(timedelta(days=4))
    assert timedelta(days=6, hours=23) < other.now() - SystemClock().now() <= timedelta(days=7)


def test_a_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert MovableClock().now().tzinfo is UTC


async def test_failpoints_raise_at_the_hit_they_were_told() -> None:
    points = failpoints.Failpoints(failpoints.parse("a=raise@2, b=sleep:0"))
    await points.hit("a")
    await points.hit("b")
    with pytest.raises(failpoints.FailpointError):
        await points.hit("a")
    await points.hit("a")
    assert list(points.seen) == ["a", "b"]


async def test_several_processes_note_each_name_that_they_pass_once(tmp_path: Path) -> None:
    file = tmp_path / "seen"
    assert failpoints.seen_by_processes(file) == set()
    for _ in range(2):
        points = failpoints.Failpoints(failpoints.parse("b=raise"), file)
        await points.hit("a")
        await points.hit("a")
        with pytest.raises(failpoints.FailpointError):
            await points.hit("b")
    assert file.read_text().split() == ["a", "b"] * 2
    assert failpoints.seen_by_processes(file) == {"a", "b"}


def test_a_failpoint_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="explode"):
        failpoints.parse("a=explode")


@given(st.integers(1, 1_000), st.floats(0, 1))
def test_a_delay_never_exceeds_the_cap_nor_the_doubling(attempt: int, draw: float) -> None:
    delay = POLICY.delay(attempt, lambda: draw)
    assert timedelta() <= delay <= min(POLICY.cap, timedelta(seconds=2 ** min(attempt - 1, 20)))


def test_a_failure_says_by_its_class_what_follows() -> None:
    until = NOW + timedelta(minutes=5)
    ours = (Retry("x", after=timedelta(seconds=7)), Wait("capacity", "x", until=until), GiveUp("x"), Unavailable("x"))
    told = {type(error): judge(error, attempt=1, now=NOW, retry=POLICY) for error in (*ours, KeyError("x"))}
    assert told[Retry].due == NOW + timedelta(seconds=7)
    assert (told[Wait].due, told[Wait].reason, told[Wait].counts) == (until, "capacity", False)
    assert told[GiveUp].state == "dead"
    assert (told[Unavailable].state, told[Unavailable].counts) == ("open", False)
    assert (told[KeyError].state, told[KeyError].counts) == ("open", True)


@pytest.mark.parametrize("error", [Retry("x"), TooSlow("x"), KeyError("x")])
def test_attempts_used_up_are_death(error: Exception) -> None:
    assert judge(error, attempt=2, now=NOW, retry=POLICY).state == "open"
    assert judge(error, attempt=3, now=NOW, retry=POLICY).state == "dead"


def test_waiting_goes_on_however_often() -> None:
    outcome = judge(Wait("capacity", "x", until=None), attempt=99, now=NOW, retry=POLICY)
    assert (outcome.state, outcome.due) == ("open", None)


def test_rule_17_a_cause_quotes_only_our_own_errors() -> None:
    assert cause_of(GiveUp("no such mailbox")).message == "no such mailbox"
    assert cause_of(ValueError("customer@example.com")).message == ""


def test_a_cause_names_the_class_and_the_place() -> None:
    def send() -> None:
        raise GiveUp("x")

    with pytest.raises(GiveUp) as caught:
        send()
    assert cause_of(caught.value).group("mail") == "mail GiveUp at test_data_plane.send"


def test_an_outbox_row_holds_the_final_bytes() -> None:
    event = PurchaseExpired(subject="p", time=NOW)
    row = event_row(event, "billing", NOW)
    assert json.loads(row.body)["source"] == "/billing"
    assert (row.exchange, row.routing_key, row.event_id) == ("keyturn.events", "purchase.expired.v1", event.id)


def test_one_row_and_many_become_the_same_columns() -> None:
    rows = [event_row(PurchaseExpired(subject=str(n), time=NOW), "billing", NOW) for n in range(3)]
    together = columns(rows)
    one_by_one = zip(*(columns([row]) for row in rows), strict=True)
    assert [[single[0] for single in column] for column in one_by_one] == list(together)


def test_a_plan_keeps_the_last_payload_and_the_earliest_due_time() -> None:
    plan = Plan()
    plan.schedule("mail", "k", {"v": 1}, NOW, None)
    plan.schedule("mail", "k", {"v": 2}, NOW + timedelta(days=1), "p")
    request = plan.requests["mail", "k"]
    assert (json.loads(request.payload), request.due, request.subject) == ({"v": 2}, NOW, "p")
    plan.cancel("mail", "k")
    assert not plan.requests


def test_a_trace_goes_on_in_a_new_span() -> None:
    header = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with tracing.trace(header):
        assert tracing.trace_id(tracing.traceparent()) == "a" * 32
        assert tracing.traceparent() != header
    assert tracing.current() is None


@pytest.mark.parametrize("header", [None, "", "00-zz-1-01", "garbage"])
def test_a_malformed_trace_is_replaced_by_a_new_one(header: str | None) -> None:
    with tracing.trace(header) as made:
        assert tracing.trace_id(made)


def test_a_problem_has_a_title_from_its_code() -> None:
    assert Problem(409, "name_taken", "x").title == "Name taken"
