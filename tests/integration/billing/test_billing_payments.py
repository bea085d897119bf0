"""Rules 3 to 6 on a real database: whatever is told, in whatever order and however often, a purchase is paid once."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from keyturn.errors import Retry
from keyturn.events import EntitlementChanged, PaymentNeedsReview, PurchaseOpened, PurchasePaid, uuid7
from support.billing import World, copies, order

pytestmark = pytest.mark.servers


async def assert_paid_once(billing: World, purchase: str) -> PurchasePaid:
    assert await billing.state_of(purchase) == "paid"
    (paid,) = await billing.published(PurchasePaid, purchase)
    (entitled,) = await billing.published(EntitlementChanged, purchase)
    assert (entitled.version, entitled.wanted, entitled.blueprint) == (1, "on", "sandbox-app")
    payments = await billing.rows("SELECT state FROM payments WHERE state = 'matched'")
    assert len(payments) == 1
    return paid


async def test_a_captured_payment_pays_the_purchase(billing: World) -> None:
    bought = await billing.buy(subdomain="ada", store_name="Ada's")
    payment = billing.stripe.pay(bought["session_id"])
    await billing.hear(billing.stripe.told(payment))
    paid = await assert_paid_once(billing, bought["purchase_id"])
    assert (paid.found_by, paid.amount, paid.currency) == ("webhook", 4900, "EUR")
    (entitled,) = await billing.published(EntitlementChanged)
    assert entitled.parameters == {"subdomain": "ada", "store_name": "Ada's"}
    assert entitled.limits == {"memory": "256M", "cpus": 0.5}
    (opened,) = await billing.published(PurchaseOpened)
    assert opened.contact.email == "ada@example.com"


@pytest.mark.parametrize("currency", ["EUR", "INR"])
async def test_rule_3_redelivery_changes_nothing(billing: World, currency: str) -> None:
    bought = await billing.buy(currency=currency)
    provider = billing.razorpay if currency == "INR" else billing.stripe
    told = provider.told(provider.pay(bought.get("order_id") or bought["session_id"]))
    await billing.hear(told, told, told)
    await assert_paid_once(billing, bought["purchase_id"])


async def test_rules_4_and_5_five_concurrent_copies_and_all_finders_make_one_payment(billing: World) -> None:
    bought = await billing.buy()
    payment = billing.stripe.pay(bought["session_id"])
    told = billing.stripe.told(payment)
    back = billing.ask(
        "POST",
        f"/internal/purchases/{bought['purchase_id']}/return",
        json={"session_id": bought["session_id"]},
    )
    billing.clock.move(timedelta(minutes=2))
    running: list[Any] = [billing.hear(event) for event in [told, *copies([told] * 4)]]
    running += [back, billing.reconcile()]
    random.shuffle(running)
    await asyncio.gather(*running)
    await billing.work()
    await assert_paid_once(billing, bought["purchase_id"])


async def test_rule_6_a_webhook_before_the_purchase_is_visible_is_tried_again(billing: World) -> None:
    wanted = order()
    other = await billing.buy()  # gives the fake a payment to copy
    told = billing.stripe.told(billing.stripe.pay(other["session_id"]))
    early = told.model_copy(
        update={"reference": wanted["purchase_id"], "refs": {"session": "cs_early"}, "payment_key": "cs_early"}
    )
    await billing.hear(early)
    assert await billing.rows("SELECT 1 FROM payments") == []
    await billing.buy(**wanted)
    billing.clock.move(timedelta(minutes=1))
    await billing.work()
    await assert_paid_once(billing, wanted["purchase_id"])


async def test_rule_6_money_for_a_purchase_that_never_appears_goes_to_review(billing: World) -> None:
    bought = await billing.buy()
    told = billing.stripe.told(billing.stripe.pay(bought["session_id"]))
    missing = str(uuid7())
    await billing.hear(told.model_copy(update={"reference": missing, "refs": {}, "payment_key": "cs_x"}))
    for _ in range(12):
        billing.clock.move(timedelta(minutes=2))
        await billing.work()
    (review,) = await billing.published(PaymentNeedsReview)
    assert (review.reason, review.subject) == ("unknown_purchase", missing)
    assert await billing.rows("SELECT 1 FROM work WHERE state = 'dead'") == []


async def test_rule_5_a_lost_webhook_is_found_by_the_reconciler(billing: World) -> None:
    bought = await billing.buy()
    billing.stripe.pay(bought["session_id"])
    billing.clock.move(timedelta(minutes=2))
    await billing.reconcile()
    paid = await assert_paid_once(billing, bought["purchase_id"])
    assert paid.found_by == "reconciler"


async def test_the_return_page_finds_the_payment_and_the_late_webhook_changes_nothing(billing: World) -> None:
    bought = await billing.buy(currency="INR")
    payment = billing.razorpay.pay(bought["order_id"])
    claim = {
        "razorpay_payment_id": payment.payment_key,
        "razorpay_order_id": "order_of_a_cheaper_thing",
        "razorpay_signature": f"signed:{bought['order_id']}|{payment.payment_key}",
    }
    answer = await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/return", json=claim)
    assert answer.json() == {"status": "paid"}
    await billing.hear(billing.razorpay.told(payment))
    paid = await assert_paid_once(billing, bought["purchase_id"])
    assert paid.found_by == "return_page"


async def test_a_forged_return_asks_no_provider(billing: World) -> None:
    bought = await billing.buy(currency="INR")
    claim = {"razorpay_payment_id": "pay_1", "razorpay_signature": "signed:order_0|pay_1"}
    answer = await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/return", json=claim)
    assert (answer.status_code, answer.json()["code"]) == (422, "return_not_verified")
    assert "captured" not in billing.razorpay.calls


async def test_a_return_while_the_provider_is_away_shows_what_is_known(billing: World) -> None:
    bought = await billing.buy()
    with billing.stripe.failing(Retry("away")):
        answer = await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/return", json={})
    assert answer.json() == {"status": "pending"}


async def test_rule_6_somebody_elses_order_is_stored_and_done(billing: World) -> None:
    bought = await billing.buy(currency="INR")
    told = billing.razorpay.told(billing.razorpay.pay(bought["order_id"]))
    refs = {"order": "order_foreign", "payment": "pay_foreign"}
    foreign = told.model_copy(update={"payment_key": "pay_foreign", "refs": refs, "reference": None})
    await billing.hear(foreign)
    await billing.work()
    (stored,) = await billing.rows("SELECT state, purchase_id FROM payments")
    assert stored == {"state": "foreign", "purchase_id": None}
    assert billing.razorpay.calls.count("find") == 1
    assert await billing.rows("SELECT 1 FROM work WHERE state = 'dead'") == []


async def test_a_payment_without_reference_is_placed_by_asking_the_provider_once(billing: World) -> None:
    bought = await billing.buy()
    payment = billing.stripe.pay(bought["session_id"])
    told = billing.stripe.told(payment)
    bare = told.model_copy(update={"reference": None, "refs": {"charge": payment.refs["charge"]}})
    await billing.hear(bare)
    await billing.work()
    await assert_paid_once(billing, bought["purchase_id"])
    assert billing.stripe.calls.count("find") == 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"amount": 100}, "amount"), ({"currency": "USD"}, "currency"), ({"livemode": True}, "mode")],
)
async def test_money_that_does_not_fit_goes_to_review_and_an_operator_decides(
    billing: World, wrong: dict[str, Any], reason: str
) -> None:
    bought = await billing.buy()
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"], **wrong)))
    assert await billing.state_of(bought["purchase_id"]) == "pending"
    (review,) = await billing.published(PaymentNeedsReview)
    assert (review.reason, review.expected_amount, review.subject) == (reason, 4900, bought["purchase_id"])
    listed = (await billing.ask("GET", "/internal/payments", "viewer", params={"state": "review"})).json()
    payment = listed["items"][0]["id"]
    decision = {"decision": "match", "reason": "they agreed on a discount"}
    answer = await billing.ask("POST", f"/internal/payments/{payment}/decide", "operator", json=decision)
    assert answer.json()["state"] == "matched"
    await assert_paid_once(billing, bought["purchase_id"])
    again = await billing.ask("POST", f"/internal/payments/{payment}/decide", "operator", json=decision)
    assert (again.status_code, again.json()["code"]) == (409, "not_in_review")


@pytest.mark.parametrize("known", [True, False])
async def test_what_an_operator_said_is_not_ours_stays_so_whoever_tells_of_it_again(
    billing: World, known: bool
) -> None:
    bought = await billing.buy()
    told = billing.stripe.told(billing.stripe.pay(bought["session_id"], amount=1))
    unplaced = told.model_copy(update={"reference": str(uuid7()), "refs": {}})
    await billing.hear(told if known else unplaced)
    billing.clock.move(timedelta(minutes=16))
    await billing.work()
    ((payment,),) = [row.values() for row in await billing.rows("SELECT id FROM payments")]
    decision = {"decision": "foreign", "reason": "somebody else's"}
    await billing.ask("POST", f"/internal/payments/{payment}/decide", "operator", json=decision)
    await billing.hear(*copies([told]))
    await billing.reconcile()
    assert await billing.rows("SELECT state FROM payments") == [{"state": "foreign"}]
    assert len(await billing.published(PaymentNeedsReview)) == 1


async def test_money_whose_reference_names_another_purchase_goes_to_review(billing: World) -> None:
    first, second = await billing.buy(), await billing.buy()
    told = billing.stripe.told(billing.stripe.pay(first["session_id"]))
    await billing.hear(told.model_copy(update={"reference": second["purchase_id"]}))
    (review,) = await billing.published(PaymentNeedsReview)
    assert review.reason == "purchase"


async def test_a_second_session_paid_for_one_purchase_is_surplus(billing: World) -> None:
    bought = await billing.buy()
    billing.clock.move(timedelta(hours=24))
    again = await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/checkout")
    second = again.json()["session_id"]
    assert second != bought["session_id"]
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    twice = billing.stripe.told(billing.stripe.pay(second))
    await billing.hear(twice, *copies([twice] * 2))
    (told,) = await billing.published(PaymentNeedsReview)
    assert (told.reason, told.subject, told.amount) == ("surplus", bought["purchase_id"], 4900)
    await assert_paid_once(billing, bought["purchase_id"])
    states = await billing.rows("SELECT state FROM payments ORDER BY state")
    assert [row["state"] for row in states] == ["matched", "surplus"]


async def test_two_sessions_paid_at_the_same_moment_are_one_match_and_one_surplus(billing: World) -> None:
    bought = await billing.buy()
    billing.clock.move(timedelta(hours=24))
    again = await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/checkout")
    paid = [billing.stripe.told(billing.stripe.pay(one["session_id"])) for one in (bought, again.json())]
    await asyncio.gather(*(billing.hear(event) for event in copies(paid * 3)))
    await assert_paid_once(billing, bought["purchase_id"])
    states = await billing.rows("SELECT state FROM payments ORDER BY state")
    assert [row["state"] for row in states] == ["matched", "surplus"]


async def test_money_in_review_keeps_its_purchase_from_expiring(billing: World) -> None:
    bought = await billing.buy()
    billing.stripe.pay(bought["session_id"], amount=100)
    for _ in range(30):
        billing.clock.move(timedelta(hours=1))
        await billing.reconcile()
    assert await billing.state_of(bought["purchase_id"]) == "pending"
    assert len(await billing.published(PaymentNeedsReview)) == 1


async def test_a_webhook_that_overtakes_the_answer_to_opening_leaves_no_open_checkout(billing: World) -> None:
    wanted = order()
    with billing.stripe.failing(Retry("the answer was lost")):
        await billing.ask("POST", "/internal/checkouts", json=wanted)
    other = await billing.buy()
    told = billing.stripe.told(billing.stripe.pay(other["session_id"]))
    refs = {"session": "cs_unseen"}
    await billing.hear(
        told.model_copy(update={"reference": wanted["purchase_id"], "refs": refs, "payment_key": "cs_unseen"})
    )
    assert (await billing.buy(**wanted))["status"] == "paid"
    await billing.work()
    await assert_paid_once(billing, wanted["purchase_id"])


async def test_the_other_checkout_is_closed_once_one_is_paid(billing: World) -> None:
    bought = await billing.buy()
    billing.clock.move(timedelta(hours=24))
    again = await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/checkout")
    await billing.hear(billing.stripe.told(billing.stripe.pay(again.json()["session_id"])))
    await billing.work()
    assert billing.stripe.closed == {bought["session_id"]}
    await assert_paid_once(billing, bought["purchase_id"])


async def test_mark_paid_takes_the_same_path_and_is_repeatable(billing: World) -> None:
    bought = await billing.buy()
    path = f"/internal/purchases/{bought['purchase_id']}/mark-paid"
    refused = await billing.ask("POST", path, "viewer", json={"reason": "cash"})
    assert refused.status_code == 403
    for _ in range(2):
        answer = await billing.ask("POST", path, "operator", json={"reason": "cash"})
        assert answer.json() == {"status": "paid"}
    paid = await assert_paid_once(billing, bought["purchase_id"])
    assert paid.found_by == "operator"
    acted = await billing.rows("SELECT 1 FROM outbox WHERE wire = 'operator.acted.v1'")
    assert len(acted) == 1
    await billing.work()
    assert billing.stripe.closed == {bought["session_id"]}


async def test_a_transfer_pays_one_purchase_however_often_and_by_whomever_it_is_named(billing: World) -> None:
    one, other = await billing.buy(), await billing.buy(email="bob@example.com")

    async def says(bought: dict[str, Any], **said: object) -> tuple[int, str]:
        path = f"/internal/purchases/{bought['purchase_id']}/mark-paid"
        answer = await billing.ask("POST", path, "operator", json={"reason": "bank statement", **said})
        return answer.status_code, answer.json().get("code") or answer.json()["status"]

    assert await says(one, amount=one["amount"] - 1, reference="SEPA 1") == (422, "amount_differs")
    assert await billing.state_of(one["purchase_id"]) == "pending"
    for _ in range(2):
        assert await says(one, amount=one["amount"], reference=" SEPA 1 ") == (200, "paid")
    paid = await assert_paid_once(billing, one["purchase_id"])
    assert (paid.payment_key, paid.found_by) == ("SEPA 1", "operator")
    assert await says(one, amount=1, reference="SEPA 1") == (409, "reference_used")
    assert await says(one, reference="SEPA 2") == (409, "already_paid")
    assert await says(other, reference="SEPA 1") == (409, "reference_used")
    assert await billing.state_of(other["purchase_id"]) == "pending"
    assert len(await billing.rows("SELECT 1 FROM outbox WHERE wire = 'operator.acted.v1'")) == 1


async def test_a_transfer_named_for_two_purchases_at_once_pays_one(billing: World) -> None:
    bought = [(await billing.buy(email=f"{who}@example.com"))["purchase_id"] for who in ("ada", "bob", "cy")]
    paths = [f"/internal/purchases/{purchase}/mark-paid" for purchase in bought]
    said = {"reason": "bank statement", "reference": "SEPA 1"}
    answers = await asyncio.gather(*(billing.ask("POST", path, "operator", json=said) for path in paths))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert sorted([await billing.state_of(purchase) for purchase in bought]) == ["paid", "pending", "pending"]


async def test_a_free_plan_is_paid_once_without_a_provider(billing: World) -> None:
    wanted = order(product="sample-free")
    bought = await billing.buy(**wanted)
    assert (bought["status"], bought["amount"], bought["provider"]) == ("paid", 0, None)
    assert (await billing.buy(**wanted))["status"] == "paid"
    paid = await assert_paid_once(billing, bought["purchase_id"])
    assert (paid.found_by, paid.amount) == ("free", 0)
    assert billing.stripe.calls == []
