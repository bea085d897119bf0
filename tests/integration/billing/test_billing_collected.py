"""Subscriptions that providers collect by themselves: ours mirrors theirs, whatever arrives, and nobody pays twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.errors import Retry
from keyturn.events import (
    MandateSaved,
    PaymentNeedsReview,
    SubscriptionCancelled,
    SubscriptionEnded,
    SubscriptionKept,
    SubscriptionPastDue,
    SubscriptionRenewalDue,
    SubscriptionRenewed,
)
from support.billing import World, at_once, copies
from support.billing import order as order_of
from support.billing_facts import Facts
from support.collecting import collect, collecting, renews, subscribes
from support.subscriptions import Subscriber, orders, run

pytestmark = pytest.mark.servers
BOTH = pytest.mark.parametrize("currency", ["EUR", "INR"])
START = datetime(2027, 1, 30, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def _collected(billing: World) -> None:
    billing.clock.move(START - billing.clock.now())
    await collect(billing)


async def _look(billing: World, **later: float) -> None:
    """Nobody tells anything; billing asks by itself."""
    billing.clock.move(timedelta(**later))
    await billing.reconcile()
    await run(billing)


async def _cancel(subscriber: Subscriber, when: str = "period_end", *, keep: bool = False) -> dict[str, Any]:
    path = f"/internal/subscriptions/{subscriber.id}/{'keep' if keep else 'cancel'}"
    answer = await subscriber.billing.ask("POST", path, "customer", json={"when": when})
    await subscriber.billing.work()
    return dict(answer.json())


@BOTH
async def test_the_provider_charges_each_period_and_nobody_else_asks_for_it(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    assert (await subscriber.subscription())["collection"] == "provider"
    for number in (2, 3):
        await run(billing)
        await renews(subscriber)
        assert (await subscriber.payments())[-1] == ("matched", number)
    await _look(billing, days=25)
    assert await billing.published(SubscriptionRenewalDue, subscriber.id) == []
    assert await subscriber.opens_checkout() == ""
    days = [(start[:10], until[:10]) for _, start, until in await subscriber.periods()]
    assert days == [("2027-01-30", "2027-02-28"), ("2027-02-28", "2027-03-30"), ("2027-03-30", "2027-04-30")]
    assert await subscriber.entitled() == [("on", [])]
    assert [one.period for one in await billing.published(SubscriptionRenewed, subscriber.id)] == [1, 2, 3]


@BOTH
async def test_rule_10_the_time_before_ready_is_not_charged(billing: World, currency: str) -> None:
    subscriber = await orders(billing, currency=currency)
    await subscriber.pays()
    billing.clock.move(timedelta(hours=5))
    await subscriber.is_ready()
    await billing.work()
    ends_at = await subscriber.ends_at()
    assert ends_at == datetime(2027, 2, 28, 15, tzinfo=UTC)
    moved = collecting(subscriber).period_until.replace(second=0)
    assert moved == (ends_at if currency == "EUR" else ends_at - timedelta(hours=5))
    for _ in range(2):
        await renews(subscriber)
    ends = [(start[5:16], until[5:16]) for _, start, until in await subscriber.periods()]
    assert ends[1] == ("02-28T15:00", ends[2][0])
    assert {until[-5:] for _, until in ends} == {"15:00"}


async def test_a_move_that_fails_is_tried_again(billing: World) -> None:
    subscriber = await orders(billing)
    await subscriber.pays()
    await billing.work()
    billing.clock.move(timedelta(hours=5))
    with billing.stripe.failing(Retry("away")):
        await subscriber.is_ready()
        await billing.work()
    assert collecting(subscriber).period_until != await subscriber.ends_at()
    billing.clock.move(timedelta(minutes=30))
    await billing.work()
    assert collecting(subscriber).period_until == await subscriber.ends_at()


@BOTH
@pytest.mark.parametrize("who", ["webhook", "reconciler", "everybody at once"])
async def test_rule_4_a_renewal_is_booked_once_whoever_tells_of_it(billing: World, currency: str, who: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    await renews(subscriber, told=False)
    provider, found = subscriber.provider, collecting(subscriber)
    facts = [provider.told(found.payments[-1]), *copies([provider.told(found.payments[-1])])]
    changed = copies([provider.changed(found.id)] * 2)
    if who == "webhook":
        await billing.hear(*changed, *facts)
    if who == "reconciler":
        await _look(billing, hours=3)
    if who == "everybody at once":
        await at_once(*(billing.hear(one) for one in (*facts, *changed)), billing.work())
    await billing.hear(*copies(facts))
    await billing.work()
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]


@BOTH
async def test_renewals_that_come_in_the_wrong_order_are_booked_in_the_right_one(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    for _ in range(3):
        await renews(subscriber, told=False)
    payments = collecting(subscriber).payments[1:]
    for payment in reversed(payments):
        await billing.hear(subscriber.provider.told(payment))
    await billing.work()
    assert await subscriber.payments() == [("matched", number) for number in (1, 2, 3, 4)]
    spans = [one[1:] for one in await subscriber.periods()]
    assert [until for _, until in spans[:-1]] == [start for start, _ in spans[1:]]
    assert (await subscriber.ends_at()).date() == collecting(subscriber).period_until.date()


async def test_a_renewal_before_the_install_is_ready_waits_for_it(billing: World) -> None:
    subscriber = await orders(billing)
    await subscriber.pays()
    await billing.work()
    await renews(subscriber)
    assert await subscriber.payments() == [("matched", 1)]
    await subscriber.is_ready()
    await billing.work()
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]


async def test_another_amount_is_for_an_operator_and_stops_nobody(billing: World) -> None:
    subscriber = await subscribes(billing)
    await renews(subscriber, amount=1)
    (review,) = await billing.published(PaymentNeedsReview, subscriber.id)
    assert (review.reason, review.amount, review.expected_amount) == ("amount", 1, 900)
    assert await subscriber.opens_checkout() == ""
    await _look(billing, days=10)
    assert await subscriber.state() == "active"
    body = {"decision": "match", "reason": "a gift"}
    await billing.ask("POST", f"/internal/payments/{review.payment_id}/decide", "operator", json=body)
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]


@BOTH
@pytest.mark.parametrize("lost", [False, True])
async def test_who_does_not_pay_is_suspended_after_the_grace_and_comes_back(
    billing: World, currency: str, *, lost: bool
) -> None:
    subscriber = await subscribes(billing, currency=currency)
    found, provider = collecting(subscriber), subscriber.provider
    billing.clock.move(found.period_until - billing.clock.now() + timedelta(hours=1))
    provider.fail(found.id)
    if lost:
        await _look(billing, hours=3)
    else:
        await billing.hear(provider.changed(found.id))
        await billing.work()
    assert await subscriber.state() == "past_due"
    assert len(await billing.published(SubscriptionPastDue, subscriber.id)) == 1
    for _ in range(4):
        await _look(billing, days=1)
    assert await subscriber.state() == "suspended"
    assert (await subscriber.entitled())[-1] == ("suspended", ["nonpayment"])
    await renews(subscriber, told=not lost)
    if lost:
        await _look(billing, days=1)
    assert await subscriber.state() == "active"
    assert (await subscriber.entitled())[-1] == ("on", [])
    await billing.work()
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    if currency == "EUR":  # nobody is charged for the time of the suspension
        assert collecting(subscriber).period_until == await subscriber.ends_at()


async def test_before_anybody_is_suspended_the_provider_is_asked(billing: World) -> None:
    subscriber = await subscribes(billing)
    found = collecting(subscriber)
    billing.clock.move(found.period_until - billing.clock.now() + timedelta(hours=1))
    billing.stripe.fail(found.id)
    await billing.hear(billing.stripe.changed(found.id))
    await billing.work()
    with billing.stripe.failing(Retry("away")):
        await _look(billing, days=9)
        assert await subscriber.state() == "past_due"
    billing.stripe.renew(found.id)
    await _look(billing, hours=1)
    assert await subscriber.state() == "active"
    assert {wanted for wanted, _ in await subscriber.entitled()} == {"on"}


async def test_a_fact_that_is_stale_changes_nothing(billing: World) -> None:
    subscriber = await subscribes(billing)
    found = collecting(subscriber)
    billing.stripe.fail(found.id)
    late = billing.stripe.changed(found.id)
    await renews(subscriber)
    await billing.hear(late, *copies([late]))
    await billing.work()
    assert await subscriber.state() == "active"
    assert await billing.published(SubscriptionPastDue, subscriber.id) == []


async def test_the_end_at_the_provider_is_the_end(billing: World) -> None:
    subscriber = await subscribes(billing)
    found = collecting(subscriber)
    billing.clock.move(timedelta(days=3))
    found.status = "ended"
    await billing.hear(billing.stripe.changed(found.id))
    await billing.work()
    (ended,) = await billing.published(SubscriptionEnded, subscriber.id)
    assert ended.because == "cancelled"
    assert (await subscriber.entitled())[-1] == ("ended", ["cancelled"])
    await _look(billing, days=40)
    assert await billing.published(SubscriptionRenewalDue, subscriber.id) == []


async def test_a_cancellation_in_the_portal_is_ours_and_so_is_its_undoing(billing: World) -> None:
    subscriber = await subscribes(billing)
    found = collecting(subscriber)
    for cancels, event in ((True, SubscriptionCancelled), (False, SubscriptionKept)):
        found.cancels = cancels
        for _ in range(2):
            await billing.hear(*copies([billing.stripe.changed(found.id)]))
            await billing.work()
        assert len(await billing.published(event, subscriber.id)) == 1
        assert (await subscriber.subscription())["cancel_at_period_end"] is cancels


async def test_our_cancellation_is_told_and_so_is_its_undoing(billing: World) -> None:
    subscriber = await subscribes(billing)
    found = collecting(subscriber)
    await _cancel(subscriber)
    assert found.cancels
    await _cancel(subscriber, keep=True)
    assert not found.cancels
    assert (await subscriber.subscription())["cancel_at_period_end"] is False
    await _cancel(subscriber)
    billing.clock.move(found.period_until - billing.clock.now() + timedelta(hours=1))
    found.status = "ended"
    await billing.hear(billing.stripe.changed(found.id))
    await billing.work()
    assert await subscriber.state() == "ended"


@BOTH
async def test_a_cancellation_at_once_is_told(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    await _cancel(subscriber, "now")
    assert collecting(subscriber).status == "ended"
    assert await subscriber.state() == "ended"
    assert len(await billing.published(SubscriptionEnded, subscriber.id)) == 1


async def test_what_we_want_is_not_overwritten_by_what_the_provider_says_meanwhile(billing: World) -> None:
    subscriber = await subscribes(billing)
    found = collecting(subscriber)
    with billing.stripe.failing(Retry("away")):
        await _cancel(subscriber)
    await billing.hear(billing.stripe.changed(found.id))  # of before: it goes on
    billing.clock.move(timedelta(minutes=30))
    await billing.work()
    assert (await subscriber.subscription())["cancel_at_period_end"] is True
    assert found.cancels
    assert len(await billing.published(SubscriptionCancelled, subscriber.id)) == 1


async def test_what_razorpay_cannot_take_back_goes_on_by_link(billing: World) -> None:
    subscriber = await subscribes(billing, currency="INR")
    found = collecting(subscriber)
    await _cancel(subscriber)
    await _cancel(subscriber, keep=True)
    assert (await subscriber.subscription())["collection"] == "keyturn"
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=5))
    assert len(await billing.published(SubscriptionRenewalDue, subscriber.id)) == 1
    await subscriber.pays(str((await _checkout(subscriber))["subscription_id"]))
    await billing.work()
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    assert (await subscriber.subscription())["collection"] == "provider"
    found.status = "ended"
    await billing.hear(billing.razorpay.changed(found.id))
    await billing.work()
    assert await subscriber.state() == "active"


async def _coupon(billing: World, code: str, **terms: Any) -> None:
    body = {"code": code, "terms": terms, "reason": "for friends"}
    answer = await billing.ask("POST", "/internal/coupons", "operator", json=body)
    assert answer.is_success, answer.text


async def _checkout(subscriber: Subscriber) -> dict[str, Any]:
    answer = await subscriber.billing.ask("POST", f"/internal/purchases/{subscriber.id}/checkout")
    return dict(answer.json())


async def test_one_that_has_run_its_course_goes_on_by_link(billing: World) -> None:
    subscriber = await subscribes(billing, currency="INR")
    found = collecting(subscriber)
    found.status, found.completed = "ended", True
    await billing.hear(billing.razorpay.changed(found.id))
    await billing.work()
    assert await subscriber.state() == "active"
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=5))
    assert len(await billing.published(SubscriptionRenewalDue, subscriber.id)) == 1


async def test_a_refund_ends_it_at_the_provider_too(billing: World) -> None:
    subscriber = await orders(billing)
    payment = await subscriber.pays()
    await subscriber.is_ready()
    await billing.work()
    facts = Facts(payment)
    await billing.hear(facts.refunded(payment.amount))
    await billing.work()
    assert collecting(subscriber).status == "ended"
    await billing.hear(facts.refund_failed(payment.amount))
    await billing.work()
    assert (await subscriber.state(), (await subscriber.subscription())["collection"]) == ("active", "keyturn")


async def test_a_second_subscription_of_one_purchase_is_ended_and_its_money_surplus(billing: World) -> None:
    subscriber = await subscribes(billing)
    again = billing.stripe.pay(subscriber.checkout)
    await billing.hear(billing.stripe.told(again))
    await billing.work()
    assert (await subscriber.payments())[-1] == ("surplus", None)
    stray = billing.stripe.collecting[again.refs["subscription"]]
    assert (stray.status, collecting(subscriber).status) == ("ended", "active")
    assert await subscriber.state() == "active"


async def test_what_a_coupon_makes_free_at_first_is_asked_for_once_and_collected_from_then_on(billing: World) -> None:
    await _coupon(billing, "FREE", percent=100, duration=2)
    bought = await billing.buy(plan_id="sample-starter", cycle="monthly", coupon_code="FREE")
    assert billing.stripe.opened == {}
    subscriber = Subscriber(billing, bought | {"session_id": "none"})
    await subscriber.is_ready()
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=5))
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=5))
    await subscriber.pays(await subscriber.opens_checkout())
    await billing.work()
    assert (await subscriber.subscription())["collection"] == "provider"
    assert collecting(subscriber).period_until == await subscriber.ends_at()


async def test_a_coupon_of_some_periods_is_the_providers_to_keep(billing: World) -> None:
    await _coupon(billing, "THREE", percent=10, duration=3)
    subscriber = await subscribes(billing, coupon_code="THREE")
    assert collecting(subscriber).order.recurring
    for _ in range(3):
        await renews(subscriber)
    assert await subscriber.payments() == [("matched", number) for number in (1, 2, 3, 4)]
    assert [payment.amount for payment in collecting(subscriber).payments] == [810, 810, 810, 900]


@pytest.mark.parametrize(
    "order",
    [
        {"provider": "razorpay", "currency": "EUR"},
        {"currency": "INR", "coupon_code": "WELCOME10"},
    ],
)
async def test_what_a_provider_cannot_collect_is_refused_and_leaves_nothing(
    billing: World, order: dict[str, str]
) -> None:
    body = order_of(plan_id="sample-starter", cycle="monthly", **order)
    answer = await billing.ask("POST", "/internal/checkouts", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_collectable")
    assert await billing.rows("SELECT 1 FROM purchases") == []
    assert await billing.rows("SELECT 1 FROM redemptions") == []


async def test_another_card_is_given_to_the_provider_which_charges_what_is_overdue(billing: World) -> None:
    subscriber = await subscribes(billing, currency="EUR")
    found, stripe = collecting(subscriber), billing.stripe
    billing.clock.move(found.period_until - billing.clock.now())
    stripe.fail(found.id)
    await billing.hear(stripe.changed(found.id))
    await billing.work()
    (late,) = await billing.published(SubscriptionPastDue, subscriber.id)
    assert (late.due, late.next_price, late.collection) == (None, 900, "provider")
    path = f"/internal/subscriptions/{subscriber.id}/card"
    answer = await billing.ask("POST", path, "customer", json={"return_url": "https://keyturn.test/back"})
    page = str(answer.json()["url"]).rpartition("/")[2]
    assert stripe.pages[page].subscription_id == found.id
    about = {"provider": "stripe", "livemode": False, "reference": subscriber.id, "refs": stripe.give(page)}
    stripe.renew(found.id)  # which the provider then does
    fact = MandateSaved(subject=f"stripe:{page}", time=billing.clock.now(), **about)
    await billing.hear(fact, *copies([fact]))
    await billing.work()
    assert f"use_card {found.id} {stripe.given[page].method_id}" in stripe.calls
    assert (await subscriber.payments())[-1] == ("matched", 2)
    assert (await subscriber.subscription())["status"] == "active"
    assert (await subscriber.whole())["mandate"] is None


async def test_razorpay_takes_another_card_in_its_own_window(billing: World) -> None:
    subscriber = await subscribes(billing, currency="INR")
    path = f"/internal/subscriptions/{subscriber.id}/card"
    answer = await billing.ask("POST", path, "customer", json={"return_url": "https://keyturn.test/back"})
    assert answer.json() == {"subscription_id": collecting(subscriber).id}
    assert await billing.rows("SELECT 1 FROM work WHERE kind = 'save_mandate'") == []
