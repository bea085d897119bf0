"""Periods and renewals: opened once for each payment, from the old end, whoever tells of it and when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.errors import Retry
from keyturn.events import (
    EntitlementChanged,
    PaymentNeedsReview,
    SubscriptionEnded,
    SubscriptionKept,
    SubscriptionPastDue,
    SubscriptionRenewalDue,
    SubscriptionRenewed,
    SubscriptionSuspended,
    SubscriptionWarned,
)
from support.billing import World, at_once, copies
from support.billing_facts import Facts, expired
from support.subscriptions import PRICE, Subscriber, orders, run, subscribes

pytestmark = pytest.mark.servers
BOTH = pytest.mark.parametrize("currency", ["EUR", "INR"])


def _begin_at(billing: World, moment: str) -> None:
    billing.clock.move(datetime.fromisoformat(moment).replace(tzinfo=UTC) - billing.clock.now())


async def _asked(subscriber: Subscriber) -> None:
    """Until the next period can be paid."""
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))


async def test_a_period_begins_when_the_install_is_ready(billing: World) -> None:
    _begin_at(billing, "2027-01-30T10:00")
    subscriber = await orders(billing)
    await subscriber.pays()
    assert (await subscriber.subscription())["period"] == 0
    assert await subscriber.periods() == []
    billing.clock.move(timedelta(days=1))
    ready = await subscriber.is_ready()
    billing.clock.move(timedelta(days=3))
    await billing.hear(ready, *copies([ready]))
    await subscriber.is_ready(action="repair")
    assert await subscriber.periods() == [(1, "2027-01-31T10:00", "2027-02-28T10:00")]
    (told,) = await billing.published(SubscriptionRenewed, subscriber.id)
    assert (told.period, told.amount, told.period_until) == (1, PRICE, datetime(2027, 2, 28, 10, tzinfo=UTC))
    assert told.renews_at == told.period_until


@pytest.mark.parametrize("order", [{"cycle": "one_time"}, {"product": "sample-free", "plan_id": None, "cycle": None}])
async def test_what_is_paid_once_or_free_has_no_subscription(billing: World, order: dict[str, Any]) -> None:
    bought = await billing.buy(**order)
    if "session_id" in bought:
        await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    assert (await Subscriber(billing, bought | {"session_id": "x"}).whole())["subscription"] is None


async def test_the_month_is_one_of_the_customers_time_zone(billing: World) -> None:
    _begin_at(billing, "2027-01-30T20:00")
    subscriber = await subscribes(billing, timezone="Asia/Kolkata", currency="INR")
    assert await subscriber.periods() == [(1, "2027-01-30T20:00", "2027-02-27T20:00")]


@BOTH
async def test_a_renewal_is_asked_for_ahead_and_paid_by_link(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    end = await subscriber.ends_at()
    await subscriber.time_passes(until=end - timedelta(days=7, minutes=1))
    assert await billing.published(SubscriptionRenewalDue, subscriber.id) == []
    assert await subscriber.opens_checkout() == ""
    await subscriber.time_passes(minutes=1)
    await subscriber.time_passes(hours=1)
    (due,) = await billing.published(SubscriptionRenewalDue, subscriber.id)
    assert due.due == (await subscriber.whole())["amount"]
    checkout = await subscriber.opens_checkout()
    assert checkout != subscriber.checkout
    assert await subscriber.opens_checkout() == checkout
    await subscriber.pays(checkout)
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    (_, first_end), (second_start, _) = [one[1:] for one in await subscriber.periods()]
    assert second_start == first_end
    assert await subscriber.opens_checkout() == ""
    await subscriber.time_passes(until=end + timedelta(days=10))
    assert await subscriber.state() == "active"
    assert await subscriber.entitled() == [("on", [])]


async def test_the_anchor_day_outlives_short_months(billing: World) -> None:
    _begin_at(billing, "2027-01-31T10:00")
    subscriber = await subscribes(billing)
    for _ in range(3):
        await _asked(subscriber)
        await subscriber.pays(await subscriber.opens_checkout())
    days = [until[:10] for _, _, until in await subscriber.periods()]
    assert days == ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]


@BOTH
@pytest.mark.parametrize("who", ["webhook", "return page", "reconciler", "operator", "everybody at once"])
async def test_rule_4_a_period_is_opened_once_whoever_says_so(billing: World, currency: str, who: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    await _asked(subscriber)
    checkout = await subscriber.opens_checkout()
    path = f"/internal/purchases/{subscriber.id}"

    async def marked() -> None:
        await billing.ask("POST", f"{path}/mark-paid", "operator", json={"reason": "by transfer"})

    if who == "operator":
        await marked()
        await marked()
        assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    else:
        payment = subscriber.provider.pay(checkout)
        facts = [subscriber.provider.told(payment), *copies([subscriber.provider.told(payment)])]
        if who == "webhook":
            await billing.hear(*facts)
        if who == "return page":
            await billing.ask("POST", f"{path}/return", json={})
        if who == "reconciler":
            billing.clock.move(timedelta(minutes=2))
            await billing.reconcile()
        if who == "everybody at once":
            returned = billing.ask("POST", f"{path}/return", json={})
            await at_once(returned, *(billing.hear(fact) for fact in facts), marked())
        await billing.hear(*copies(facts))
    told = await billing.published(SubscriptionRenewed, subscriber.id)
    assert [one.period for one in told] == [1, 2]
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]
    assert sorted(await subscriber.payments())[:2] == [("matched", 1), ("matched", 2)]


async def test_a_payment_whose_checkout_was_never_stored_is_the_renewal(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _asked(subscriber)
    with billing.stripe.losing(Retry("no answer")):
        await subscriber.opens_checkout()
    await subscriber.pays(billing.stripe.opened[f"{subscriber.id}-2"].provider_id)
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]


@BOTH
async def test_a_second_payment_is_surplus_and_pays_no_other_period(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    await _asked(subscriber)
    checkout = await subscriber.opens_checkout()
    await subscriber.pays(checkout)
    await _asked(subscriber)
    await subscriber.pays(checkout) if currency == "INR" else None
    again = subscriber.provider.pay(subscriber.checkout)
    fact = subscriber.provider.told(again).model_copy(update={"payment_key": "another"})
    await billing.hear(*copies([fact]))
    assert {state for state, period in await subscriber.payments() if period is None} == {"surplus"}
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]
    assert {one.reason for one in await billing.published(PaymentNeedsReview, subscriber.id)} == {"surplus"}
    assert (await subscriber.subscription())["due"]


async def test_another_amount_is_for_an_operator_who_may_say_that_it_is_the_renewal(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _asked(subscriber)
    payment = billing.stripe.pay(await subscriber.opens_checkout(), amount=1)
    await billing.hear(billing.stripe.told(payment))
    (review,) = await billing.published(PaymentNeedsReview, subscriber.id)
    assert (review.reason, review.expected_amount) == ("amount", PRICE)
    body = {"decision": "match", "reason": "the rest came in cash"}
    await billing.ask("POST", f"/internal/payments/{review.payment_id}/decide", "operator", json=body)
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]


async def test_a_renewals_checkout_that_ends_leaves_the_purchase_as_it_is(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _asked(subscriber)
    checkout = await subscriber.opens_checkout()
    await billing.hear(expired(checkout, subscriber.id))
    assert await billing.state_of(subscriber.id) == "paid"
    another = await subscriber.opens_checkout()
    assert another not in {"", checkout}
    billing.clock.move(timedelta(days=1))  # nobody tells that this one has ended, too
    await billing.reconcile()
    assert another in billing.stripe.closed
    assert await billing.state_of(subscriber.id) == "paid"
    await subscriber.pays(await subscriber.opens_checkout())
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]


@BOTH
async def test_who_does_not_pay_is_suspended_after_the_grace_and_comes_back(billing: World, currency: str) -> None:
    _begin_at(billing, "2027-03-01T10:00")
    subscriber = await subscribes(billing, currency=currency)
    await _asked(subscriber)
    await subscriber.time_passes(until=datetime(2027, 4, 1, 9, 59, tzinfo=UTC))
    assert await subscriber.state() == "active"
    await subscriber.time_passes(minutes=1)
    assert await subscriber.state() == "past_due"
    (late,) = await billing.published(SubscriptionPastDue, subscriber.id)
    assert late.suspends_at == late.time + timedelta(days=3)
    await subscriber.time_passes(until=late.suspends_at - timedelta(days=1, minutes=30))
    (warned,) = await billing.published(SubscriptionWarned, subscriber.id)
    assert (warned.consequence, warned.suspends_at, warned.due) == ("suspension", late.suspends_at, late.due)
    await subscriber.time_passes(until=late.suspends_at - timedelta(minutes=1))
    assert await subscriber.entitled() == [("on", [])]
    await subscriber.time_passes(minutes=1)
    await subscriber.time_passes(days=5)
    assert await subscriber.state() == "suspended"
    (suspended,) = await billing.published(SubscriptionSuspended, subscriber.id)
    assert suspended.deletes_at == suspended.time + timedelta(days=30)
    assert await subscriber.entitled() == [("on", []), ("suspended", ["nonpayment"])]
    await subscriber.pays(await subscriber.opens_checkout())
    assert await subscriber.state() == "active"
    assert (await subscriber.entitled())[-1] == ("on", [])
    # From the old end; the five days for which it was suspended are not charged.
    assert (await subscriber.periods())[-1] == (2, "2027-04-01T10:00", "2027-05-06T10:00")
    (_, renewed) = await billing.published(SubscriptionRenewed, subscriber.id)
    assert str(renewed.period_until).startswith("2027-05-06 10:00")
    await _asked(subscriber)
    await subscriber.pays(await subscriber.opens_checkout())
    assert (await subscriber.periods())[-1] == (3, "2027-05-06T10:00", "2027-06-06T10:00")


async def test_who_pays_within_the_grace_pays_from_the_old_end(billing: World) -> None:
    _begin_at(billing, "2027-03-01T10:00")
    subscriber = await subscribes(billing)
    await _asked(subscriber)
    await subscriber.time_passes(until=datetime(2027, 4, 3, tzinfo=UTC))
    await subscriber.pays(await subscriber.opens_checkout())
    assert await subscriber.state() == "active"
    assert (await subscriber.periods())[-1] == (2, "2027-04-01T10:00", "2027-05-01T10:00")
    await subscriber.time_passes(days=2)
    assert await subscriber.entitled() == [("on", [])]


@BOTH
async def test_before_anybody_is_suspended_the_provider_is_asked(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    await _asked(subscriber)
    checkout = await subscriber.opens_checkout()
    await subscriber.time_passes(until=await subscriber.ends_at())
    assert await subscriber.state() == "past_due"
    subscriber.provider.pay(checkout)  # and no webhook tells of it
    with subscriber.provider.failing(Retry("away")):
        await subscriber.time_passes(days=3)
        assert await subscriber.state() == "past_due"
        assert await billing.published(SubscriptionWarned, subscriber.id) == []
    await subscriber.time_passes(hours=1)
    assert await subscriber.state() == "active"
    assert await subscriber.entitled() == [("on", [])]
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]


async def test_after_an_outage_nobody_is_suspended_without_having_been_asked(billing: World) -> None:
    subscriber = await subscribes(billing)
    await subscriber.time_passes(until=await subscriber.ends_at() + timedelta(days=40))
    assert await subscriber.state() == "past_due"
    (late,) = await billing.published(SubscriptionPastDue, subscriber.id)
    assert late.suspends_at == late.time + timedelta(days=3)
    await subscriber.time_passes(days=40)  # and of the warning neither
    (warned,) = await billing.published(SubscriptionWarned, subscriber.id)
    assert (await subscriber.state(), warned.suspends_at) == ("past_due", warned.time + timedelta(days=1))
    await subscriber.time_passes(days=1)
    assert await subscriber.state() == "suspended"


@BOTH
async def test_who_never_pays_is_told_so_and_ends(billing: World, currency: str) -> None:
    subscriber = await subscribes(billing, currency=currency)
    await _asked(subscriber)
    checkout = await subscriber.opens_checkout()
    end = await subscriber.ends_at()
    for hours in (0, 2 * 24 + 1, 3 * 24 + 2):
        await subscriber.time_passes(until=end + timedelta(hours=hours))
    (suspended,) = await billing.published(SubscriptionSuspended, subscriber.id)
    assert suspended.deletes_at
    await subscriber.time_passes(until=suspended.deletes_at - timedelta(days=7, minutes=30))
    warned = (await billing.published(SubscriptionWarned, subscriber.id))[-1]
    assert (warned.consequence, warned.deletes_at) == ("deletion", suspended.deletes_at)
    assert (await subscriber.subscription())["deletes_at"]
    with subscriber.provider.failing(Retry("away")):
        await subscriber.time_passes(until=suspended.deletes_at)
        assert await subscriber.state() == "suspended"
    await subscriber.time_passes(hours=1)
    assert await subscriber.state() == "ended"
    (ended,) = await billing.published(SubscriptionEnded, subscriber.id)
    assert (ended.because, ended.withdrawn) == ("nonpayment", (await subscriber.whole())["amount"])
    (told,) = [one for one in await billing.published(EntitlementChanged, subscriber.id) if one.wanted == "ended"]
    assert (told.reasons, told.delete_after) == (["nonpayment"], told.time)
    await subscriber.pays(checkout)
    assert (await subscriber.payments())[-1] == ("surplus", None)
    await subscriber.time_passes(days=100)
    assert await subscriber.state() == "ended"
    assert len(await billing.published(SubscriptionWarned, subscriber.id)) == 2


async def test_who_pays_at_the_last_moment_keeps_everything(billing: World) -> None:
    subscriber = await subscribes(billing)
    end = await subscriber.ends_at()
    for hours in (-6 * 24, 0, 2 * 24 + 1, 3 * 24 + 2, 26 * 24 + 3):
        await subscriber.time_passes(until=end + timedelta(hours=hours))
    checkout = await subscriber.opens_checkout()
    billing.clock.move(timedelta(days=6, hours=22))
    assert await subscriber.state() == "suspended"
    subscriber.provider.pay(checkout)  # and no webhook tells of it
    await subscriber.time_passes(hours=5)
    assert await subscriber.state() == "active"
    assert [wanted for wanted, _ in await subscriber.entitled()] == ["on", "suspended", "on"]
    assert (await subscriber.subscription())["deletes_at"] is None


async def test_rule_16_one_that_fails_stops_no_other(billing: World) -> None:
    """Razorpay is away: who pays through Stripe is asked all the same."""
    first, second = await subscribes(billing, currency="INR"), await subscribes(billing)
    await _asked(first)
    await first.opens_checkout()
    with billing.razorpay.failing(Retry("away")):
        await second.time_passes(until=await second.ends_at())
    assert (await first.state(), await second.state()) == ("active", "past_due")


async def test_time_under_a_dispute_is_not_charged(billing: World) -> None:
    _begin_at(billing, "2027-03-01T10:00")
    subscriber = await orders(billing)
    facts = Facts(await subscriber.pays())
    await subscriber.is_ready()
    await subscriber.time_passes(days=10)
    await billing.hear(facts.disputed())
    await subscriber.time_passes(days=40)
    assert (await subscriber.state(), (await subscriber.subscription())["due"]) == ("active", None)
    await billing.hear(facts.closed("won"))
    assert await subscriber.periods() == [(1, "2027-03-01T10:00", "2027-05-11T10:00")]
    assert await subscriber.entitled() == [("on", []), ("suspended", ["dispute"]), ("on", [])]
    await _asked(subscriber)
    assert (await subscriber.subscription())["due"] == PRICE


async def test_a_dispute_about_any_payment_counts_and_a_refund_of_the_last(billing: World) -> None:
    subscriber = await orders(billing)
    first = await subscriber.pays()
    await subscriber.is_ready()
    await _asked(subscriber)
    second = await subscriber.pays(await subscriber.opens_checkout())
    await billing.hear(Facts(first).refunded(PRICE, "re_old"))
    assert (await billing.state_of(subscriber.id), (await subscriber.whole())["refunded"]) == ("paid", PRICE)
    await billing.hear(Facts(first).disputed())
    assert (await subscriber.entitled())[-1] == ("suspended", ["dispute"])
    await billing.hear(Facts(first).closed("won"), Facts(second).refunded(PRICE, "re_new"))
    assert await billing.state_of(subscriber.id) == "refunded"
    assert (await subscriber.entitled())[-1] == ("ended", ["refunded"])
    assert await subscriber.state() == "ended"
    (ended,) = await billing.published(SubscriptionEnded, subscriber.id)
    assert ended.because == "reversed"


async def test_a_refund_that_failed_takes_the_subscription_up_again(billing: World) -> None:
    _begin_at(billing, "2027-03-01T10:00")
    subscriber = await orders(billing)
    facts = Facts(await subscriber.pays())
    await subscriber.is_ready()
    await billing.hear(facts.refunded(PRICE))
    assert await subscriber.state() == "ended"
    await subscriber.time_passes(days=2)
    await billing.hear(facts.refund_failed(PRICE))
    assert await subscriber.state() == "active"
    assert len(await billing.published(SubscriptionKept, subscriber.id)) == 1
    assert await subscriber.periods() == [(1, "2027-03-01T10:00", "2027-04-03T10:00")]
    await _asked(subscriber)
    assert (await subscriber.subscription())["due"] == PRICE


async def test_money_for_a_subscription_that_has_ended_is_surplus(billing: World) -> None:
    subscriber = await subscribes(billing, currency="INR")
    await _asked(subscriber)
    checkout = await subscriber.opens_checkout()
    await billing.ask("POST", f"/internal/subscriptions/{subscriber.id}/cancel", "customer", json={"when": "now"})
    await billing.work()
    await subscriber.pays(checkout)
    assert (await subscriber.payments())[-1] == ("surplus", None)
    assert await subscriber.state() == "ended"


async def test_the_list_of_subscriptions_goes_page_by_page(billing: World) -> None:
    made = [(await subscribes(billing, email=f"c{number}@example.com")).id for number in range(3)]
    first = (await billing.ask("GET", "/internal/subscriptions", "viewer", params={"limit": 2})).json()
    asked = {"limit": 2, "cursor": first["cursor"], "status": "active"}
    second = (await billing.ask("GET", "/internal/subscriptions", "viewer", params=asked)).json()
    assert [one["purchase_id"] for one in first["items"] + second["items"]] == made[::-1]
    none = (await billing.ask("GET", "/internal/subscriptions", "viewer", params={"status": "ended"})).json()
    assert none["items"] == []


async def test_a_run_that_finds_nothing_due_changes_nothing(billing: World, clock: MovableClock) -> None:
    subscriber = await subscribes(billing)
    before = await subscriber.whole()
    await run(billing)
    clock.move(timedelta(days=1))
    await run(billing)
    assert await subscriber.whole() == before
