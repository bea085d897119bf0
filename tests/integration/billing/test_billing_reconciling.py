"""The nightly comparison with the providers, of the subscriptions that they collect by themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.events import (
    SubscriptionCancelled,
    SubscriptionEnded,
    SubscriptionPastDue,
    SubscriptionRenewed,
    uuid7,
)
from support.billing import World
from support.collecting import collect, collecting, renews, subscribes
from support.runs import begins
from support.subscriptions import Subscriber
from support.subscriptions import subscribes as subscribes_with_us

pytestmark = pytest.mark.servers
BOTH = pytest.mark.parametrize("currency", ["EUR", "INR"])
START = datetime(2027, 1, 30, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def _collected(billing: World) -> None:
    billing.clock.move(START - billing.clock.now())
    await collect(billing)


def _of(told: dict[str, Any], subscriber: Subscriber) -> tuple[str, list[str], str | None]:
    """Its part of the report; nothing where nothing was found."""
    for one in told["items"]:
        if one["customer"] == f"collected {subscriber.id}":
            return one["status"], one["did"], one["error"]
    return "done", [], None


@BOTH
async def test_where_nothing_differs_nothing_is_done_and_everybody_was_asked(billing: World, currency: str) -> None:
    subscriber, with_us = await subscribes(billing, currency=currency), await subscribes(billing, email="b@example.com")
    asked = billing.stripe.calls + billing.razorpay.calls
    told = await begins(billing, "reconciliation")
    assert (told["failed"], told["items"]) == (0, [])
    new = (billing.stripe.calls + billing.razorpay.calls)[len(asked) :]
    assert {f"subscription_now {collecting(one).id}" for one in (subscriber, with_us)} <= {
        *billing.stripe.calls,
        *billing.razorpay.calls,
    }
    assert new


@BOTH
async def test_a_renewal_that_no_webhook_told_of_is_found_and_booked_once(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    await renews(subscriber, told=False)
    dry = _of(await begins(billing, "reconciliation", dry_run=True), subscriber)
    assert await subscriber.payments() == [("matched", 1)]
    done = _of(await begins(billing, "reconciliation"), subscriber)
    assert "payment_missed" in done[1]
    assert SubscriptionRenewed.wire in done[1]
    assert dry == done  # the dry run told what was then done
    assert _of(await begins(billing, "reconciliation"), subscriber)[1] == []
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]


@BOTH
async def test_what_ended_at_the_provider_ends_here(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    collecting(subscriber).status = "ended"
    dry = _of(await begins(billing, "reconciliation", dry_run=True), subscriber)
    assert await subscriber.state() == "active"
    done = _of(await begins(billing, "reconciliation"), subscriber)
    assert (dry, done[1][0], SubscriptionEnded.wire in done[1]) == (done, "ended_there", True)
    assert await subscriber.state() == "ended"
    assert _of(await begins(billing, "reconciliation"), subscriber)[1] == []


@BOTH
async def test_what_ended_here_ends_at_the_provider(billing: World, currency: str) -> None:
    """Also where it was told before, and goes on there all the same."""
    subscriber = await subscribes(billing, currency=currency)
    path = f"/internal/subscriptions/{subscriber.id}/cancel"
    await billing.ask("POST", path, "customer", json={"when": "now"})
    await billing.work()
    collecting(subscriber).status = "active"
    await billing.rows("UPDATE collected SET status = 'active', next_look_at = now() + interval '9 years' RETURNING 1")
    dry = _of(await begins(billing, "reconciliation", dry_run=True), subscriber)
    name = "stripe" if currency == "EUR" else "razorpay"
    assert dry[1] == ["ended_here", f"{name}: end_subscription"]
    assert collecting(subscriber).status == "active"
    assert _of(await begins(billing, "reconciliation"), subscriber)[1][0] == "ended_here"
    assert collecting(subscriber).status == "ended"
    assert _of(await begins(billing, "reconciliation"), subscriber)[1] == []


async def test_status_and_cancellation_of_the_provider_are_followed(billing: World) -> None:
    behind, cancelled = await subscribes(billing), await subscribes(billing, email="bob@example.com")
    billing.clock.move(timedelta(days=40))
    behind.provider.fail(collecting(behind).id)
    collecting(cancelled).cancels = True
    cancelled.provider.renew(collecting(cancelled).id)
    told = await begins(billing, "reconciliation")
    assert {"status_differs", SubscriptionPastDue.wire} <= set(_of(told, behind)[1])
    found = set(_of(told, cancelled)[1])
    assert {"cancellation_differs", "payment_missed", "period_differs", SubscriptionCancelled.wire} <= found
    assert (await behind.state(), (await cancelled.subscription())["cancel_at_period_end"]) == ("past_due", True)


async def test_rule_16_one_of_which_the_provider_knows_nothing_stops_no_other(billing: World) -> None:
    lost, other = await subscribes(billing), await subscribes(billing, email="bob@example.com")
    await renews(other, told=False)
    billing.stripe.collecting.pop(collecting(lost).id)
    told = await begins(billing, "reconciliation")
    status, _, error = _of(told, lost)
    assert (status, bool(error)) == ("failed", True)
    assert SubscriptionRenewed.wire in _of(told, other)[1]
    assert await lost.state() == "active"  # an operator has to look


async def test_a_renewal_that_only_a_webhook_knows_of_is_told(billing: World) -> None:
    subscriber = await subscribes(billing)
    await renews(subscriber)
    assert (await begins(billing, "reconciliation"))["failed"] == 0
    real = billing.stripe.renew(collecting(subscriber).id)
    collecting(subscriber).payments.remove(real)
    refs = {**real.refs, "invoice": "in_forged", "payment_intent": "pi_forged"}
    forged = billing.stripe.told(real).model_copy(update={"id": uuid7(), "payment_key": "in_forged", "refs": refs})
    billing.clock.move(timedelta(days=28))
    await billing.hear(forged)
    told = await begins(billing, "reconciliation")
    assert [one["error"] for one in told["items"] if one["customer"].startswith("payment ")] == [
        "stripe knows of no such payment"
    ]


async def test_money_that_we_charged_ourselves_is_known_there(billing: World) -> None:
    billing.stripe.saves = True
    subscriber = await subscribes_with_us(billing, currency="USD")
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=2))
    await subscriber.time_passes(until=await subscriber.ends_at())
    assert len(billing.stripe.charges) == 1
    told = await begins(billing, "reconciliation")
    assert (told["failed"], [one["customer"] for one in told["items"] if one["error"]]) == (0, [])


async def test_a_provider_that_refuses_one_question_leaves_the_rest_asked(billing: World) -> None:
    subscriber = await subscribes(billing)
    with billing.stripe.refusing(f"subscription_now {collecting(subscriber).id}"):
        told = await begins(billing, "reconciliation")
    assert (_of(told, subscriber)[0], told["failed"]) == ("failed", 1)
