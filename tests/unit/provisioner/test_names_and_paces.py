"""Names and their grammar; the pace at which a target is asked; what failures mean."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from keyturn.retry import RetryPolicy
from provisioner import names
from provisioner.engine.outcomes import judge
from provisioner.engine.pace import LeftAlone, Paces
from provisioner.records import Step
from provisioner.resources.port import (
    Capacity,
    DriverError,
    NeedsOperator,
    NotReady,
    Pace,
    Permanent,
    Transient,
    UnknownResult,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["janes-shop", "abc", "a1b2", "x" * 63, "9lives"])
def test_an_ordinary_subdomain_may_be_chosen(name: str) -> None:
    assert names.objection("subdomain", name, "ours.example") is None


@pytest.mark.parametrize(
    "name",
    ["", "ab", "-abc", "abc-", "x" * 64, "a_b", "a.b.c", "xn--80ak6aa92e", "j\u0430ne", "a b", "a/b", "a;b", "www", "admin",
     "api", "jane\n", "{x}"],
)  # fmt: skip
def test_a_hostile_or_reserved_subdomain_may_not(name: str) -> None:
    assert names.objection("subdomain", name, "ours.example")


@pytest.mark.parametrize(("name", "right"), [
    ("shop.example.com", True), ("example.co.uk", True), ("xn--bcher-kva.example", True), ("localhost", False),
    ("192.0.2.1", False), ("a..b.com", False), ("-a.com", False), ("a.com/x", False), ("a.com:80", False),
    (f"{'a.' * 130}com", False),
])  # fmt: skip
def test_a_domain_has_its_own_grammar(name: str, right: bool) -> None:
    assert (names.objection("domain", name, "ours.example") is None) is right


@pytest.mark.parametrize(("text", "slug"), [
    ("Jane's Shop", "jane-s-shop"), ("  Ümläut & Co ", "ml-ut-co"), ("!!", "site"), ("a", "a-site"), ("x" * 80, "x" * 50),
])  # fmt: skip
def test_a_name_is_derived_from_any_text(text: str, slug: str) -> None:
    assert names.slug(text) == slug
    assert names.objection("subdomain", slug, "ours.example") is None


async def test_a_target_gets_no_more_calls_at_once_than_it_bears() -> None:
    paces, running, most = Paces(), 0, 0

    async def call() -> None:
        nonlocal running, most
        async with paces.call("t", Pace(together=2)):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(call() for _ in range(10)))
    assert most == 2


async def test_a_target_that_keeps_failing_is_left_alone_and_then_tried_by_one_call() -> None:
    paces, pace = Paces(), Pace(failures=2, pause=timedelta(seconds=0.05))
    for _ in range(2):
        with pytest.raises(Transient):
            async with paces.call("t", pace):
                raise Transient("away")
    with pytest.raises(LeftAlone):
        async with paces.call("t", pace):
            pytest.fail("it was asked")
    async with paces.call("another", pace):
        pass
    await asyncio.sleep(0.06)
    async with paces.call("t", pace):
        with pytest.raises(LeftAlone):
            async with paces.call("t", pace):
                pytest.fail("a second call tried it, too")
    async with paces.call("t", pace):
        pass


async def test_a_rate_limit_spaces_the_calls() -> None:
    paces, pace = Paces(), Pace(per_second=200)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(4):
        async with paces.call("t", pace):
            pass
    assert loop.time() - began >= 0.014


@pytest.mark.parametrize(
    ("error", "attempts", "waited", "reason", "counts"),
    [
        (Transient("x"), 1, 0, "retry", True),
        (Transient("x"), 3, 0, None, True),
        (LeftAlone("x"), 3, 0, "retry", False),
        (NotReady("x"), 99, 0, "not_ready", False),
        (NotReady("x"), 1, 61, None, True),
        (Capacity("x"), 99, 9999, "capacity", False),
        (NeedsOperator("x"), 1, 0, "needs_operator", False),
        (UnknownResult("x"), 1, 0, "unknown_result", False),
        (Permanent("x"), 1, 0, None, True),
    ],
)
def test_what_a_driver_says_decides_how_the_step_goes_on(
    error: DriverError, attempts: int, waited: int, reason: str | None, counts: bool
) -> None:
    step = Step(id=uuid4(), job_id=uuid4(), name="s", kind="k", operation="ensure", position=0, needs=[])
    step.attempts, step.waiting_since = attempts, NOW - timedelta(minutes=waited)
    outcome = judge(
        error,
        step,
        now=NOW,
        retry=RetryPolicy(attempts=3),
        patience=timedelta(minutes=60),
        capacity=timedelta(seconds=30),
    )
    assert (outcome.reason, outcome.counts) == (reason, counts)


@pytest.mark.parametrize(("waited", "after"), [(0, 0.2), (1, 1), (30, 5)])
def test_what_is_not_ready_is_asked_soon_at_first_and_then_less_often(waited: float, after: float) -> None:
    step = Step(id=uuid4(), job_id=uuid4(), name="s", kind="k", operation="probe", position=0, needs=[])
    step.waiting_since = NOW - timedelta(seconds=waited)
    limits = {"patience": timedelta(minutes=1), "capacity": timedelta(seconds=30)}
    outcome = judge(NotReady("x", after=timedelta(seconds=5)), step, now=NOW, retry=RetryPolicy(), **limits)
    assert outcome.due == NOW + timedelta(seconds=after)


def test_a_retry_after_is_honoured() -> None:
    step = Step(id=uuid4(), job_id=uuid4(), name="s", kind="k", operation="ensure", position=0, needs=[], attempts=1)
    outcome = judge(
        Transient("x", retry_after=timedelta(seconds=77)),
        step,
        now=NOW,
        retry=RetryPolicy(),
        patience=timedelta(1),
        capacity=timedelta(1),
    )
    assert outcome.due == NOW + timedelta(seconds=77)
