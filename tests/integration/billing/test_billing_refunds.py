"""Refunds and disputes on a real database: each counts once, in whatever order its facts arrive."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest

from keyturn.errors import GiveUp, Retry
from keyturn.events import EntitlementChanged, PurchaseDisputed, PurchaseRefunded
from keyturn.internal import Caller
from keyturn.operations import Order, Selection, act
from support.billing import World, copies
from support.billing_facts import Facts

pytestmark = pytest.mark.servers


async def paid(billing: World, **changes: Any) -> tuple[str, Facts]:
    bought = await billing.buy(**changes)
    payment = billing.stripe.pay(bought["session_id"])
    await billing.hear(billing.stripe.told(payment))
    return bought["purchase_id"], Facts(payment)


async def levels(billing: World) -> list[tuple[int, str, list[str]]]:
    return [(event.version, event.wanted, event.reasons) for event in await billing.published(EntitlementChanged)]


async def test_a_full_refund_ends_the_entitlement_and_keeps_the_data_for_the_retention_time(billing: World) -> None:
    purchase, facts = await paid(billing)
    await billing.hear(facts.refunded(4900), *copies([facts.refunded(4900)] * 2))
    assert await billing.state_of(purchase) == "refunded"
    (refunded,) = await billing.published(PurchaseRefunded)
    assert (refunded.amount, refunded.refunded, refunded.full, refunded.reversed) == (4900, 4900, True, False)
    assert await levels(billing) == [(1, "on", []), (2, "ended", ["refunded"])]
    ended = (await billing.published(EntitlementChanged))[-1]
    assert ended.delete_after is not None
    assert ended.delete_after - ended.time == timedelta(days=30)


async def test_partial_refunds_are_amounts_until_they_are_all_of_it(billing: World) -> None:
    purchase, facts = await paid(billing)
    await billing.hear(facts.refunded(1000, "re_1"), facts.refunded(900, "re_2"))
    assert await billing.state_of(purchase) == "paid"
    assert await levels(billing) == [(1, "on", [])]
    await billing.hear(facts.refunded(3000, "re_3"))
    assert await billing.state_of(purchase) == "refunded"
    sums = [(event.refunded, event.full) for event in await billing.published(PurchaseRefunded)]
    assert sums == [(1000, False), (1900, False), (4900, True)]


async def test_a_refund_that_fails_is_booked_back_and_the_entitlement_returns(billing: World) -> None:
    purchase, facts = await paid(billing)
    await billing.hear(facts.refunded(4900), facts.refund_failed(4900), *copies([facts.refunded(4900)]))
    assert await billing.state_of(purchase) == "paid"
    assert [event.reversed for event in await billing.published(PurchaseRefunded)] == [False, True]
    assert [level[1] for level in await levels(billing)] == ["on", "ended", "on"]


async def test_a_refund_seen_before_its_payment_waits_for_it(billing: World) -> None:
    bought = await billing.buy()
    payment = billing.stripe.pay(bought["session_id"])
    await billing.hear(Facts(payment).refunded(4900))
    await billing.work()
    assert await billing.rows("SELECT 1 FROM refunds") == []
    await billing.hear(billing.stripe.told(payment))
    billing.clock.move(timedelta(minutes=1))
    await billing.work()
    assert await billing.state_of(bought["purchase_id"]) == "refunded"


async def test_a_refund_whose_payments_webhook_was_lost_brings_the_payment_in(billing: World) -> None:
    bought = await billing.buy()
    payment = billing.stripe.pay(bought["session_id"])
    await billing.hear(Facts(payment).refunded(4900))
    for _ in range(4):
        await billing.work()
        billing.clock.move(timedelta(seconds=10))
    assert await billing.state_of(bought["purchase_id"]) == "refunded"
    assert await levels(billing) == [(1, "on", []), (2, "ended", ["refunded"])]


async def test_five_copies_of_all_facts_at_once_count_once(billing: World) -> None:
    _, facts = await paid(billing)
    told = [facts.refunded(1000, "re_1"), facts.refunded(900, "re_2"), facts.disputed()]
    await asyncio.gather(*(billing.hear(event) for event in copies(told * 5)))
    for _ in range(3):
        billing.clock.move(timedelta(minutes=1))
        await billing.work()
    (found,) = await billing.rows("SELECT state, refunded FROM purchases")
    assert (found["state"], found["refunded"]) == ("disputed", 1900)
    assert len(await billing.published(PurchaseRefunded)) == 2
    assert await levels(billing) == [(1, "on", []), (2, "suspended", ["dispute"])]
    assert await billing.rows("SELECT 1 FROM work WHERE state = 'dead'") == []


async def test_a_refund_of_somebody_elses_payment_is_nothing(billing: World) -> None:
    purchase, facts = await paid(billing)
    foreign = facts.refunded(4900).model_copy(update={"refs": {"payment_intent": "pi_foreign"}})
    await billing.hear(foreign)
    await billing.work()
    assert await billing.state_of(purchase) == "paid"
    assert await billing.rows("SELECT 1 FROM work WHERE state IN ('open', 'dead')") == []


async def test_a_dispute_suspends_and_winning_it_resumes(billing: World) -> None:
    purchase, facts = await paid(billing)
    await billing.hear(facts.disputed())
    assert await billing.state_of(purchase) == "disputed"
    await billing.hear(facts.closed("won"), *copies([facts.disputed()]))
    assert await billing.state_of(purchase) == "paid"
    assert await levels(billing) == [(1, "on", []), (2, "suspended", ["dispute"]), (3, "on", [])]
    assert [event.status for event in await billing.published(PurchaseDisputed)] == ["open", "won"]


async def test_a_lost_dispute_ends_the_entitlement(billing: World) -> None:
    purchase, facts = await paid(billing)
    await billing.hear(facts.closed("lost"), facts.disputed())
    assert await billing.state_of(purchase) == "refunded"
    assert await levels(billing) == [(1, "on", []), (2, "ended", ["dispute_lost"])]


async def test_an_inquiry_is_told_and_changes_nothing(billing: World) -> None:
    purchase, facts = await paid(billing)
    await billing.hear(facts.disputed(inquiry=True), facts.closed("closed"))
    assert await billing.state_of(purchase) == "paid"
    assert await levels(billing) == [(1, "on", [])]
    assert [event.status for event in await billing.published(PurchaseDisputed)] == ["inquiry", "closed"]


async def test_each_product_has_its_own_policy(billing: World) -> None:
    purchase, facts = await paid(billing, product="sample-shop")
    await billing.hear(facts.disputed())
    assert await billing.state_of(purchase) == "disputed"
    await billing.hear(facts.closed("lost"))
    assert await levels(billing) == [(1, "on", []), (2, "suspended", ["dispute"])]


async def test_a_fraud_warning_is_kept(billing: World) -> None:
    purchase, facts = await paid(billing)
    await billing.hear(facts.fraud_warned())
    shown = (await billing.ask("GET", f"/internal/purchases/{purchase}", "viewer")).json()
    assert [notice["kind"] for notice in shown["notices"]] == ["fraud_warned"]
    assert shown["status"] == "paid"


ORDERS = list(itertools.permutations(range(5)))[::11]


@pytest.mark.parametrize("order", ORDERS, ids=str)
async def test_rule_3_any_order_of_all_facts_ends_alike(billing: World, order: tuple[int, ...]) -> None:
    bought = await billing.buy()
    payment = billing.stripe.pay(bought["session_id"])
    facts = Facts(payment)
    told = [
        billing.stripe.told(payment),
        facts.refunded(1000, "re_1"),
        facts.refunded(3900, "re_2"),
        facts.refund_failed(3900, "re_2"),
        facts.closed("won"),
    ]
    for place in order:
        await billing.hear(told[place], *copies([told[place]]))
        await billing.work()
    await billing.hear(facts.disputed())
    for _ in range(4):
        billing.clock.move(timedelta(minutes=1))
        await billing.work()
    (purchase,) = await billing.rows("SELECT state, refunded FROM purchases")
    assert (purchase["state"], purchase["refunded"]) == ("paid", 1000)
    changes = await levels(billing)
    assert [version for version, _, _ in changes] == list(range(1, len(changes) + 1))
    assert changes[-1][1] == "on"
    assert await billing.rows("SELECT 1 FROM work WHERE state = 'dead'") == []


async def test_an_operator_refunds_once_whatever_comes_back_first(billing: World) -> None:
    purchase, facts = await paid(billing)
    path = f"/internal/purchases/{purchase}/refund"
    assert (await billing.ask("POST", path, "operator", json={"reason": "no"})).status_code == 403
    asked = await billing.ask("POST", path, "admin", json={"reason": "unhappy", "amount": 4000})
    assert asked.status_code == 202
    too_much = await billing.ask("POST", path, "admin", json={"reason": "unhappy", "amount": 901})
    assert (too_much.json()["code"], too_much.json()["left"]) == ("refund_too_large", 900)
    await billing.work()
    (sent,) = billing.stripe.refunds.values()
    await billing.hear(facts.refunded(4000, sent.refund_id))
    (refunded,) = await billing.published(PurchaseRefunded)
    assert (refunded.amount, refunded.full) == (4000, False)
    rest = await billing.ask("POST", path, "admin", json={"reason": "unhappy"})
    assert rest.status_code == 202
    await billing.work()
    assert await billing.state_of(purchase) == "refunded"
    acted = await billing.rows("SELECT 1 FROM outbox WHERE wire = 'operator.acted.v1'")
    assert len(acted) == 2


async def test_a_refund_that_the_provider_refuses_may_be_asked_for_again(billing: World) -> None:
    purchase, _ = await paid(billing)
    path = f"/internal/purchases/{purchase}/refund"
    await billing.ask("POST", path, "admin", json={"reason": "unhappy"})
    with billing.stripe.failing(Retry("away")):
        await billing.work()
    assert await billing.rows("SELECT state FROM refund_requests") == [{"state": "requested"}]
    billing.clock.move(timedelta(hours=1))
    with billing.stripe.failing(GiveUp("refused")):
        await billing.work()
    assert await billing.rows("SELECT state FROM refund_requests") == [{"state": "failed"}]
    assert (await billing.ask("POST", path, "admin", json={"reason": "again"})).status_code == 202
    await billing.work()
    assert await billing.state_of(purchase) == "refunded"


async def dead_refund(billing: World) -> str:
    """Of the whole amount, and refused by the provider; gives the path at which it can be asked for again."""
    purchase, _ = await paid(billing)
    path = f"/internal/purchases/{purchase}/refund"
    await billing.ask("POST", path, "admin", json={"reason": "unhappy"})
    with billing.stripe.failing(GiveUp("refused")):
        await billing.work()
    assert await billing.rows("SELECT state FROM refund_requests") == [{"state": "failed"}]
    return path


async def retry_dead_work(billing: World) -> None:
    every = Order("retry", Selection("all"), Caller("ada", "operator"), "the provider is well again")
    assert await act(billing.database, every) == 1
    await billing.work()


async def test_dead_refund_that_an_operator_has_done_again_is_sent(billing: World) -> None:
    await dead_refund(billing)
    await retry_dead_work(billing)
    assert await billing.rows("SELECT state FROM refund_requests") == [{"state": "sent"}]
    assert await billing.rows("SELECT state FROM purchases") == [{"state": "refunded"}]


async def test_dead_refund_that_fails_again_leaves_the_amount_free(billing: World) -> None:
    path = await dead_refund(billing)
    with billing.stripe.failing(GiveUp("refused")):
        await retry_dead_work(billing)
    assert await billing.rows("SELECT state FROM refund_requests") == [{"state": "failed"}]
    assert (await billing.ask("POST", path, "admin", json={"reason": "again"})).status_code == 202


async def test_dead_refund_whose_amount_was_asked_for_again_is_not_sent_twice(billing: World) -> None:
    path = await dead_refund(billing)
    await billing.ask("POST", path, "admin", json={"reason": "again"})
    await billing.work()
    await retry_dead_work(billing)
    (sent,) = billing.stripe.refunds.values()
    assert sent.amount == 4900
    dead = await billing.rows("SELECT error FROM work WHERE state = 'dead'")
    assert dead == [{"error": "the amount has gone back meanwhile, is held by a dispute, or was asked for again"}]


async def test_what_a_dispute_took_or_holds_is_not_given_back_as_well(billing: World) -> None:
    purchase, facts = await paid(billing)
    path = f"/internal/purchases/{purchase}/refund"

    async def left() -> tuple[int, object]:
        answer = await billing.ask("POST", path, "admin", json={"reason": "unhappy", "amount": 4900})
        return answer.status_code, answer.json().get("left")

    await billing.hear(facts.disputed())
    assert await left() == (422, 0)
    await billing.hear(facts.closed("lost"))
    assert await left() == (422, 0)
    await billing.hear(facts.closed("won", after=20))
    assert await left() == (202, None)


async def test_dead_refund_of_what_a_dispute_took_meanwhile_is_not_sent(billing: World) -> None:
    purchase, facts = await paid(billing)
    path = f"/internal/purchases/{purchase}/refund"
    await billing.ask("POST", path, "admin", json={"reason": "unhappy"})
    with billing.stripe.failing(GiveUp("refused")):
        await billing.work()
    await billing.hear(facts.closed("lost"))
    await retry_dead_work(billing)
    assert billing.stripe.refunds == {}


async def test_what_no_provider_took_no_provider_gives_back(billing: World) -> None:
    bought = await billing.buy(product="sample-free")
    path = f"/internal/purchases/{bought['purchase_id']}/refund"
    refused = await billing.ask("POST", path, "admin", json={"reason": "unhappy"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_refundable")


async def test_a_second_payment_is_given_back_and_the_purchase_stays_paid(billing: World) -> None:
    bought = await billing.buy()
    billing.clock.move(timedelta(hours=24))
    again = (await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/checkout")).json()
    for one in (bought, again):
        await billing.hear(billing.stripe.told(billing.stripe.pay(one["session_id"])))
    (surplus,) = (await billing.ask("GET", "/internal/payments", "viewer", params={"state": "surplus"})).json()["items"]
    path = f"/internal/payments/{surplus['id']}/refund"
    assert (await billing.ask("POST", path, "operator", json={"reason": "no"})).status_code == 403
    assert (await billing.ask("POST", path, "admin", json={"reason": "paid twice"})).status_code == 202
    await billing.work()
    (sent,) = billing.stripe.refunds.values()
    assert sent.amount == 4900
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    assert await levels(billing) == [(1, "on", [])]
    repeated = await billing.ask("POST", path, "admin", json={"reason": "once more"})
    assert repeated.json()["code"] == "refund_too_large"
    unknown = await billing.ask(
        "POST", f"/internal/payments/{bought['purchase_id']}/refund", "admin", json={"reason": "x"}
    )
    assert unknown.json()["code"] == "payment_unknown"
