"""Trials: a first period that costs nothing, once a customer; the price follows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.events import MandateSaved, SubscriptionEnded, SubscriptionRenewalDue, SubscriptionRenewed
from support.billing import CATALOG, World, at_once, copies, load
from support.billing import order as order_of
from support.subscriptions import Subscriber

pytestmark = pytest.mark.servers
PRICE = 900
TRIED = {"plan_id": "wordpress-blog", "cycle": "monthly"}


async def _tries(billing: World, **changes: Any) -> Subscriber:
    """From the 31st at ten in the morning on, there."""
    billing.clock.move(datetime(2027, 1, 31, 9, tzinfo=UTC) - billing.clock.now())
    opened = await billing.buy(**(TRIED | {"timezone": "Europe/Berlin"} | changes))
    assert "session_id" not in opened
    subscriber = Subscriber(billing, opened)
    await subscriber.is_ready()
    return subscriber


async def test_a_trial_asks_no_provider_and_ends_days_after_the_install_is_ready(billing: World) -> None:
    subscriber = await _tries(billing)
    whole = await subscriber.whole()
    assert (whole["amount"], whole["provider"], whole["status"], whole["trial_days"]) == (0, "stripe", "paid", 14)
    assert billing.stripe.calls == []
    assert await subscriber.state() == "trialing"
    assert await subscriber.periods() == [(1, "2027-01-31T09:00", "2027-02-14T09:00")]
    assert await subscriber.entitled() == [("on", [])]
    (told,) = await billing.published(SubscriptionRenewed, subscriber.id)
    assert (told.state, told.amount) == ("trialing", 0)


async def test_the_price_follows_from_the_trials_end_on(billing: World) -> None:
    subscriber = await _tries(billing)
    await subscriber.time_passes(days=6)
    assert await billing.published(SubscriptionRenewalDue, subscriber.id) == []
    await subscriber.time_passes(days=1)
    (due,) = await billing.published(SubscriptionRenewalDue, subscriber.id)
    assert (due.state, due.due) == ("trialing", PRICE)
    await subscriber.pays(await subscriber.opens_checkout())
    assert await subscriber.state() == "active"
    assert (await subscriber.periods())[-1] == (2, "2027-02-14T09:00", "2027-03-14T09:00")
    await subscriber.time_passes(until=datetime(2027, 3, 14, tzinfo=UTC))
    await subscriber.pays(await subscriber.opens_checkout())
    assert (await subscriber.periods())[-1] == (3, "2027-03-14T09:00", "2027-04-14T08:00")  # summer time
    assert await subscriber.payments() == [("matched", 1), ("matched", 2), ("matched", 3)]


async def test_who_does_not_pay_after_the_trial_is_suspended_after_the_grace_and_comes_back(billing: World) -> None:
    subscriber = await _tries(billing)
    await subscriber.time_passes(until=datetime(2027, 2, 14, 9, tzinfo=UTC))
    assert await subscriber.state() == "past_due"
    await subscriber.time_passes(days=1, hours=23, minutes=30)
    await subscriber.time_passes(days=1, hours=1)
    assert await subscriber.state() == "suspended"
    await subscriber.pays(await subscriber.opens_checkout())
    assert (await subscriber.entitled())[-1] == ("on", [])


async def test_a_trial_shorter_than_the_notice_is_asked_for_at_once(billing: World) -> None:
    await load(billing, CATALOG.read_text().replace("trial_days: 14", "trial_days: 3"))
    subscriber = await _tries(billing)
    await subscriber.time_passes()
    assert len(await billing.published(SubscriptionRenewalDue, subscriber.id)) == 1
    assert (await subscriber.ends_at()).date().isoformat() == "2027-02-03"


async def test_cancelled_in_the_trial_it_ends_with_it(billing: World) -> None:
    subscriber = await _tries(billing)
    await billing.ask("POST", f"/internal/subscriptions/{subscriber.id}/cancel", "customer", json={})
    await subscriber.time_passes(days=13)
    assert (await subscriber.entitled(), await subscriber.opens_checkout()) == ([("on", [])], "")
    await subscriber.time_passes(days=1)
    assert (await subscriber.entitled())[-1] == ("ended", ["cancelled"])
    assert len(await billing.published(SubscriptionEnded, subscriber.id)) == 1


async def test_the_setup_fee_is_paid_and_a_coupon_redeemed_with_the_first_period_that_is_paid(billing: World) -> None:
    await load(billing, CATALOG.read_text().replace("trial_days: 14", "trial_days: 14, setup_fee: 500"))
    subscriber = await _tries(billing, coupon_code="WELCOME10")
    assert (await subscriber.whole())["discount"] == 0
    await subscriber.time_passes(days=8)
    order = billing.stripe.orders[checkout := await subscriber.opens_checkout()]
    assert (order.amount, order.setup_fee, order.note) == (1310, 500, "9.00 EUR less 0.90 EUR with WELCOME10")
    await subscriber.pays(checkout)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=1))
    later = billing.stripe.orders[await subscriber.opens_checkout()]
    assert (later.amount, later.setup_fee, later.note) == (PRICE, 0, None)


async def test_a_customer_has_one_trial_whatever_the_spelling(billing: World) -> None:
    await _tries(billing)
    again = await billing.buy(**TRIED, email="ADA@example.com")
    assert (again["amount"], again.get("trial_days"), again["status"]) == (PRICE, None, "pending")
    assert again["session_id"]
    other = await billing.buy(**TRIED, email="grace@example.com")
    assert (other["amount"], other["trial_days"], other["status"]) == (0, 14, "paid")


async def test_of_many_purchases_at_once_one_is_a_trial(billing: World) -> None:
    opened: list[dict[str, Any]] = []

    async def buys() -> None:
        opened.append(await billing.buy(**TRIED))

    await at_once(*(buys() for _ in range(6)))
    assert sorted(one["amount"] for one in opened) == [0] + [PRICE] * 5


async def test_the_same_order_again_is_the_same_trial(billing: World) -> None:
    subscriber = await _tries(billing)
    again = await billing.buy(**TRIED, timezone="Europe/Berlin", purchase_id=subscriber.id)
    assert (again["amount"], again["trial_days"], again["status"]) == (0, 14, "paid")


async def test_an_order_that_is_refused_uses_no_trial_up(billing: World) -> None:
    await billing.buy(coupon_code="WELCOME10")
    used = {"purchase_id": "01a1fd9d-98b0-713d-9d46-377219884bb3", "coupon_code": "WELCOME10", **TRIED}
    urls = {"success_url": "https://keyturn.test/", "cancel_url": "https://keyturn.test/"}
    refused = await billing.ask("POST", "/internal/checkouts", json={"email": "ada@example.com", **used, **urls})
    assert refused.json()["code"] == "coupon_used_by_you"
    assert (await billing.buy(**TRIED))["amount"] == 0


WITH_CARD = CATALOG.read_text().replace("trial_days: 14", "trial_days: 14, trial_card: required")


async def _ordered(billing: World, **changes: Any) -> Subscriber:
    """A trial that begins with a card."""
    await load(billing, WITH_CARD)
    billing.stripe.saves = True
    return Subscriber(billing, await billing.buy(**(TRIED | changes)))


def _card(subscriber: Subscriber) -> MandateSaved:
    """The customer gives it: what the gateway publishes."""
    paid = subscriber.provider.pay(subscriber.checkout)
    refs = {"session": subscriber.checkout, "customer": paid.refs["customer"], "setup_intent": "seti_1"}
    said = {"subject": f"stripe:{subscriber.checkout}", "time": subscriber.billing.clock.now(), "provider": "stripe"}
    return MandateSaved(**said, livemode=False, reference=subscriber.id, refs=refs)


@pytest.mark.parametrize("told", ["webhook", "return page", "nobody"])
async def test_a_trial_begins_with_a_card_to_which_the_first_period_is_charged(billing: World, told: str) -> None:
    subscriber = await _ordered(billing)
    order = billing.stripe.orders[subscriber.checkout]
    assert (order.amount, order.card_alone, await billing.state_of(subscriber.id)) == (0, True, "pending")
    fact = _card(subscriber)
    if told == "webhook":
        await billing.hear(fact, *copies([fact]))
    elif told == "return page":
        path = f"/internal/purchases/{subscriber.id}/return"
        await billing.ask("POST", path, json={"session_id": subscriber.checkout})
    else:
        billing.clock.move(timedelta(minutes=2))
        await billing.reconcile()
    await billing.work()
    whole = await subscriber.whole()
    assert (whole["status"], whole["amount"], whole["mandate"]["provider"]) == ("paid", 0, "stripe")
    await subscriber.is_ready()
    assert await subscriber.state() == "trialing"
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))
    (due,) = await billing.published(SubscriptionRenewalDue, subscriber.id)
    assert (due.due, due.charges_at) == (PRICE, await subscriber.ends_at())
    await subscriber.time_passes(until=await subscriber.ends_at())
    assert await subscriber.state() == "active"
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]
    assert [one.payment.amount for one in billing.stripe.charges.values() if one.payment] == [PRICE]


async def test_without_the_card_there_is_no_trial_and_it_may_be_tried_again(billing: World) -> None:
    first = await _ordered(billing)
    paying = await billing.buy(**TRIED)  # as long as the first can still begin
    assert (paying["amount"], paying.get("trial_days")) == (PRICE, None)
    billing.clock.move(timedelta(days=2))
    await billing.reconcile()
    assert await billing.state_of(first.id) == "expired"
    assert first.checkout in billing.stripe.closed
    second = Subscriber(billing, await billing.buy(**TRIED))
    await billing.hear(_card(second))
    await billing.work()
    assert (await second.whole())["trial_days"] == 14
    assert await billing.state_of(second.id) == "paid"
    again = await billing.ask("POST", f"/internal/purchases/{first.id}/checkout")
    assert (again.status_code, again.json()["code"]) == (409, "trial_taken")


async def test_an_order_that_expired_frees_nobody_elses_trial(billing: World) -> None:
    lapsed = await _ordered(billing)
    billing.clock.move(timedelta(days=2))
    await billing.reconcile()
    assert await billing.state_of(lapsed.id) == "expired"
    grace = Subscriber(billing, await billing.buy(**TRIED, email="grace@example.com"))
    await billing.hear(_card(grace))
    await billing.work()
    assert (await grace.whole())["trial_days"] == 14
    again = await billing.buy(**TRIED, email="grace@example.com")
    assert (again["amount"], again.get("trial_days")) == (PRICE, None)


async def test_an_order_that_expired_is_opened_again_with_its_trial(billing: World) -> None:
    subscriber = await _ordered(billing)
    billing.clock.move(timedelta(days=2))
    await billing.reconcile()
    subscriber.checkout = await subscriber.opens_checkout()
    await billing.hear(_card(subscriber))
    await billing.work()
    assert await billing.state_of(subscriber.id) == "paid"
    await subscriber.is_ready()
    assert await subscriber.state() == "trialing"


async def test_where_no_card_can_be_saved_such_a_trial_is_refused_and_uses_nothing_up(billing: World) -> None:
    await load(billing, WITH_CARD)
    refused = await billing.ask("POST", "/internal/checkouts", json=order_of(**TRIED, provider="razorpay"))
    assert (refused.status_code, refused.json()["code"]) == (422, "trial_needs_card")
    opened = await billing.buy(**TRIED)
    assert (opened["trial_days"], opened["amount"]) == (14, 0)


async def test_who_cancels_in_such_a_trial_is_never_charged_and_the_card_is_forgotten(billing: World) -> None:
    subscriber = await _ordered(billing)
    await billing.hear(_card(subscriber))
    await billing.work()
    await subscriber.is_ready()
    await billing.ask("POST", f"/internal/subscriptions/{subscriber.id}/cancel", "customer", json={})
    await subscriber.time_passes(days=20)
    assert (await subscriber.state(), billing.stripe.charges) == ("ended", {})
    assert len(billing.stripe.forgotten) == 1
