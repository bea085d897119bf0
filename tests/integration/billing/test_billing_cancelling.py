"""The end of a subscription: now, or with what is paid; and taken back."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from keyturn.events import OperatorActed, SubscriptionCancelled, SubscriptionEnded, SubscriptionKept
from support.billing import World
from support.subscriptions import PRICE, Subscriber, orders, subscribes

pytestmark = pytest.mark.servers


async def _ask(subscriber: Subscriber, act: str, role: str = "customer", **body: Any) -> httpx.Response:
    return await subscriber.billing.ask("POST", f"/internal/subscriptions/{subscriber.id}/{act}", role, json=body)


async def test_cancelled_at_the_periods_end_it_is_used_up_and_ends(billing: World) -> None:
    subscriber = await subscribes(billing)
    end = await subscriber.ends_at()
    answer = (await _ask(subscriber, "cancel")).json()
    assert (answer["status"], answer["cancel_at_period_end"], answer["renews_at"]) == ("active", True, None)
    await _ask(subscriber, "cancel")
    assert len(await billing.published(SubscriptionCancelled, subscriber.id)) == 1
    await subscriber.time_passes(until=end - timedelta(minutes=1))
    assert await subscriber.entitled() == [("on", [])]
    assert (await subscriber.subscription())["due"] is None
    await subscriber.time_passes(minutes=1)
    assert await subscriber.state() == "ended"
    assert await subscriber.entitled() == [("on", []), ("ended", ["cancelled"])]
    (ended,) = await billing.published(SubscriptionEnded, subscriber.id)
    assert (ended.because, ended.renews_at) == ("cancelled", None)
    assert (await subscriber.whole())["entitlement"]["delete_after"]


async def test_cancelled_now_it_ends_at_once_and_nothing_is_paid_back(billing: World) -> None:
    subscriber = await subscribes(billing)
    assert (await _ask(subscriber, "cancel", when="now")).json()["status"] == "ended"
    assert (await _ask(subscriber, "cancel", when="now")).json()["status"] == "ended"
    assert len(await billing.published(SubscriptionEnded, subscriber.id)) == 1
    assert (await subscriber.entitled())[-1] == ("ended", ["cancelled"])
    assert (await subscriber.whole())["refunded"] == 0
    refused = await _ask(subscriber, "keep")
    assert (refused.status_code, refused.json()["code"]) == (409, "subscription_over")
    await subscriber.is_ready()
    await subscriber.time_passes(days=100)
    assert await subscriber.state() == "ended"


async def test_a_cancellation_is_taken_back_and_the_renewal_asked_for(billing: World) -> None:
    subscriber = await subscribes(billing)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=2))
    checkout = await subscriber.opens_checkout()
    await _ask(subscriber, "cancel")
    await billing.work()
    assert checkout in billing.stripe.closed
    assert await subscriber.opens_checkout() == ""
    await _ask(subscriber, "keep")
    await _ask(subscriber, "keep")
    assert len(await billing.published(SubscriptionKept, subscriber.id)) == 1
    another = await subscriber.opens_checkout()
    assert another not in {"", checkout}
    await subscriber.pays(another)
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]


async def test_who_is_behind_or_suspended_ends_at_once(billing: World) -> None:
    late, suspended = await subscribes(billing), await subscribes(billing, email="grace@example.com")
    await late.time_passes(until=await late.ends_at() - timedelta(days=1))
    await late.time_passes(until=await late.ends_at())
    await _ask(late, "cancel")
    for days in (2, 1):
        await late.time_passes(days=days)
    assert await suspended.state() == "suspended"
    await _ask(suspended, "cancel")
    assert (await late.state(), await suspended.state()) == ("ended", "ended")
    told = await billing.published(SubscriptionEnded)
    assert [(one.because, one.withdrawn) for one in told] == [("cancelled", PRICE)] * 2


async def test_cancelled_before_it_is_ready_it_ends_with_its_first_period(billing: World) -> None:
    subscriber = await orders(billing)
    await subscriber.pays()
    await _ask(subscriber, "cancel")
    assert await subscriber.state() == "active"
    await subscriber.is_ready()
    await subscriber.time_passes(until=await subscriber.ends_at())
    assert await subscriber.state() == "ended"


async def test_what_an_operator_does_is_in_the_audit_log(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _ask(subscriber, "cancel", "operator", reason="asked by phone")
    await _ask(subscriber, "keep", "operator", reason="asked again")
    acts = await billing.published(OperatorActed, subscriber.id)
    assert [(act.action, act.reason) for act in acts] == [
        ("subscription.cancel", "asked by phone"),
        ("subscription.keep", "asked again"),
    ]


async def test_what_has_no_subscription_cannot_be_cancelled(billing: World) -> None:
    bought = await billing.buy()
    for act in ("cancel", "keep"):
        answer = await billing.ask("POST", f"/internal/subscriptions/{bought['purchase_id']}/{act}", "admin", json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "subscription_unknown")
