"""A change of plan: quoted, paid, followed by the install; or refused, and the old plan and the money come back."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from keyturn.errors import Retry
from keyturn.events import (
    EntitlementChanged,
    Event,
    InstallFailed,
    InstallPlanChanged,
    InvoicePaid,
    OperatorActed,
    PaymentNeedsReview,
    PurchaseRefunded,
    SubscriptionPlanChanged,
    SubscriptionPlanRefused,
    SubscriptionRenewalDue,
)
from support.billing import World, at_once, copies
from support.billing_facts import Facts, expired
from support.subscriptions import Subscriber, subscribes

pytestmark = pytest.mark.servers
BEGIN = datetime(2027, 4, 1, 10, tzinfo=UTC)  # a month of thirty days
HALF = 1000  # of the difference between 9.00 and 29.00


async def _ask(subscriber: Subscriber, act: str, role: str = "customer", **body: Any) -> httpx.Response:
    return await subscriber.billing.ask("POST", f"/internal/subscriptions/{subscriber.id}/{act}", role, json=body)


async def _subscribes(billing: World, **changes: Any) -> Subscriber:
    billing.clock.move(BEGIN - billing.clock.now())
    return await subscribes(billing, **changes)


async def _quote(subscriber: Subscriber, plan: str | int = "sample-pro") -> dict[str, Any]:
    answer = await _ask(subscriber, "plan/quote", plan_id=plan)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def _accept(subscriber: Subscriber, quote: dict[str, Any]) -> dict[str, Any]:
    answer = await _ask(subscriber, "plan", quote_id=quote["quote_id"])
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def _half_way(billing: World, **changes: Any) -> tuple[Subscriber, str]:
    """Its upgrade was accepted in the middle of the month: and the checkout for that."""
    subscriber = await _subscribes(billing, **changes)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=15))
    opened = (await _accept(subscriber, await _quote(subscriber)))["checkout"]
    return subscriber, opened.get("session_id") or opened["order_id"]


def _follows(subscriber: Subscriber, plan: str) -> Event:
    said = {"subject": subscriber.id, "time": subscriber.billing.clock.now(), "job_id": "2", "action": "change_plan"}
    return InstallPlanChanged(**said, plan=plan)


def _refuses(subscriber: Subscriber) -> Event:
    said = {"subject": subscriber.id, "time": subscriber.billing.clock.now(), "job_id": "2", "action": "change_plan"}
    return InstallFailed(**said, cause="Permanent", message="no room", attempts=3)


async def _plans(subscriber: Subscriber) -> list[tuple[str, Any]]:
    told = await subscriber.billing.published(EntitlementChanged, subscriber.id)
    return [(one.plan, one.limits["memory"]) for one in told]


async def _status(subscriber: Subscriber) -> list[str]:
    return [one["status"] for one in (await subscriber.whole())["plan_changes"]]


@pytest.mark.parametrize("currency", ["EUR", "INR"])
async def test_an_upgrade_is_charged_as_quoted_and_the_install_follows_after_the_payment(
    billing: World, currency: str
) -> None:
    half = HALF if currency == "EUR" else (249900 - 79900) // 2
    subscriber = await _subscribes(billing, currency=currency)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=15))
    quote = await _quote(subscriber, 2)
    assert (quote["charge"], quote["credit"], quote["plan"]) == (half, 0, "sample-pro")
    billing.clock.move(timedelta(minutes=10))
    accepted = await _accept(subscriber, quote)
    assert (accepted["status"], accepted["checkout"]["amount"]) == ("open", half)
    assert (accepted["checkout"]["plan"], accepted["checkout"]["plan_name"]) == ("sample-pro", "Pro")
    checkout = accepted["checkout"].get("session_id") or accepted["checkout"]["order_id"]
    assert (await _accept(subscriber, quote))["checkout"]["amount"] == half
    assert await subscriber.opens_checkout() == checkout
    assert subscriber.provider.orders[checkout].title == "Sample application, Pro"
    assert len(await _plans(subscriber)) == 1
    await subscriber.pays(checkout)
    assert (await _plans(subscriber))[-1] == ("sample-pro", "1G")
    assert await billing.published(SubscriptionPlanChanged) == []
    assert (await subscriber.subscription())["plan"] == "sample-starter"
    follows = _follows(subscriber, "sample-pro")
    await billing.hear(follows, *copies([follows]))
    (told,) = await billing.published(SubscriptionPlanChanged, subscriber.id)
    assert (told.plan_name, told.previous_plan_name) == ("Pro", "Starter")
    assert (told.next_price, told.full_price, told.discounted) == (told.price, told.price, 0)
    assert (told.plan, told.previous_plan, told.charged, told.state) == ("sample-pro", "sample-starter", half, "active")
    assert ((await subscriber.subscription())["plan"], await _status(subscriber)) == ("sample-pro", ["done"])
    assert [one.total for one in await billing.published(InvoicePaid, subscriber.id)][-1] == half
    assert [number for number, *_ in await subscriber.periods()] == [1]


async def test_the_next_period_costs_the_new_price(billing: World) -> None:
    subscriber, checkout = await _half_way(billing)
    await subscriber.pays(checkout)
    await billing.hear(_follows(subscriber, "sample-pro"))
    await subscriber.time_passes(days=9)
    (due,) = await billing.published(SubscriptionRenewalDue, subscriber.id)
    assert due.due == 2900
    opened = (await billing.ask("POST", f"/internal/purchases/{subscriber.id}/checkout")).json()
    assert (opened["plan"], opened["plan_name"], opened["amount"]) == ("sample-pro", "Pro", 2900)
    order = billing.stripe.orders[renewal := opened["session_id"]]
    assert (order.amount, order.title, order.note) == (2900, "Sample application, Pro", None)
    await subscriber.pays(renewal)
    assert await subscriber.payments() == [("matched", 1), ("matched", None), ("matched", 2)]
    assert await subscriber.state() == "active"


async def test_a_renewal_that_is_open_or_paid_is_counted_in(billing: World) -> None:
    subscriber = await _subscribes(billing)
    await subscriber.time_passes(days=25)
    await subscriber.pays(await subscriber.opens_checkout())
    quote = await _quote(subscriber)
    assert quote["charge"] == 2000 + round(2000 * 5 / 30) or abs(quote["charge"] - 2333) <= 1
    opened = (await _accept(subscriber, quote))["checkout"]
    await subscriber.pays(opened["session_id"])
    await billing.hear(_follows(subscriber, "sample-pro"))
    again = await _quote(subscriber, "sample-starter")
    assert (again["unused"], again["cost"]) == (quote["cost"], quote["unused"]) or abs(again["credit"] - 2333) <= 1


async def test_an_open_renewal_is_withdrawn_and_asked_for_at_the_price_that_holds_then(billing: World) -> None:
    subscriber = await _subscribes(billing)
    await subscriber.time_passes(days=25)
    renewal = await subscriber.opens_checkout()
    opened = (await _accept(subscriber, await _quote(subscriber)))["checkout"]
    await billing.work()
    assert renewal in billing.stripe.closed
    await subscriber.pays(opened["session_id"])
    assert await subscriber.opens_checkout() == ""
    await subscriber.time_passes(days=1)
    assert (await subscriber.subscription())["due"] is None
    await billing.hear(_follows(subscriber, "sample-pro"))
    await subscriber.time_passes()
    assert (await subscriber.subscription())["due"] == 2900


async def test_a_cheaper_plan_gives_credit_when_the_install_has_followed_and_the_next_period_costs_less(
    billing: World,
) -> None:
    subscriber = await _subscribes(billing, plan_id="sample-pro")
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=15))
    quote = await _quote(subscriber, "sample-starter")
    assert (quote["charge"], quote["credit"]) == (0, HALF)
    accepted = await _accept(subscriber, quote)
    assert (accepted["status"], "checkout" in accepted) == ("applying", False)
    assert (await _plans(subscriber))[-1] == ("sample-starter", "256M")
    assert await _credit(billing) == 0
    follows = _follows(subscriber, "sample-starter")
    await billing.hear(follows, *copies([follows]))
    assert await _credit(billing) == HALF
    (told,) = await billing.published(SubscriptionPlanChanged, subscriber.id)
    assert (told.charged, told.credited, told.price) == (0, HALF, 900)
    await subscriber.time_passes(days=9)
    assert await subscriber.state() == "active"
    assert [one[0] for one in await subscriber.periods()] == [1, 2]  # the credit has paid it


async def _credit(billing: World) -> int:
    (row,) = await billing.rows("SELECT coalesce(sum(amount), 0) AS amount FROM credits")
    return int(row["amount"])


async def test_a_cheaper_plan_that_is_refused_gives_nothing(billing: World) -> None:
    subscriber = await _subscribes(billing, plan_id="sample-pro")
    await _accept(subscriber, await _quote(subscriber, "sample-starter"))
    await billing.hear(_refuses(subscriber))
    assert await _credit(billing) == 0
    assert [plan for plan, _ in await _plans(subscriber)] == ["sample-pro", "sample-starter", "sample-pro"]
    (told,) = await billing.published(SubscriptionPlanRefused, subscriber.id)
    assert (told.plan, told.refund) == ("sample-pro", 0)


@pytest.mark.parametrize("currency", ["EUR", "INR"])
async def test_where_the_target_refuses_the_old_plan_and_the_money_come_back(billing: World, currency: str) -> None:
    subscriber, checkout = await _half_way(billing, currency=currency)
    paid = await subscriber.pays(checkout)
    refusal = _refuses(subscriber)
    await billing.hear(refusal, *copies([refusal]))
    await billing.work()
    assert await _plans(subscriber) == [("sample-starter", "256M"), ("sample-pro", "1G"), ("sample-starter", "256M")]
    assert subscriber.provider.left(paid.payment_key) == 0
    (back,) = await billing.published(PurchaseRefunded, subscriber.id)
    assert (back.amount, back.full) == (paid.amount, False)
    (told,) = await billing.published(SubscriptionPlanRefused, subscriber.id)
    assert (told.plan, told.refused_plan, told.refund) == ("sample-starter", "sample-pro", paid.amount)
    await billing.hear(_follows(subscriber, "sample-starter"), _follows(subscriber, "sample-pro"))
    assert await billing.published(SubscriptionPlanChanged) == []
    whole = await subscriber.whole()
    assert (whole["status"], whole["subscription"]["plan"], await _status(subscriber)) == (
        "paid", "sample-starter", ["refused"],
    )  # fmt: skip
    assert (await subscriber.entitled())[-1] == ("on", [])
    await subscriber.time_passes(days=9)
    assert (await subscriber.subscription())["due"] == {"EUR": 900, "INR": 79900}[currency]


async def test_nobody_pays_and_all_is_as_it_was(billing: World) -> None:
    subscriber, checkout = await _half_way(billing)
    await billing.hear(expired(checkout, subscriber.id))
    assert await _status(subscriber) == ["void"]
    assert len(await _plans(subscriber)) == 1
    await subscriber.time_passes(days=9)
    assert (await subscriber.subscription())["due"] == 900


async def test_a_checkout_that_nobody_tells_the_end_of_lapses_too(billing: World) -> None:
    subscriber, checkout = await _half_way(billing)
    billing.clock.move(timedelta(minutes=75))
    await billing.reconcile()
    assert (await _status(subscriber), checkout in billing.stripe.closed) == (["void"], True)
    assert (await _quote(subscriber))["charge"] > 0


async def test_money_that_comes_when_it_has_lapsed_is_for_an_operator(billing: World) -> None:
    subscriber, checkout = await _half_way(billing, currency="INR")
    billing.clock.move(timedelta(minutes=75))
    await billing.reconcile()
    assert await _status(subscriber) == ["void"]
    await subscriber.pays(checkout)
    assert (await subscriber.payments())[-1] == ("surplus", None)
    assert [one.reason for one in await billing.published(PaymentNeedsReview)] == ["surplus"]
    assert len(await _plans(subscriber)) == 1


async def test_where_the_provider_cannot_be_reached_it_is_asked_again_or_lapses(billing: World) -> None:
    subscriber = await _subscribes(billing)
    quote = await _quote(subscriber)
    with billing.stripe.failing(Retry("away")):
        assert (await _ask(subscriber, "plan", quote_id=quote["quote_id"])).json()["code"] == "provider_unavailable"
    assert (await _accept(subscriber, quote))["checkout"]["url"]
    other = await _subscribes_more(billing)
    quote = await _quote(other)
    with billing.stripe.failing(Retry("away")):
        await _ask(other, "plan", quote_id=quote["quote_id"])
    await other.time_passes(minutes=81)
    assert await _status(other) == ["void"]


async def _subscribes_more(billing: World) -> Subscriber:
    return await subscribes(billing, email="grace@example.com")


async def test_one_change_at_a_time_however_many_ask(billing: World) -> None:
    subscriber = await _subscribes(billing)
    quotes = [await _quote(subscriber) for _ in range(3)]
    answers: list[httpx.Response] = []

    async def accepts(quote: dict[str, Any]) -> None:
        answers.append(await _ask(subscriber, "plan", quote_id=quote["quote_id"]))

    await at_once(*(accepts(quote) for quote in quotes * 2))
    assert {answer.status_code for answer in answers} == {200, 409}
    assert sorted(await _status(subscriber)) == ["open", "quoted", "quoted"]
    assert (await _ask(subscriber, "plan/quote", plan_id="sample-pro")).json()["code"] == "cannot_change_plan"
    assert (await _ask(subscriber, "pause")).json()["code"] == "cannot_pause"


async def test_a_payment_is_told_many_times_and_counts_once(billing: World) -> None:
    subscriber, checkout = await _half_way(billing)
    payment = billing.stripe.pay(checkout)
    facts = copies([billing.stripe.told(payment)] * 3)

    async def marked() -> None:
        path = f"/internal/purchases/{subscriber.id}/mark-paid"
        await billing.ask("POST", path, "operator", json={"reason": "by transfer"})

    await at_once(*(billing.hear(fact) for fact in facts), marked(), marked())
    sql = "SELECT count(*) AS n FROM payments WHERE change_id IS NOT NULL AND state = 'matched' AND purchase_id = :id"
    assert (await billing.rows(sql, id=UUID(subscriber.id)))[0]["n"] == 1
    assert len(await _plans(subscriber)) == 2


async def test_a_quote_runs_out_and_is_for_what_was_paid_then(billing: World) -> None:
    subscriber = await _subscribes(billing)
    quote = await _quote(subscriber)
    billing.clock.move(timedelta(minutes=15))
    late = await _ask(subscriber, "plan", quote_id=quote["quote_id"])
    assert (late.status_code, late.json()["code"]) == (409, "quote_expired")
    await subscriber.time_passes(days=25)
    quote, renewal = await _quote(subscriber), await subscriber.opens_checkout()
    await subscriber.pays(renewal)
    outdated = await _ask(subscriber, "plan", quote_id=quote["quote_id"])
    assert (outdated.status_code, outdated.json()["code"]) == (409, "quote_outdated")
    foreign = await _ask(await _subscribes_more(billing), "plan", quote_id=quote["quote_id"])
    assert (foreign.status_code, foreign.json()["code"]) == (404, "quote_unknown")


@pytest.mark.parametrize(
    ("plan", "status", "code"),
    [
        ("sample-starter", 409, "cannot_change_plan"),
        ("nothing", 422, "unknown_plan"),
        ("web-small", 422, "unknown_plan"),  # of another product
        ("", 422, None),
        ("x" * 64, 422, None),
    ],
)
async def test_what_cannot_be_changed_to_is_refused_and_leaves_nothing(
    billing: World, plan: str, status: int, code: str | None
) -> None:
    subscriber = await _subscribes(billing)
    refused = await _ask(subscriber, "plan/quote", plan_id=plan)
    assert (refused.status_code, code in {None, refused.json()["code"]}) == (status, True)
    assert await _status(subscriber) == []


async def test_a_difference_too_small_to_be_paid_is_refused(billing: World) -> None:
    subscriber = await _subscribes(billing)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(hours=1))
    assert (await _ask(subscriber, "plan/quote", plan_id="sample-pro")).json()["code"] == "amount_too_small"


async def test_what_is_behind_paused_cancelled_or_disputed_keeps_its_plan(billing: World) -> None:
    subscriber = await _subscribes(billing)
    for act, back in (("cancel", "keep"), ("pause", "resume")):
        await _ask(subscriber, act)
        assert (await _ask(subscriber, "plan/quote", plan_id="sample-pro")).json()["code"] == "cannot_change_plan"
        await _ask(subscriber, back)
    await subscriber.time_passes(days=24)
    await subscriber.time_passes(days=8)
    assert await subscriber.state() == "past_due"
    assert (await _ask(subscriber, "plan/quote", plan_id="sample-pro")).json()["code"] == "cannot_change_plan"


async def test_cancelled_at_once_while_it_follows_the_money_of_the_change_comes_back(billing: World) -> None:
    subscriber, checkout = await _half_way(billing)
    paid = await subscriber.pays(checkout)
    await _ask(subscriber, "cancel", when="now")
    await billing.work()
    assert (await subscriber.entitled())[-1] == ("ended", ["cancelled"])
    assert billing.stripe.left(paid.payment_key) == 0


async def test_cancelled_before_it_is_paid_nobody_is_asked_any_more(billing: World) -> None:
    subscriber, checkout = await _half_way(billing)
    await _ask(subscriber, "cancel")
    await billing.work()
    assert (checkout in billing.stripe.closed, await _status(subscriber)) == (True, ["void"])


async def test_a_dispute_about_the_difference_counts_and_a_refund_of_it_ends_nothing(billing: World) -> None:
    subscriber, checkout = await _half_way(billing)
    facts = Facts(await subscriber.pays(checkout))
    await billing.hear(_follows(subscriber, "sample-pro"), facts.disputed())
    assert (await subscriber.entitled())[-1] == ("suspended", ["dispute"])
    await billing.hear(facts.closed("won"), facts.refunded(HALF))
    assert (await subscriber.entitled())[-1] == ("on", [])
    assert (await subscriber.whole())["status"] == "paid"


async def test_an_operator_changes_it_and_says_why(billing: World) -> None:
    subscriber = await _subscribes(billing)
    quote = await _quote(subscriber)
    answer = await _ask(subscriber, "plan", "operator", quote_id=quote["quote_id"], reason="by phone")
    assert answer.json()["status"] == "open"
    (acted,) = await billing.published(OperatorActed, subscriber.id)
    assert (acted.action, acted.reason, acted.before["plan"]) == (
        "subscription.change_plan", "by phone", "sample-starter",
    )  # fmt: skip
    assert (acted.after["plan"], acted.after["charge"]) == ("sample-pro", quote["charge"])


async def test_while_the_next_period_is_being_charged_nothing_is_changed_or_paused(billing: World) -> None:
    billing.stripe.saves = True
    subscriber = await _subscribes(billing)
    await subscriber.time_passes(days=29)
    with billing.stripe.losing(Retry("no answer")):
        await subscriber.time_passes(until=await subscriber.ends_at())
    assert (await _ask(subscriber, "plan/quote", plan_id="sample-pro")).json()["code"] == "cannot_change_plan"
    assert (await _ask(subscriber, "pause")).json()["code"] == "cannot_pause"
    await subscriber.time_passes(hours=30)
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]
    assert (await _quote(subscriber))["charge"] > 0
