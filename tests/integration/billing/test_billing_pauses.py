"""A pause: the install rests, the clock stands still, and nobody is asked; taken up by hand or by itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from keyturn.events import OperatorActed, SubscriptionPaused, SubscriptionResumed, SubscriptionResumesSoon
from support.billing import CATALOG, World, at_once, load
from support.billing_facts import Facts
from support.subscriptions import PRICE, Subscriber, orders, subscribes

pytestmark = pytest.mark.servers


async def _ask(subscriber: Subscriber, act: str, role: str = "customer", **body: Any) -> httpx.Response:
    return await subscriber.billing.ask("POST", f"/internal/subscriptions/{subscriber.id}/{act}", role, json=body)


def _minute(moment: datetime | str | None) -> str:
    return str(moment)[:16].replace("T", " ")


async def _subscribes(billing: World) -> Subscriber:
    """From the first of March on."""
    billing.clock.move(datetime(2027, 3, 1, 10, tzinfo=UTC) - billing.clock.now())
    return await subscribes(billing)


async def test_a_pause_suspends_and_what_is_paid_lasts_longer_by_its_time(billing: World) -> None:
    subscriber = await _subscribes(billing)
    await subscriber.time_passes(days=10)
    paused = (await _ask(subscriber, "pause")).json()
    assert (paused["status"], _minute(paused["resumes_at"])) == ("active", "2027-06-09 10:00")
    await _ask(subscriber, "pause")
    assert await subscriber.entitled() == [("on", []), ("suspended", ["paused"])]
    await subscriber.time_passes(days=40)
    assert (await subscriber.state(), await subscriber.opens_checkout()) == ("active", "")
    assert (await _ask(subscriber, "resume")).json()["resumes_at"] is None
    await _ask(subscriber, "resume")
    assert (await subscriber.entitled())[-1] == ("on", [])
    assert await subscriber.periods() == [(1, "2027-03-01T10:00", "2027-05-11T10:00")]
    (told,), (back,) = await billing.published(SubscriptionPaused), await billing.published(SubscriptionResumed)
    assert _minute(told.resumes_at) == "2027-06-09 10:00"
    assert (back.resumes_at, _minute(back.period_until)) == (None, "2027-05-11 10:00")
    assert await billing.published(OperatorActed, subscriber.id) == []


async def test_an_open_renewal_is_withdrawn_and_asked_for_again(billing: World) -> None:
    subscriber = await _subscribes(billing)
    await subscriber.time_passes(days=26)
    checkout = await subscriber.opens_checkout()
    await _ask(subscriber, "pause")
    await billing.work()
    assert checkout in billing.stripe.closed
    assert (await subscriber.subscription())["due"] is None
    await subscriber.time_passes(days=10)
    await _ask(subscriber, "resume")
    assert (await subscriber.subscription())["due"] == PRICE
    await subscriber.pays(await subscriber.opens_checkout())
    assert (await subscriber.periods())[-1] == (2, "2027-04-11T10:00", "2027-05-11T10:00")


async def test_a_period_that_was_paid_early_loses_nothing_by_a_pause_before_it_begins(billing: World) -> None:
    subscriber = await _subscribes(billing)
    await subscriber.time_passes(days=26)
    await subscriber.pays(await subscriber.opens_checkout())
    await _ask(subscriber, "pause")
    await subscriber.time_passes(days=2)
    await _ask(subscriber, "resume")
    assert _minute(await subscriber.ends_at()) == "2027-05-03 10:00"


async def test_after_the_longest_pause_it_goes_on_by_itself_and_that_is_said_before(billing: World) -> None:
    await load(billing, CATALOG.read_text().replace("    blueprint: sandbox-app\n", SHORT, 1))
    subscriber = await _subscribes(billing)
    await _ask(subscriber, "pause")
    await subscriber.time_passes(days=13)
    assert await billing.published(SubscriptionResumesSoon) == []
    await subscriber.time_passes(days=1)
    await subscriber.time_passes(days=6)
    (soon,) = await billing.published(SubscriptionResumesSoon, subscriber.id)
    assert _minute(soon.resumes_at) == "2027-03-22 10:00"
    assert len(await subscriber.entitled()) == 2
    await subscriber.time_passes(days=1)
    assert (await subscriber.entitled())[-1] == ("on", [])
    assert len(await billing.published(SubscriptionResumed)) == 1
    assert _minute(await subscriber.ends_at()) == "2027-04-22 10:00"


SHORT = "    blueprint: sandbox-app\n    policy: {pause_days: 21}\n"


async def test_a_dispute_outlasts_the_pause_and_the_pause_the_dispute(billing: World) -> None:
    billing.clock.move(datetime(2027, 3, 1, 10, tzinfo=UTC) - billing.clock.now())
    subscriber = await orders(billing)
    facts = Facts(await subscriber.pays())
    await subscriber.is_ready()
    await billing.hear(facts.disputed())
    await _ask(subscriber, "pause")
    assert (await subscriber.entitled())[-1] == ("suspended", ["dispute", "paused"])
    await subscriber.time_passes(days=5)
    await billing.hear(facts.closed("won"))
    assert (await subscriber.entitled())[-1] == ("suspended", ["paused"])
    await subscriber.time_passes(days=5)
    await _ask(subscriber, "resume")
    assert _minute(await subscriber.ends_at()) == "2027-04-11 10:00"


async def test_cancelled_in_a_pause_the_rest_is_used_up_or_given_up(billing: World) -> None:
    later, now = await _subscribes(billing), await subscribes(billing, email="grace@example.com")
    for subscriber in (later, now):
        await _ask(subscriber, "pause")
    assert (await _ask(now, "cancel", when="now")).json()["resumes_at"] is None
    assert (await now.entitled())[-1] == ("ended", ["cancelled"])
    await _ask(later, "cancel")
    await later.time_passes(days=60)
    assert (await later.entitled())[-1] == ("suspended", ["paused"])
    await _ask(later, "resume")
    await later.time_passes(days=30)
    assert (await later.entitled())[-1] == ("on", [])
    await later.time_passes(days=1)
    assert (await later.entitled())[-1] == ("ended", ["cancelled"])
    assert (await _ask(later, "resume")).json()["code"] == "subscription_over"


@pytest.mark.parametrize("days", [0, 31, 34])
async def test_what_has_not_begun_or_is_behind_cannot_be_paused(billing: World, days: int) -> None:
    subscriber = await _subscribes(billing) if days else await orders(billing)
    await subscriber.pays() if not days else None
    await subscriber.time_passes(days=min(days, 31))
    await subscriber.time_passes(days=max(days - 31, 0))
    refused = await _ask(subscriber, "pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_pause")
    assert await billing.published(SubscriptionPaused) == []


async def test_a_product_may_have_no_pauses_and_what_is_cancelled_is_not_paused(billing: World) -> None:
    subscriber = await _subscribes(billing)
    await _ask(subscriber, "cancel")
    assert (await _ask(subscriber, "pause")).json()["code"] == "cannot_pause"
    await _ask(subscriber, "keep")
    await load(billing, CATALOG.read_text().replace("    blueprint: sandbox-app\n", SHORT.replace("21", "0"), 1))
    assert (await _ask(subscriber, "pause")).json()["detail"] == "This product cannot be paused."


async def test_an_operator_says_why_and_many_at_once_pause_once(billing: World) -> None:
    subscriber = await _subscribes(billing)
    await at_once(*(_ask(subscriber, "pause", "operator", reason="on holiday") for _ in range(4)))
    assert len(await billing.published(SubscriptionPaused)) == 1
    (acted,) = await billing.published(OperatorActed, subscriber.id)
    assert (acted.action, acted.reason) == ("subscription.pause", "on holiday")
    assert acted.after["resumes_at"].startswith("2027-05-30")
    await subscriber.time_passes(until=billing.clock.now() + timedelta(days=1))
