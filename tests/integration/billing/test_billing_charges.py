"""What is owed is charged to what the customer saved: once, again on the days of the policy, or never again."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.providers import ChargeResult
from keyturn.errors import Retry
from keyturn.events import (
    MandateSaved,
    PaymentNeedsReview,
    SubscriptionChargeFailed,
    SubscriptionEnded,
    SubscriptionPastDue,
    SubscriptionRenewalDue,
    SubscriptionRenewed,
    SubscriptionSuspended,
)
from support.billing import World, at_once, copies
from support.billing_facts import Facts
from support.subscriptions import PRICE, Subscriber, run, subscribes

pytestmark = pytest.mark.servers


@pytest.fixture
async def saver(billing: World) -> Subscriber:
    """Whose card is saved; two days before the end of their first month."""
    billing.stripe.saves = True
    made = await subscribes(billing)
    await made.time_passes(until=await made.ends_at() - timedelta(days=2))
    return made


def told_of(billing: World, made: ChargeResult) -> Any:
    """The webhook about it."""
    assert made.payment
    payment = made.payment
    return billing.stripe.told(payment).model_copy(update={"reference": None})


async def taken(billing: World) -> list[ChargeResult]:
    return [one for one in billing.stripe.charges.values() if one.payment]


async def charges(subscriber: Subscriber) -> list[tuple[int, int, str, str | None]]:
    """Period, attempt, state and code; the oldest first."""
    found = reversed((await subscriber.whole())["charges"])
    return [(one["period"], one["attempt"], one["state"], one["code"]) for one in found]


async def failed(billing: World) -> list[SubscriptionChargeFailed]:
    return await billing.published(SubscriptionChargeFailed)


async def test_a_saved_card_is_charged_when_the_period_is_over(billing: World, saver: Subscriber) -> None:
    (due,) = await billing.published(SubscriptionRenewalDue, saver.id)
    end = await saver.ends_at()
    assert due.charges_at == end
    assert (await saver.whole())["mandate"]["provider"] == "stripe"
    await saver.time_passes(until=end - timedelta(minutes=1))
    assert await taken(billing) == []
    await saver.time_passes(minutes=1)
    assert await saver.state() == "active"
    assert await saver.payments() == [("matched", 1), ("matched", 2)]
    assert await charges(saver) == [(2, 1, "paid", None)]
    (made,) = await taken(billing)
    assert made.payment
    assert made.payment.amount == PRICE
    await billing.hear(told_of(billing, made), *copies([told_of(billing, made)]))
    await run(billing)
    assert [one.found_by for one in await billing.published(SubscriptionRenewed, saver.id)] == [None, "charge"]
    assert await billing.published(SubscriptionPastDue, saver.id) == []
    assert await saver.entitled() == [("on", [])]
    assert "pm_" not in str(await saver.whole())


async def test_nothing_is_saved_where_the_provider_kept_nothing(billing: World) -> None:
    subscriber = await subscribes(billing)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=2))
    await subscriber.time_passes(until=await subscriber.ends_at())
    assert (await subscriber.whole())["mandate"] is None
    assert (await subscriber.state(), await charges(subscriber)) == ("past_due", [])


async def test_a_declined_charge_is_tried_again_on_the_days_of_the_policy(billing: World, saver: Subscriber) -> None:
    end = await saver.ends_at()
    billing.stripe.decline("insufficient_funds")
    await saver.time_passes(until=end)
    (first,) = await failed(billing)
    assert (first.attempt, first.code, first.verdict, first.state) == (1, "insufficient_funds", "again", "past_due")
    assert first.charges_at == first.time + timedelta(days=2)
    assert first.suspends_at == first.time + timedelta(days=3)
    assert [one.charged for one in await billing.published(SubscriptionPastDue, saver.id)] == [True]
    for _ in range(31):
        await saver.time_passes(days=1, minutes=1)
    days = [(one.time - end).days for one in await failed(billing)]
    assert days == [0, 2, 7, 14, 21]
    assert (await failed(billing))[-1].charges_at is None
    assert len(await billing.published(SubscriptionSuspended, saver.id)) == 1
    assert len({one.code for one in await failed(billing)}) == 1
    assert await saver.state() == "suspended"


async def test_a_later_attempt_takes_a_suspended_one_up_again(billing: World, saver: Subscriber) -> None:
    billing.stripe.decline("insufficient_funds")
    await saver.time_passes(until=await saver.ends_at())
    for _ in range(5):
        await saver.time_passes(days=1, minutes=1)
    assert await saver.state() == "suspended"
    billing.stripe.decline(None)
    for _ in range(2):
        await saver.time_passes(days=1, minutes=1)
    assert await saver.state() == "active"
    assert (await saver.entitled())[-1] == ("on", [])
    assert await charges(saver) == [
        (2, 1, "failed", "insufficient_funds"),
        (2, 2, "failed", "insufficient_funds"),
        (2, 3, "paid", None),
    ]


@pytest.mark.parametrize(
    ("code", "verdict"),
    [("stolen_card", "hopeless"), ("expired_card", "hopeless"), ("authentication_required", "customer")],
)
async def test_what_cannot_go_through_is_not_tried_again(
    billing: World, saver: Subscriber, code: str, verdict: str
) -> None:
    billing.stripe.decline(code)
    await saver.time_passes(until=await saver.ends_at())
    (told,) = await failed(billing)
    assert (told.verdict, told.charges_at, told.due) == (verdict, None, PRICE)
    assert (await saver.whole())["mandate"]["refused"] == (code if verdict == "hopeless" else None)
    billing.stripe.decline(None)
    for _ in range(10):
        await saver.time_passes(days=1)
    assert await charges(saver) == [(2, 1, "failed", code)]
    await saver.pays(await saver.opens_checkout())  # with another card, which is saved instead
    await billing.work()
    assert (await saver.state(), (await saver.whole())["mandate"]["refused"]) == ("active", None)
    await saver.time_passes(until=await saver.ends_at() - timedelta(days=2))
    await saver.time_passes(until=await saver.ends_at())
    assert (await charges(saver))[-1] == (3, 1, "paid", None)


@pytest.mark.parametrize("lost", ["answer", "webhook first", "everything at once"])
async def test_rule_4_a_charge_whose_answer_was_lost_is_made_and_booked_once(
    billing: World, saver: Subscriber, lost: str
) -> None:
    with billing.stripe.losing(Retry("no answer")):
        await saver.time_passes(until=await saver.ends_at())
    (made,) = await taken(billing)
    assert await charges(saver) == [(2, 1, "asked", None)]
    assert await saver.state() == "active"  # nothing else happens before it is known what came of it
    if lost == "webhook first":
        await billing.hear(told_of(billing, made))
    if lost == "everything at once":
        billing.clock.move(timedelta(hours=1))
        fact = told_of(billing, made)
        await at_once(billing.work(), billing.hear(fact), billing.hear(*copies([fact])))
    await saver.time_passes(hours=30)  # so late that it is looked for
    assert len(await taken(billing)) == 1
    assert await charges(saver) == [(2, 1, "paid", None)]
    assert await saver.payments() == [("matched", 1), ("matched", 2)]


async def test_nobody_falls_behind_while_the_provider_cannot_be_asked(billing: World, saver: Subscriber) -> None:
    with billing.stripe.failing(Retry("away")):
        await saver.time_passes(until=await saver.ends_at())
        await saver.time_passes(hours=5)
        assert await saver.state() == "active"
    await saver.time_passes(hours=1)
    assert (await saver.state(), len(await taken(billing))) == ("active", 1)
    assert await saver.payments() == [("matched", 1), ("matched", 2)]


async def test_who_is_faster_by_link_is_not_charged(billing: World, saver: Subscriber) -> None:
    checkout = await saver.opens_checkout()
    billing.clock.move(timedelta(days=1, hours=23))
    billing.stripe.pay(checkout)  # and no webhook tells of it
    await saver.time_passes(until=await saver.ends_at())
    assert await saver.payments() == [("matched", 1), ("matched", 2)]
    assert await taken(billing) == []


async def test_a_charge_beside_a_payment_by_link_goes_back(billing: World, saver: Subscriber) -> None:
    checkout = await saver.opens_checkout()
    with billing.stripe.losing(Retry("no answer")):
        await saver.time_passes(until=await saver.ends_at())
    await saver.pays(checkout)
    await saver.time_passes(hours=1)
    assert await saver.payments() == [("matched", 1), ("matched", 2), ("surplus", None)]
    assert [one.reason for one in await billing.published(PaymentNeedsReview, saver.id)] == ["surplus"]
    (made,) = await taken(billing)
    assert made.payment
    assert billing.stripe.left(made.payment.payment_key) == 0
    assert (await saver.whole())["refunded"] == 0


async def test_a_charge_that_was_never_made_is_dropped_once_it_is_paid_by_link(
    billing: World, saver: Subscriber
) -> None:
    checkout = await saver.opens_checkout()
    with billing.stripe.failing(Retry("away")):
        await saver.time_passes(until=await saver.ends_at())
    await saver.pays(checkout)
    await saver.time_passes(hours=1)
    assert (await charges(saver), await taken(billing)) == ([], []) or await charges(saver) == [(2, 1, "dropped", None)]
    assert await saver.payments() == [("matched", 1), ("matched", 2)]


async def test_a_bank_that_takes_its_time_is_waited_for(billing: World, saver: Subscriber) -> None:
    billing.stripe.decline("processing")
    await saver.time_passes(until=await saver.ends_at())
    for _ in range(4):
        await saver.time_passes(days=1)
    assert (await saver.state(), await charges(saver)) == ("active", [(2, 1, "asked", None)])
    (key,) = billing.stripe.charges
    billing.stripe.bank_says(key, "debit_not_authorized")
    await saver.time_passes(hours=2)
    assert (await saver.state(), await charges(saver)) == ("past_due", [(2, 1, "failed", "debit_not_authorized")])


async def test_cancelling_stops_the_attempts(billing: World, saver: Subscriber) -> None:
    billing.stripe.decline("insufficient_funds")
    await saver.time_passes(until=await saver.ends_at())
    await billing.ask("POST", f"/internal/subscriptions/{saver.id}/cancel", "customer", json={})
    (ended,) = await billing.published(SubscriptionEnded, saver.id)
    assert (ended.because, ended.withdrawn) == ("cancelled", PRICE)
    billing.stripe.decline(None)
    for _ in range(5):
        await saver.time_passes(days=2)
    assert (await charges(saver), (await saver.whole())["mandate"]) == ([(2, 1, "failed", "insufficient_funds")], None)


async def test_after_days_of_outage_each_attempt_is_made_once_and_nobody_is_skipped_a_warning(
    billing: World, saver: Subscriber
) -> None:
    billing.stripe.decline("insufficient_funds")
    await saver.time_passes(until=await saver.ends_at() + timedelta(days=20))
    assert [one.attempt for one in await failed(billing)] == [1]
    await saver.time_passes(days=20)
    await run(billing)
    assert [one.attempt for one in await failed(billing)] == [1, 2]
    assert await saver.state() == "past_due"


async def test_no_card_is_charged_whose_payment_is_in_dispute(billing: World) -> None:
    billing.stripe.saves = True
    subscriber = await subscribes(billing)
    (paid,) = billing.stripe.paid[subscriber.checkout]
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=2))
    await billing.hear(Facts(paid).disputed())
    await subscriber.time_passes(days=5)
    assert await taken(billing) == []


async def test_one_charge_at_a_time_and_one_for_each_attempt(billing: World, saver: Subscriber) -> None:
    """Rule 4: constraints, not checks."""
    await saver.time_passes(until=await saver.ends_at())
    row = (await billing.rows("SELECT * FROM charges WHERE purchase_id = :id", id=UUID(saver.id)))[0]
    again = (
        "INSERT INTO charges (id, purchase_id, period, attempt, amount, currency, provider, customer_id, method_id, "
        "state, asked_at) SELECT gen_random_uuid(), purchase_id, period, attempt + :more, amount, currency, provider, "
        "customer_id, method_id, :state, asked_at FROM charges WHERE id = :id"
    )
    with pytest.raises(Exception, match="charges_purchase_id_period_attempt"):
        await billing.rows(f"{again} RETURNING id", id=row["id"], more=0, state="failed")
    await billing.rows(f"{again} RETURNING id", id=row["id"], more=1, state="asked")
    with pytest.raises(Exception, match="one_open_charge"):
        await billing.rows(f"{again} RETURNING id", id=row["id"], more=2, state="asked")


async def _card_page(subscriber: Subscriber) -> str:
    """Its id at the provider."""
    path = f"/internal/subscriptions/{subscriber.id}/card"
    answer = await subscriber.billing.ask("POST", path, "customer", json={"return_url": "https://keyturn.test/back"})
    return str(answer.json()["url"]).rpartition("/")[2]


def _given(billing: World, subscriber: Subscriber, page: str) -> MandateSaved:
    """The customer gives a card there, and what the gateway publishes about it."""
    refs = billing.stripe.give(page)
    about = {"provider": "stripe", "livemode": False, "reference": subscriber.id, "refs": refs}
    return MandateSaved(subject=f"stripe:{page}", time=billing.clock.now(), **about)


@pytest.mark.parametrize("late", [0, 5])
async def test_a_new_card_is_charged_at_once_what_is_overdue(billing: World, saver: Subscriber, late: int) -> None:
    billing.stripe.decline("stolen_card")
    await saver.time_passes(until=await saver.ends_at())
    for _ in range(late):
        await saver.time_passes(days=1, minutes=1)
    assert await saver.state() == ("suspended" if late else "past_due")
    page = await _card_page(saver)
    assert billing.stripe.pages[page].customer_id
    fact = _given(billing, saver, page)
    await billing.hear(fact, *copies([fact]))
    await billing.work()
    assert await saver.state() == "active"
    assert await charges(saver) == [(2, 1, "failed", "stolen_card"), (2, 2, "paid", None)]
    assert (await saver.whole())["mandate"]["refused"] is None
    assert (await saver.entitled())[-1] == ("on", [])


async def test_a_new_card_before_the_end_is_charged_at_the_end(billing: World, saver: Subscriber) -> None:
    await billing.hear(_given(billing, saver, await _card_page(saver)))
    await billing.work()
    assert await charges(saver) == []
    await saver.time_passes(until=await saver.ends_at())
    assert await charges(saver) == [(2, 1, "paid", None)]
    assert any(call.startswith("charge pm_new") for call in billing.stripe.calls)


async def test_a_card_of_which_no_webhook_tells_is_found_an_hour_later(billing: World, saver: Subscriber) -> None:
    billing.stripe.decline("stolen_card")
    await saver.time_passes(until=await saver.ends_at())
    await _card_page(saver)  # on which nothing is given
    billing.stripe.give(await _card_page(saver))
    await saver.time_passes(hours=2)
    assert await saver.state() == "active"


async def test_without_such_a_page_what_is_owed_is_paid(billing: World) -> None:
    subscriber = await subscribes(billing, currency="INR")
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=2))
    path = f"/internal/subscriptions/{subscriber.id}/card"
    answer = (await billing.ask("POST", path, "customer", json={"return_url": "https://keyturn.test/back"})).json()
    await subscriber.pays(answer["order_id"])
    assert await subscriber.payments() == [("matched", 1), ("matched", 2)]


async def test_no_card_is_asked_for_what_has_ended_or_never_recurred(billing: World, saver: Subscriber) -> None:
    await billing.ask("POST", f"/internal/subscriptions/{saver.id}/cancel", "customer", json={"when": "now"})
    bought = await billing.buy(cycle="one_time", email="bob@example.com")
    for number, status in ((saver.id, 409), (bought["purchase_id"], 404)):
        path = f"/internal/subscriptions/{number}/card"
        answer = await billing.ask("POST", path, "customer", json={"return_url": "https://keyturn.test/back"})
        assert answer.status_code == status
    bad = await billing.ask("POST", f"/internal/subscriptions/{saver.id}/card", "customer", json={"return_url": "no"})
    assert bad.status_code == 422


@pytest.mark.parametrize("how", ["now", "with the period", "unpaid"])
async def test_what_was_saved_is_forgotten_at_the_provider_with_the_end(
    billing: World, saver: Subscriber, how: str
) -> None:
    (card,) = [one.method_id for one in billing.stripe.given.values()]
    if how == "unpaid":
        billing.stripe.decline("stolen_card")
        for _ in range(40):
            await saver.time_passes(days=1)
    else:
        when = "now" if how == "now" else "period_end"
        await billing.ask("POST", f"/internal/subscriptions/{saver.id}/cancel", "customer", json={"when": when})
        assert billing.stripe.forgotten == []
        await saver.time_passes(days=3)
    assert await saver.state() == "ended"
    assert billing.stripe.forgotten == [card]
    assert await billing.rows("SELECT 1 AS one FROM mandates") == []


async def test_a_provider_that_is_away_is_asked_to_forget_until_it_has(billing: World, saver: Subscriber) -> None:
    (card,) = [one.method_id for one in billing.stripe.given.values()]
    with billing.stripe.failing(Retry("away")):
        await billing.ask("POST", f"/internal/subscriptions/{saver.id}/cancel", "customer", json={"when": "now"})
        await billing.work()
    with billing.stripe.losing(Retry("no answer")):
        await saver.time_passes(hours=1)
    await saver.time_passes(hours=1)
    assert billing.stripe.forgotten == [card, card]
    assert await billing.rows("SELECT 1 AS one FROM work WHERE kind = 'forget_mandate' AND state <> 'done'") == []


async def test_a_card_that_comes_after_the_end_is_forgotten_too(billing: World, saver: Subscriber) -> None:
    page = await _card_page(saver)
    await billing.ask("POST", f"/internal/subscriptions/{saver.id}/cancel", "customer", json={"when": "now"})
    await billing.hear(_given(billing, saver, page))
    await billing.work()
    assert len(set(billing.stripe.forgotten)) == 2
    assert await billing.rows("SELECT 1 AS one FROM mandates") == []


async def test_of_whom_we_forget_the_provider_forgets_the_card(billing: World, saver: Subscriber) -> None:
    (card,) = [one.method_id for one in billing.stripe.given.values()]
    (row,) = await billing.rows("SELECT customer_id FROM purchases WHERE id = :id", id=UUID(saver.id))
    body = {"reason": "asked for it", "end_everything": True}
    answer = await billing.ask("POST", f"/internal/customers/{row['customer_id']}/erase", "admin", json=body)
    assert answer.status_code == 202
    await billing.work()
    assert billing.stripe.forgotten == [card]
