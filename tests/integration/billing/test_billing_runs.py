"""Scheduled runs: once at each of their times, repeatable, dry where it is wanted, one customer apart from the other."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.handlers import HANDLERS, WORK
from keyturn.errors import GiveUp
from keyturn.events import SubscriptionPastDue, SubscriptionRenewalDue, SubscriptionSuspended, SubscriptionWarned
from keyturn.worker import Worker
from support.billing import World
from support.runs import begins, minute, report, runs
from support.subscriptions import subscribes

pytestmark = pytest.mark.servers
DUE, LATE, DOWN = SubscriptionRenewalDue.wire, SubscriptionPastDue.wire, SubscriptionSuspended.wire
WARNED = SubscriptionWarned.wire


def _at(billing: World, moment: str) -> None:
    billing.clock.move(datetime.fromisoformat(moment).replace(tzinfo=UTC) - billing.clock.now())


async def test_a_run_begins_at_its_time_and_once_over_all_replicas(billing: World) -> None:
    _at(billing, "2027-01-10T01:00")
    await minute(billing)
    assert await runs(billing) == []  # those of before are nobody's
    _at(billing, "2027-01-10T02:00:30")
    for _ in range(2):
        async with billing.database.transaction("test") as tx:
            tx.schedule("scheduled_runs", "every", due=tx.now)
        workers = [Worker(billing.database, WORK, billing.deps, handlers=HANDLERS) for _ in range(3)]
        await asyncio.gather(*(worker._claim() for worker in workers))
        await asyncio.gather(*(task for worker in workers for task in worker._running))
        await minute(billing)
    begun = [(one["name"], one["scheduled_for"], one["status"], one["started_by"]) for one in await runs(billing)]
    assert sorted(begun) == [
        ("billing", "2027-01-10T02:00:00Z", "done", "schedule"),
        ("canary", "2027-01-10T01:45:00Z", "done", "schedule"),
        ("expiry", "2027-01-10T01:15:00Z", "done", "schedule"),
    ]


async def test_after_two_days_of_outage_what_was_missed_runs_once_and_leaves_no_gap(billing: World) -> None:
    _at(billing, "2027-01-10T01:00")
    subscriber, other = await subscribes(billing), await subscribes(billing, email="bob@example.com")
    await minute(billing)
    _at(billing, "2027-02-05T12:00")
    await minute(billing)
    paid = await subscriber.pays(await subscriber.opens_checkout())
    assert paid
    _at(billing, "2027-02-15T09:00")  # both ends are past, and so is the grace of the one who has not paid
    await minute(billing)
    names = [one["name"] for one in await runs(billing) if one["scheduled_for"][:10] == "2027-02-15"]
    assert sorted(names) == ["billing", "canary", "expiry", "reconciliation", "suspension"]
    assert await subscriber.periods() == [
        (1, "2027-01-10T01:00", "2027-02-10T01:00"),
        (2, "2027-02-10T01:00", "2027-03-10T01:00"),
    ]
    # Who has not paid is told so, and has the whole of the grace from then on.
    assert (await subscriber.state(), await other.state()) == ("active", "past_due")
    for day in range(16, 22):
        _at(billing, f"2027-02-{day}T09:00")
        await minute(billing)
    assert (await subscriber.state(), await other.state()) == ("active", "suspended")


async def test_a_run_does_what_is_due_and_a_repetition_nothing(billing: World) -> None:
    subscriber = await subscribes(billing)
    billing.clock.move(await subscriber.ends_at() - timedelta(days=6) - billing.clock.now())
    first = await begins(billing, "billing")
    assert (first["parts"], first["changed"], first["failed"], _steps(first)) == (1, 1, 0, {DUE: 1})
    (part,) = first["items"]
    assert (part["customer"], part["status"], part["error"], DUE in part["did"]) == (subscriber.id, "done", None, True)
    again = await begins(billing, "billing")
    assert (again["changed"], again["facts"], again["items"]) == (0, {}, [])
    assert len(await billing.published(SubscriptionRenewalDue)) == 1
    billing.clock.move(timedelta(days=6, minutes=1))
    assert _steps(await begins(billing, "billing")) == {LATE: 1}
    billing.clock.move(timedelta(days=3, minutes=1))
    assert (await begins(billing, "billing"))["changed"] == 0  # that is the other run's
    assert _steps(await begins(billing, "suspension")) == {WARNED: 1}
    billing.clock.move(timedelta(days=3, minutes=1))
    assert _steps(await begins(billing, "suspension")) == {DOWN: 1}
    assert (await begins(billing, "suspension"))["changed"] == 0
    assert await subscriber.state() == "suspended"


async def test_a_step_that_was_taken_and_not_done_is_done_by_the_run(billing: World) -> None:
    subscriber = await subscribes(billing)
    billing.clock.move(await subscriber.ends_at() - timedelta(days=6) - billing.clock.now())
    async with billing.database.transaction("test") as tx:
        tx.schedule("billing_run", "every", due=tx.now)
    worker = Worker(billing.database, {"billing_run": WORK["billing_run"]}, billing.deps)
    await worker._claim()
    await asyncio.gather(*worker._running)
    async with billing.database.transaction("test") as tx:
        tx.cancel("subscription", subscriber.id)  # an operator discards it
    assert _steps(await begins(billing, "billing")) == {DUE: 1}


async def test_a_dry_run_tells_what_would_be_done_and_changes_nothing(billing: World) -> None:
    subscriber = await subscribes(billing)
    billing.clock.move(await subscriber.ends_at() - timedelta(days=6) - billing.clock.now())
    before = await _all_of(billing)
    told = await begins(billing, "billing", dry_run=True)
    assert (told["dry_run"], told["changed"], _steps(told)) == (True, 1, {DUE: 1})
    assert await _all_of(billing) == before
    assert _steps(await begins(billing, "billing")) == {DUE: 1}


async def test_a_dry_run_asks_the_provider_and_has_it_do_nothing(billing: World) -> None:
    bought = await billing.buy()
    billing.clock.move(timedelta(hours=25))
    told = await begins(billing, "expiry", dry_run=True)
    assert told["facts"] == {"stripe: expire": 1}
    assert (billing.stripe.closed, await billing.state_of(bought["purchase_id"])) == (set(), "pending")
    payment = billing.stripe.pay(bought["session_id"])
    assert payment
    assert (await begins(billing, "expiry"))["facts"]["purchase.paid.v1"] == 1
    assert await billing.state_of(bought["purchase_id"]) == "paid"


async def test_rule_16_one_customer_who_fails_stops_no_other(billing: World) -> None:
    bad, good = await subscribes(billing), await subscribes(billing, email="bob@example.com", currency="INR")
    for subscriber in (bad, good):
        await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))
        await subscriber.opens_checkout()
    billing.clock.move(timedelta(days=6, hours=1))
    with billing.stripe.failing(GiveUp("stripe refuses the key")):
        told = await begins(billing, "billing")
    assert (told["parts"], told["failed"], _steps(told)) == (2, 1, {LATE: 1})
    failed, done = sorted(told["items"], key=lambda one: one["status"] == "done")
    assert (failed["customer"], failed["status"], failed["error"]) == (bad.id, "failed", "stripe refuses the key")
    assert (done["customer"], LATE in done["did"]) == (good.id, True)
    assert _steps(await begins(billing, "billing")) == {LATE: 1}  # the next one makes up for it


async def test_operators_begin_a_run_with_a_reason_and_one_at_a_time(billing: World) -> None:
    said: dict[str, Any] = {"name": "billing", "reason": "after the outage"}
    assert (await billing.ask("POST", "/internal/runs", "viewer", json=said)).status_code == 403
    refused = await billing.ask("POST", "/internal/runs", "operator", json=said | {"name": "bills"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_run")
    assert (await billing.ask("POST", "/internal/runs", "operator", json={"name": "billing"})).status_code == 422
    answers = await asyncio.gather(*(billing.ask("POST", "/internal/runs", "operator", json=said) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "run_under_way"}
    (acted,) = await billing.rows("SELECT body FROM outbox WHERE wire = 'operator.acted.v1'")
    assert b"after the outage" in bytes(acted["body"])
    await billing.work()
    assert (await billing.ask("POST", "/internal/runs", "operator", json=said)).status_code == 202
    await billing.work()
    page = (await billing.ask("GET", "/internal/runs", "viewer", params={"limit": 1})).json()
    assert len(page["items"]) == 1
    more = {"limit": 1, "cursor": page["cursor"], "name": "billing"}
    other = (await billing.ask("GET", "/internal/runs", "viewer", params=more)).json()["items"]
    assert {one["id"] for one in (*page["items"], *other)} == {one["id"] for one in await runs(billing)}
    assert (await billing.ask("GET", f"/internal/runs/{bad_id()}", "viewer")).json()["code"] == "run_unknown"
    await minute(billing)
    schedules = (await billing.ask("GET", "/internal/runs/schedules", "viewer")).json()["items"]
    assert ("billing", "0 2 * * *") in {(one["name"], one["cron"]) for one in schedules}


async def test_a_long_report_is_read_page_by_page_and_forgotten_after_three_months(billing: World) -> None:
    for number in range(3):
        await subscribes(billing, email=f"jane{number}@example.com")
    billing.clock.move(timedelta(days=28))
    told = await begins(billing, "billing")
    first = await report(billing, told["id"], limit=2)
    second = await report(billing, told["id"], limit=2, cursor=first["cursor"])
    assert [len(page["items"]) for page in (first, second)] == [2, 1]
    billing.clock.move(timedelta(days=91))
    await minute(billing)
    assert told["id"] not in {one["id"] for one in await runs(billing)}
    assert await billing.rows("SELECT 1 FROM run_parts") == []


def _steps(told: dict[str, Any]) -> dict[str, int]:
    """How many customers took which; what follows from it elsewhere is left out."""
    return {fact: times for fact, times in told["facts"].items() if fact.startswith("subscription.")}


def bad_id() -> str:
    return "018f0000-0000-7000-8000-000000000001"


async def _all_of(billing: World) -> list[Any]:
    tables = ("purchases", "subscriptions", "renewals", "periods", "payments", "entitlements", "checkouts")
    facts = await billing.rows("SELECT wire FROM outbox WHERE wire <> 'operator.acted.v1' ORDER BY id")
    return [*facts, *[await billing.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]]


async def test_of_runs_that_have_nothing_to_do_the_last_one_of_a_name_is_kept(billing: World) -> None:
    _at(billing, "2027-01-10T08:00")
    await minute(billing)
    by_hand = [(await begins(billing, "expiry"))["id"] for _ in range(2)]
    for hour in (9, 10, 11):
        _at(billing, f"2027-01-10T{hour:02}:50")
        await minute(billing)
    found = [one for one in await runs(billing) if one["name"] == "expiry"]
    assert [one["scheduled_for"] for one in found if one["id"] not in by_hand] == ["2027-01-10T11:15:00Z"]
    assert len(found) == 3
    opened = await billing.buy()  # which nobody pays
    _at(billing, "2027-01-12T12:50")
    await minute(billing)
    _at(billing, "2027-01-12T13:50")
    await minute(billing)
    assert await billing.state_of(opened["purchase_id"]) == "expired"
    times = [one["scheduled_for"] for one in await runs(billing) if one["name"] == "expiry" and one["scheduled_for"]]
    assert times == ["2027-01-12T13:15:00Z", "2027-01-12T12:15:00Z"]
