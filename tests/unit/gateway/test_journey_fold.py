"""What a journey adds up to, whatever the order in which its events arrive."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import pytest

from gateway.domain import Journey, read
from gateway.facts import Facts, Occurrence, merge

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
JOB: dict[str, Any] = {"job_id": "j1", "action": "provision"}


def told(*said: tuple[str, dict[str, Any]], apart: float = 1) -> list[Occurrence]:
    numbers = count(1)
    return [
        Occurrence(UUID(int=n), f"{name}.v1", START + timedelta(seconds=n * apart), data)
        for (name, data), n in zip(said, numbers, strict=False)
    ]


def fold(events: list[Occurrence]) -> Journey:
    nothing: Facts = {}
    return read("p", reduce(merge, events, nothing))


STORY = told(
    ("purchase.opened", {"product": "shop", "plan": "small", "amount": 4900, "currency": "USD",
                         "contact": {"email": " Ada@Example.org "}, "parameters": {"subdomain": "ada"}}),
    ("purchase.failed", {}),
    ("purchase.paid", {"amount": 4900, "currency": "USD"}),
    ("entitlement.changed", {"wanted": "on", "plan": "small", "contact": {"email": "ada@example.org"}}),
    ("install.requested", JOB | {"steps": ["container", "health"]}),
    ("install.step_changed", JOB | {"step": "container", "kind": "local.process", "status": "processing", "attempt": 1}),
    ("install.waiting", JOB | {"reason": "retry", "step": "container", "until": "2026-11-20T12:05:00+00:00"}),
    ("install.step_changed", JOB | {"step": "container", "kind": "local.process", "status": "completed", "attempt": 2}),
    ("install.step_changed", JOB | {"step": "health", "kind": "http.check", "status": "completed", "attempt": 1}),
    ("install.ready", JOB | {"setup": True, "url": "http://ada.example", "hostname": "ada.example"}),
    ("setup_link.issued", {"link_id": "l", "number": 1}),
    ("message.sent", {"message_id": "m", "template": "setup", "attempts": 1}),
    ("install.activated", {"url": "http://ada.example"}),
)  # fmt: skip


def test_whole_story_ends_active() -> None:
    journey = fold(STORY)
    assert (journey.status, journey.purchase_status) == ("active", "paid")
    assert (journey.domain, journey.url, journey.email) == ("ada.example", "http://ada.example", "ada@example.org")
    assert [(step.name, step.status, step.attempt) for step in journey.steps] == [
        ("container", "completed", 2),
        ("health", "completed", 1),
    ]
    assert journey.mail == "sent"
    assert journey.waiting is None
    assert journey.activated_at == STORY[-1].time


@pytest.mark.parametrize("seed", range(30))
def test_any_order_and_any_repetition_give_the_same_journey(seed: int) -> None:
    shuffled = STORY + Random(seed).choices(STORY, k=5)
    Random(seed).shuffle(shuffled)
    assert fold(shuffled) == fold(STORY)


@pytest.mark.parametrize("seed", range(10))
def test_events_of_one_transaction_share_an_instant_and_still_have_an_order(seed: int) -> None:
    together = told(
        ("install.step_changed", JOB | {"step": "health", "status": "processing"}),
        ("install.step_changed", JOB | {"step": "health", "status": "completed"}),
        ("install.ready", JOB | {"setup": False}),
        ("install.activated", {}),
        apart=0,
    )
    Random(seed).shuffle(together)
    journey = fold(together)
    assert journey.status == "active"
    assert journey.steps[0].status == "completed"


@pytest.mark.parametrize(
    ("upto", "status", "purchase"),
    [(0, "pending", "pending"), (1, "pending", "pending"), (2, "pending", "failed"), (3, "pending", "paid"),
     (5, "provisioning", "paid"), (10, "setup_pending", "paid"), (13, "active", "paid")],
)  # fmt: skip
def test_status_follows_the_story(upto: int, status: str, purchase: str) -> None:
    journey = fold(STORY[:upto])
    assert (journey.status, journey.purchase_status) == (status, purchase)


def test_wait_shows_its_reason_until_its_step_moves_on() -> None:
    waiting = fold(STORY[:7]).waiting
    assert waiting is not None
    assert (waiting.reason, waiting.step) == ("retry", "container")
    assert fold(STORY[:8]).waiting is None


def test_wait_of_one_step_survives_the_progress_of_another() -> None:
    elsewhere = told(*[("x", {})] * 7, ("install.step_changed", JOB | {"step": "health", "status": "processing"}))
    waiting = fold(STORY[:7] + elsewhere[7:]).waiting
    assert waiting is not None
    assert waiting.step == "container"


def test_failed_plan_change_does_not_fail_the_install() -> None:
    change = told(*[("x", {})] * 20, ("install.failed", {"job_id": "j2", "action": "change_plan", "cause": "capacity"}))
    assert fold(STORY + change[20:]).status == "active"


def test_suspension_ends_where_it_began() -> None:
    job = {"job_id": "j2", "action": "suspend"}
    later = told(
        *[("x", {})] * 20,
        ("install.suspended", job | {"reasons": ["nonpayment"]}),
        ("install.resumed", {"job_id": "j3", "action": "resume"}),
    )
    suspended = fold(STORY + later[20:21])
    assert (suspended.status, suspended.suspended_for) == ("suspended", ("nonpayment",))
    assert [step.name for step in suspended.steps] == ["container", "health"]
    assert fold(STORY + later[20:]).status == "active"


def test_partial_refund_is_an_amount_and_full_refund_a_state() -> None:
    late = told(
        *[("x", {})] * 20,
        ("purchase.refunded", {"refunded": 900, "full": False}),
        ("purchase.refunded", {"refunded": 4900, "full": True}),
        ("purchase.refunded", {"refunded": 900, "full": False, "reversed": True}),
    )
    states = [fold(STORY + late[20:n]) for n in (21, 22, 23)]
    assert [(s.purchase_status, s.refunded) for s in states] == [("paid", 900), ("refunded", 4900), ("paid", 900)]


PERIOD = {"state": "active", "period": 1, "period_from": "2026-11-20T12:00:00+00:00", "currency": "USD",
          "period_until": "2026-12-20T12:00:00+00:00", "renews_at": "2026-12-20T12:00:00+00:00", "due": None}  # fmt: skip


def test_subscription_is_as_its_last_event_says() -> None:
    due = {"due": 900}
    late = told(
        *[("x", {})] * 20,
        ("subscription.renewed", PERIOD),
        ("subscription.renewal_due", PERIOD | due),
        ("subscription.past_due", PERIOD | due | {"state": "past_due"}),
        ("subscription.cancelled", PERIOD | {"cancel_at_period_end": True, "renews_at": None}),
        ("subscription.ended", PERIOD | {"state": "ended", "renews_at": None}),
    )
    found = [fold(STORY + late[20:n]).subscription for n in range(21, 26)]
    assert fold(STORY).subscription is None
    assert [(one.state, one.due, one.cancel_at_period_end) for one in found if one] == [
        ("active", None, False),
        ("active", 900, False),
        ("past_due", 900, False),
        ("active", None, True),
        ("ended", None, False),
    ]
    assert found[0]
    assert found[0].period_until == found[0].renews_at == datetime(2026, 12, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize("seed", range(5))
def test_what_happens_to_a_subscription_at_one_instant_has_an_order(seed: int) -> None:
    due = told(
        ("subscription.renewal_due", PERIOD | {"due": 900}),
        ("subscription.past_due", PERIOD | {"state": "past_due", "due": 900}),
        apart=0,
    )
    Random(seed).shuffle(due)
    found = fold(due).subscription
    assert found
    assert found.state == "past_due"


def test_unknown_types_and_unknown_fields_change_nothing() -> None:
    strange = told(*[("x", {})] * 20, ("moon.risen", {"status": 7}), ("install.sung", {"job_id": 3}),
                    ("subscription.sung", {"state": 1, "period_from": 2}), ("subscription.ended", {}))  # fmt: skip
    assert fold([*STORY, strange[20]]) == fold(STORY)
    assert fold([*STORY, *strange[20:]]).status == "active"
