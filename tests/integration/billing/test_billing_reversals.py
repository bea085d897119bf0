"""Refunds and disputes that no webhook told of: found by asking, once, whatever is told later (rules 5, 6, 16)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from billing.handlers import WORK
from billing.providers import CapturedPayment
from keyturn.errors import GiveUp, Retry
from keyturn.events import PurchaseDisputed, PurchaseRefunded
from keyturn.worker import Worker
from support.billing import World, copies
from support.billing_facts import START, Facts

pytestmark = pytest.mark.servers


async def paid(billing: World, *, told: bool = True) -> tuple[str, CapturedPayment]:
    bought = await billing.buy()
    payment = billing.stripe.pay(bought["session_id"])
    if told:
        await billing.hear(billing.stripe.told(payment))
    return bought["purchase_id"], payment


async def asks(billing: World, *, after: timedelta) -> list[str]:
    """What the provider is asked once so much time has passed."""
    billing.clock.move(after)
    billing.stripe.calls.clear()
    await billing.reconcile()
    return billing.stripe.calls


async def later(billing: World, minutes: int = 10) -> None:
    await asks(billing, after=timedelta(minutes=minutes))


async def test_rule_5_a_dispute_that_nobody_told_of_is_found_and_so_is_its_end(billing: World) -> None:
    purchase, payment = await paid(billing)
    dispute = billing.stripe.dispute(payment)
    await later(billing)
    assert await billing.state_of(purchase) == "disputed"
    billing.stripe.decide(dispute, "won")
    await later(billing, 60)
    assert await billing.state_of(purchase) == "paid"
    facts = Facts(payment)
    await billing.hear(*copies([facts.disputed(dispute=dispute), facts.closed("won", dispute=dispute)] * 2))
    told = [(event.status, event.amount, event.found_by) for event in await billing.published(PurchaseDisputed)]
    assert told == [("open", 4900, "reconciler"), ("won", 4900, "reconciler")]
    assert await billing.rows("SELECT 1 FROM disputes WHERE next_look_at IS NOT NULL") == []


async def test_rule_5_the_end_of_a_dispute_that_a_webhook_told_of_is_found(billing: World) -> None:
    purchase, payment = await paid(billing)
    dispute = billing.stripe.dispute(payment)
    await billing.hear(Facts(payment).disputed(dispute=dispute))
    billing.stripe.decide(dispute, "lost")
    await later(billing)
    assert await billing.state_of(purchase) == "refunded"
    found = await billing.published(PurchaseDisputed)
    assert [(event.status, event.found_by) for event in found] == [("open", "webhook"), ("lost", "reconciler")]


async def test_rule_5_a_refund_made_in_the_dashboard_is_found_and_so_is_that_it_failed(billing: World) -> None:
    purchase, payment = await paid(billing)
    refund = billing.stripe.give_back(payment.payment_key, 4900, "EUR").refund_id
    await later(billing)
    assert await billing.state_of(purchase) == "refunded"
    billing.stripe.send_back(refund)
    await later(billing, 24 * 60)
    assert await billing.state_of(purchase) == "paid"
    facts = Facts(payment)
    await billing.hear(*copies([facts.refunded(4900, refund), facts.refund_failed(4900, refund)] * 2))
    found = await billing.published(PurchaseRefunded)
    assert [(event.reversed, event.found_by) for event in found] == [(False, "reconciler"), (True, "reconciler")]
    assert await billing.rows("SELECT 1 FROM refunds WHERE next_look_at IS NOT NULL") == []


async def test_rule_5_a_failed_refund_that_we_sent_ourselves_is_found(billing: World) -> None:
    purchase, _ = await paid(billing)
    asked = {"reason": "unhappy"}
    assert (await billing.ask("POST", f"/internal/purchases/{purchase}/refund", "admin", json=asked)).is_success
    await billing.work()
    (refund,) = billing.stripe.refunds.values()
    billing.stripe.send_back(refund.refund_id)
    await later(billing, 61)
    assert await billing.state_of(purchase) == "paid"
    found = await billing.published(PurchaseRefunded)
    assert [(event.reversed, event.found_by) for event in found] == [(False, "operator"), (True, "reconciler")]


async def test_rule_5_a_refund_of_a_payment_whose_webhook_was_lost_too_brings_the_payment_in(billing: World) -> None:
    purchase, payment = await paid(billing, told=False)
    billing.stripe.give_back(payment.payment_key, 4900, "EUR")
    for _ in range(4):
        await later(billing, 3)
    assert await billing.state_of(purchase) == "refunded"
    assert len(await billing.published(PurchaseRefunded)) == 1


async def test_rule_6_a_refund_of_somebody_elses_payment_is_nothing(billing: World) -> None:
    purchase, _ = await paid(billing)
    _, foreign = await paid(billing, told=False)
    billing.stripe.dispute(foreign)
    billing.stripe.paid.clear()  # the provider says that it is none of ours
    await later(billing)
    assert await billing.state_of(purchase) == "paid"
    assert await billing.rows("SELECT 1 FROM disputes") == []
    assert await billing.rows("SELECT 1 FROM work WHERE state = 'dead' OR state = 'open' AND key <> 'every'") == []


async def test_rule_16_one_that_cannot_be_looked_at_stops_no_other(billing: World) -> None:
    purchase, payment = await paid(billing)
    odd = billing.stripe.give_back(payment.payment_key, 100, "USD").refund_id
    refund = billing.stripe.give_back(payment.payment_key, 100, "EUR").refund_id
    await later(billing)
    assert [event.refund_id for event in await billing.published(PurchaseRefunded)] == [refund]
    assert await billing.state_of(purchase) == "paid"
    (dead,) = await billing.rows("SELECT kind, key FROM work WHERE state = 'dead'")
    assert (dead["kind"], dead["key"]) == ("look_at_refund", f"stripe:{odd}")


async def test_what_is_refused_is_dead_once_and_waits_for_an_operator(billing: World) -> None:
    _, payment = await paid(billing)
    odd = billing.stripe.give_back(payment.payment_key, 100, "USD").refund_id
    dispute = billing.stripe.dispute(payment)
    unpaid = (await billing.buy())["purchase_id"]
    await later(billing)
    del billing.stripe.reversals[dispute]
    with billing.stripe.refusing("captured"):
        for _ in range(3):
            await later(billing)
        for _ in range(3):
            await later(billing, 7 * 60)
    dead = await billing.rows("SELECT key FROM work WHERE state = 'dead'")
    assert sorted(row["key"] for row in dead) == sorted([f"stripe:{odd}", f"stripe:{dispute}", unpaid])


async def test_rule_16_many_looks_leave_room_for_other_work(billing: World) -> None:
    purchase = (await billing.buy())["purchase_id"]
    billing.stripe.hold = asyncio.Event()
    async with billing.database.transaction("test") as tx:
        for number in range(40):
            tx.schedule("look_at_refund", f"stripe:re_{number}")
    billing.clock.move(timedelta(seconds=1))
    async with billing.database.transaction("test") as tx:
        tx.schedule("look", purchase)
    worker = Worker(billing.database, WORK, billing.deps)
    try:
        await worker._claim()
        assert "look" in {work.kind for work in worker._running.values()}
    finally:
        billing.stripe.hold.set()
        await asyncio.gather(*worker._running)


async def test_a_clock_that_was_ahead_for_a_while_leaves_no_gap(billing: World) -> None:
    _, payment = await paid(billing)
    await later(billing, 3 * 24 * 60)
    billing.clock.move(-timedelta(days=2))
    billing.stripe.give_back(payment.payment_key, 100, "EUR")
    await later(billing)
    assert len(await billing.published(PurchaseRefunded)) == 1


async def test_nothing_is_asked_before_anything_was_sold(billing: World) -> None:
    assert await asks(billing, after=timedelta(days=1)) == []


async def test_after_an_outage_of_days_everything_made_meanwhile_is_found(billing: World) -> None:
    purchase, payment = await paid(billing)
    await later(billing)
    with billing.stripe.failing(Retry("away")):
        for _ in range(6):
            billing.stripe.give_back(payment.payment_key, 100, "EUR")
            await later(billing, 24 * 60)
    assert await billing.published(PurchaseRefunded) == []
    await later(billing, 60)
    (found,) = await billing.rows("SELECT refunded FROM purchases")
    assert found["refunded"] == 600
    assert len(await billing.published(PurchaseRefunded)) == 6
    assert await billing.state_of(purchase) == "paid"


async def test_one_list_that_cannot_be_read_stops_no_other_and_nobody_has_to_act(billing: World) -> None:
    _, payment = await paid(billing)
    billing.stripe.dispute(payment)
    with billing.razorpay.failing(GiveUp("this key may not read disputes")):
        await later(billing)
    assert len(await billing.published(PurchaseDisputed)) == 1
    assert await billing.rows("SELECT 1 FROM work WHERE state = 'dead'") == []


async def test_a_refund_is_looked_at_in_growing_pauses_until_it_can_no_longer_fail(billing: World) -> None:
    _, payment = await paid(billing)
    refund = billing.stripe.give_back(payment.payment_key, 100, "EUR").refund_id
    await billing.hear(Facts(payment).refunded(100, refund))
    hours = [1] * 24 + [6] * 4 * 31
    looks = [f"refund_now {refund}" in await asks(billing, after=timedelta(hours=after)) for after in hours]
    assert [number for number, looked in enumerate(looks[:24], 1) if looked] == [1, 3, 7, 15]
    assert sum(looks[24:]) == 6  # the last of them when 30 days are over
    assert looks[24 + 4 * 29 - 1]
    assert not any(looks[24 + 4 * 29 :])


async def test_an_open_dispute_is_looked_at_for_as_long_as_it_is_open(billing: World) -> None:
    _, payment = await paid(billing)
    dispute = billing.stripe.dispute(payment)
    await later(billing)
    await asks(billing, after=timedelta(days=90))
    for _ in range(3):
        assert f"dispute_now {dispute}" in await asks(billing, after=timedelta(hours=6))
    billing.stripe.decide(dispute, "lost")
    await asks(billing, after=timedelta(hours=6))
    assert f"dispute_now {dispute}" not in await asks(billing, after=timedelta(hours=6))


@pytest.mark.parametrize("answer", ["open", "lost"])
async def test_an_answer_from_before_what_a_webhook_tells_of_does_not_turn_it(billing: World, answer: Any) -> None:
    """An appeal is won while the provider is being asked."""
    purchase, payment = await paid(billing)
    dispute = billing.stripe.dispute(payment)
    await later(billing)
    billing.stripe.decide(dispute, answer)
    minutes = (billing.clock.now() - START) // timedelta(minutes=1) + 1
    await billing.hear(Facts(payment).closed("won", dispute=dispute, after=minutes))
    async with billing.database.transaction("test") as tx:
        tx.schedule("look_at_dispute", f"stripe:{dispute}")
    await billing.work()
    assert await billing.state_of(purchase) == "paid"
    assert f"dispute_now {dispute}" == billing.stripe.calls[-1]
