"""Coupons at the checkout: what is to be paid, who is refused, and how often each was redeemed."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from keyturn.events import (
    EntitlementChanged,
    OperatorActed,
    PurchaseExpired,
    PurchaseOpened,
    PurchasePaid,
    SubscriptionRenewalDue,
)
from support.billing import CATALOG, World, load, order
from support.billing_facts import declined, expired
from support.subscriptions import PRICE, Subscriber, run

pytestmark = pytest.mark.servers


async def coupon(billing: World, code: str, **terms: Any) -> dict[str, Any]:
    """An operator makes it."""
    reason = {"reason": "autumn sale", "code": code, "terms": {"percent": 10} | terms}
    made = await billing.ask("POST", "/internal/coupons", "operator", json=reason)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def refusal(billing: World, path: str = "/internal/checkouts", **changes: Any) -> str:
    answer = await billing.ask("POST", path, json=order(**changes))
    assert 400 <= answer.status_code < 500, answer.text
    return str(answer.json()["code"])


async def redeemed(billing: World, code: str) -> int:
    """Counted twice: the coupon's own number, and the redemptions that stand."""
    shown = (await billing.ask("GET", f"/internal/coupons/{code}", "viewer")).json()
    standing = [one for one in shown["redemptions"] if one["given_back_at"] is None]
    assert len(standing) == shown["redeemed"]
    return int(shown["redeemed"])


async def stored(billing: World) -> Mapping[str, int]:
    tables = ("purchases", "customers", "redemptions", "checkouts", "outbox")
    (row,) = await billing.rows("SELECT " + ", ".join(f"(SELECT count(*) FROM {one}) AS {one}" for one in tables))
    return row


@pytest.mark.parametrize(
    ("currency", "price", "off", "note"),
    [
        ("EUR", 4900, 490, "49.00 EUR less 4.90 EUR with WELCOME10"),
        ("INR", 449900, 44990, "4499.00 INR less 449.90 INR with WELCOME10"),
    ],
)
async def test_the_discounted_amount_is_shown_asked_for_and_pays(
    billing: World, currency: str, price: int, off: int, note: str
) -> None:
    provider = billing.stripe if currency == "EUR" else billing.razorpay
    bought = await billing.buy(currency=currency, coupon_code="welcome10")
    assert (bought["amount"], bought["discount"], bought["coupon_code"]) == (price - off, off, "WELCOME10")
    checkout = bought.get("session_id") or bought["order_id"]
    assert (provider.orders[checkout].amount, provider.orders[checkout].note) == (price - off, note)
    await billing.hear(provider.told(provider.pay(checkout)))
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    (opened,), (paid,) = await billing.published(PurchaseOpened), await billing.published(PurchasePaid)
    for event in (opened, paid):
        assert (event.amount, event.discount, event.coupon) == (price - off, off, "WELCOME10")
    assert await redeemed(billing, "WELCOME10") == 1


async def test_a_setup_fee_is_paid_in_full(billing: World) -> None:
    bought = await billing.buy(plan_id="web-small", coupon_code="WELCOME10")
    assert (bought["amount"], bought["setup_fee"], bought["discount"]) == (500 + 900 - 50, 900, 50)
    order_ = billing.stripe.orders[bought["session_id"]]
    assert (order_.amount, order_.note) == (1350, "5.00 EUR less 0.50 EUR with WELCOME10")
    await coupon(billing, "GIFT", percent=100)
    fee = await billing.buy(plan_id="web-small", coupon_code="GIFT")
    assert (fee["amount"], fee["discount"], fee["status"]) == (900, 500, "pending")


async def test_a_price_that_was_prepared_at_the_provider_is_not_used_for_less(billing: World) -> None:
    await load(billing, CATALOG.read_text().replace("amount: 4900}", "amount: 4900, ids: {stripe: price_1}}", 1))
    whole, less = await billing.buy(), await billing.buy(coupon_code="WELCOME10")
    assert billing.stripe.orders[whole["session_id"]].prepared == "price_1"
    assert billing.stripe.orders[less["session_id"]].prepared is None


async def test_the_full_price_does_not_fit_a_discounted_purchase(billing: World) -> None:
    bought = await billing.buy(coupon_code="WELCOME10")
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"], amount=4900)))
    (review,) = (await billing.ask("GET", "/internal/payments?state=review", "viewer")).json()["items"]
    assert review["review_reason"] == "amount"


async def test_without_a_coupon_nothing_is_said_of_one(billing: World) -> None:
    bought = await billing.buy()
    assert not {"discount", "coupon_code"} & set(bought)
    (opened,) = await billing.published(PurchaseOpened)
    assert (opened.discount, opened.coupon) == (0, None)
    assert billing.stripe.orders[bought["session_id"]].note is None


async def test_a_coupon_for_everything_asks_no_provider_and_provisions_once(billing: World) -> None:
    await coupon(billing, "GIFT", percent=100)
    wanted = order(coupon_code="GIFT")
    answers = await asyncio.gather(*(billing.buy(**wanted) for _ in range(4)))
    assert {(one["amount"], one["discount"], one["status"], one["provider"]) for one in answers} == {
        (0, 4900, "paid", None)
    }
    assert billing.stripe.calls == billing.razorpay.calls == []
    assert len(await billing.published(PurchasePaid)) == len(await billing.published(EntitlementChanged)) == 1
    assert await redeemed(billing, "GIFT") == 1


async def test_a_free_plan_uses_no_coupon_up(billing: World) -> None:
    bought = await billing.buy(plan_id="free", coupon_code="WELCOME10")
    assert (bought["amount"], bought["status"]) == (0, "paid")
    assert await redeemed(billing, "WELCOME10") == 0
    assert await refusal(billing, plan_id="free", coupon_code="NOSUCH") == "unknown_coupon"


NOT_YET, OVER = "2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("terms", "changes", "code"),
    [
        ({"until": OVER}, {}, "coupon_expired"),
        ({"active": False}, {}, "coupon_expired"),
        ({"from": NOT_YET}, {}, "coupon_not_yet_valid"),
        ({"products": ["sample-shop"]}, {}, "coupon_not_for_product"),
        ({"currencies": ["USD"]}, {}, "coupon_not_for_currency"),
        ({"percent": None, "amount": {"USD": 500}}, {}, "coupon_not_for_currency"),
        ({"percent": None, "amount": {"EUR": 4851}}, {}, "amount_too_small"),
        ({"percent": None, "amount": {"INR": 449801}}, {"currency": "INR"}, "amount_too_small"),
        ({}, {"coupon_code": "AUTUM"}, "unknown_coupon"),
        ({}, {"coupon_code": "AUTUMN' OR ''='"}, "unknown_coupon"),
        ({}, {"coupon_code": "A" * 255}, "unknown_coupon"),
        ({}, {"coupon_code": "A" * 256}, "invalid_request"),
        ({}, {"coupon_code": "AUT\nUMN"}, "invalid_request"),
    ],
)
async def test_what_a_coupon_does_not_give_is_refused_with_its_code_and_nothing_is_stored(
    billing: World, terms: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    await coupon(billing, "AUTUMN", **terms)
    before = await stored(billing)
    assert await refusal(billing, **({"coupon_code": "AUTUMN"} | changes)) == code
    if code != "invalid_request":
        assert await refusal(billing, "/internal/coupons/check", **({"coupon_code": "AUTUMN"} | changes)) == code
    assert await stored(billing) == before


async def test_what_is_left_to_pay_may_be_just_what_the_provider_takes(billing: World) -> None:
    await coupon(billing, "NEARLY", percent=None, amount={"EUR": 4850, "INR": 449800})
    assert (await billing.buy(coupon_code="NEARLY"))["amount"] == 50
    assert (await billing.buy(coupon_code="NEARLY", currency="INR"))["amount"] == 100


async def test_no_more_customers_than_the_limit_get_it_however_many_come_at_once(billing: World) -> None:
    await coupon(billing, "FIRST3", limit=3)
    wanted = [order(coupon_code="first3", email=f"jane{number}@example.com") for number in range(12)]
    answers = await asyncio.gather(*(billing.ask("POST", "/internal/checkouts", json=one) for one in wanted * 2))
    opened = {answer.json()["purchase_id"] for answer in answers if answer.status_code == 200}
    codes = {answer.json()["code"] for answer in answers if answer.status_code != 200}
    assert (len(opened), codes) == (3, {"coupon_used_up"})
    assert await redeemed(billing, "FIRST3") == 3
    assert (await stored(billing))["purchases"] == (await stored(billing))["customers"] == 3


async def test_a_customer_gets_it_as_often_as_one_may_however_many_orders_come_at_once(billing: World) -> None:
    spellings = ["ada@example.com", "ADA@example.com", "Ada@Example.com"] * 3
    wanted = [order(coupon_code="WELCOME10", email=email) for email in spellings]
    answers = await asyncio.gather(*(billing.ask("POST", "/internal/checkouts", json=one) for one in wanted))
    codes = sorted(answer.json().get("code", "") for answer in answers)
    assert codes == ["", *["coupon_used_by_you"] * 8]
    assert (await billing.buy(coupon_code="WELCOME10", email="grace@example.com"))["discount"] == 490
    assert await redeemed(billing, "WELCOME10") == 2


async def test_the_same_order_again_redeems_once_and_is_not_refused(billing: World) -> None:
    wanted = order(coupon_code="WELCOME10")
    answers = await asyncio.gather(*(billing.buy(**wanted) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert await redeemed(billing, "WELCOME10") == 1


@pytest.mark.parametrize("ending", ["expired", "failed"])
async def test_a_purchase_that_ends_unpaid_gives_it_back_once(billing: World, ending: str) -> None:
    await coupon(billing, "ONCE", limit=1)
    bought = await billing.buy(coupon_code="ONCE")
    assert await refusal(billing, coupon_code="ONCE") == "coupon_used_up"
    ended = expired(bought["session_id"]) if ending == "expired" else declined(bought["session_id"], final=True)
    await billing.hear(ended, expired(bought["session_id"]))
    assert await billing.state_of(bought["purchase_id"]) == ending
    assert await redeemed(billing, "ONCE") == 0
    assert (await billing.buy(coupon_code="ONCE"))["discount"] == 490


async def test_a_purchase_that_nobody_pays_gives_it_back(billing: World) -> None:
    await billing.buy(coupon_code="WELCOME10", currency="INR")
    for _ in range(30):
        billing.clock.move(timedelta(hours=1))
        await billing.reconcile()
    assert len(await billing.published(PurchaseExpired)) == 1
    assert await redeemed(billing, "WELCOME10") == 0


async def test_a_late_payment_gets_what_it_was_sold_and_is_counted_beyond_the_limit(billing: World) -> None:
    await coupon(billing, "ONCE", limit=1, limit_per_customer=1)
    late = await billing.buy(coupon_code="ONCE")
    await billing.hear(expired(late["session_id"]))
    await billing.buy(coupon_code="ONCE", email="grace@example.com")
    await billing.ask("POST", "/internal/coupons/ONCE/end", "operator", json={"reason": "enough"})
    payment = billing.stripe.told(billing.stripe.pay(late["session_id"]))
    await billing.hear(payment, payment)
    assert await billing.state_of(late["purchase_id"]) == "paid"
    assert await redeemed(billing, "ONCE") == 2


async def again(billing: World, purchase: str) -> Any:
    return await billing.ask("POST", f"/internal/purchases/{purchase}/checkout")


async def test_another_checkout_of_an_ended_purchase_redeems_again_if_there_is_one_left(billing: World) -> None:
    bought = await billing.buy(coupon_code="WELCOME10")
    await billing.hear(expired(bought["session_id"]))
    reopened = await again(billing, bought["purchase_id"])
    assert (reopened.status_code, reopened.json()["amount"]) == (200, 4410)
    assert await redeemed(billing, "WELCOME10") == 1
    assert await refusal(billing, coupon_code="WELCOME10") == "coupon_used_by_you"
    await billing.hear(expired(reopened.json()["session_id"]))
    assert await redeemed(billing, "WELCOME10") == 0
    await billing.buy(coupon_code="WELCOME10")
    refused = await again(billing, bought["purchase_id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "coupon_used_by_you")
    assert (await stored(billing))["checkouts"] == 3


async def test_another_checkout_of_an_open_purchase_redeems_nothing_again(billing: World) -> None:
    bought = await billing.buy(coupon_code="WELCOME10")
    billing.clock.move(timedelta(hours=24))
    assert (await again(billing, bought["purchase_id"])).status_code == 200
    assert await redeemed(billing, "WELCOME10") == 1


async def test_a_refund_gives_no_coupon_back(billing: World) -> None:
    bought = await billing.buy(coupon_code="WELCOME10")
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    await billing.ask("POST", f"/internal/purchases/{bought['purchase_id']}/refund", "admin", json={"reason": "r"})
    await billing.work()
    assert await billing.state_of(bought["purchase_id"]) == "refunded"
    assert await redeemed(billing, "WELCOME10") == 1


async def test_changed_terms_hold_for_later_purchases_and_what_was_bought_stays(billing: World) -> None:
    bought = await billing.buy(coupon_code="WELCOME10")
    await load(billing, CATALOG.read_text().replace("percent: 10", "percent: 20"))
    assert (await billing.buy(coupon_code="WELCOME10", email="grace@example.com"))["discount"] == 980
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    shown = (await billing.ask("GET", f"/internal/purchases/{bought['purchase_id']}", "viewer")).json()
    kept = {"code": "WELCOME10", "percent": 10, "amount": None, "duration": "first"}
    assert (shown["discount"], shown["coupon"]) == (490, kept)
    assert await redeemed(billing, "WELCOME10") == 2


async def test_what_the_catalogue_lists_no_more_is_over_and_what_operators_made_stays(billing: World) -> None:
    await coupon(billing, "AUTUMN")
    await load(billing, CATALOG.read_text().split("\n# By the code")[0])
    assert await refusal(billing, coupon_code="WELCOME10") == "coupon_expired"
    assert (await billing.buy(coupon_code="AUTUMN"))["discount"] == 490
    await load(billing, CATALOG.read_text())
    assert (await billing.buy(coupon_code="WELCOME10"))["discount"] == 490


async def test_an_operator_makes_and_ends_a_coupon_with_a_reason(billing: World) -> None:
    made = await coupon(billing, " autumn ", limit_per_customer=2, duration=3, until=NOT_YET)
    assert (made["code"], made["source"], made["active"], made["duration"]) == ("AUTUMN", "operator", True, 3)
    taken = {"code": "AUTUMN", "terms": {"percent": 5}, "reason": "r"}
    assert (await billing.ask("POST", "/internal/coupons", "operator", json=taken)).json()["code"] == "coupon_exists"
    for _ in range(2):
        ended = await billing.ask("POST", "/internal/coupons/autumn/end", "operator", json={"reason": "enough"})
        assert (ended.status_code, ended.json()["active"]) == (200, False)
    assert await refusal(billing, coupon_code="AUTUMN") == "coupon_expired"
    acts = [(one.action, one.target, one.reason, one.after) for one in await billing.published(OperatorActed)]
    terms = {"percent": 10, "duration": 3, "limit_per_customer": 2, "until": NOT_YET}
    assert acts == [
        ("coupon.create", "AUTUMN", "autumn sale", terms),
        ("coupon.end", "AUTUMN", "enough", {"active": False, "redeemed": 0}),
    ]


async def test_what_an_operator_ended_stays_so_when_the_catalogue_is_read_again(billing: World) -> None:
    await billing.ask("POST", "/internal/coupons/WELCOME10/end", "operator", json={"reason": "enough"})
    await load(billing, CATALOG.read_text())
    assert await refusal(billing, coupon_code="WELCOME10") == "coupon_expired"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"code": "A1", "terms": {"percent": 10}}, "invalid_request"),  # no reason
        ({"code": "A 1", "terms": {"percent": 10}, "reason": "r"}, "invalid_request"),
        ({"code": "A1", "terms": {}, "reason": "r"}, "invalid_request"),
        ({"code": "A1", "terms": {"percent": 0}, "reason": "r"}, "invalid_request"),
        ({"code": "A1", "terms": {"percent": 10, "until": "soon"}, "reason": "r"}, "invalid_request"),
        ({"code": "A1", "terms": {"percent": 10, "products": ["nothing"]}, "reason": "r"}, "unknown_product"),
    ],
)
async def test_a_coupon_that_makes_no_sense_is_not_made(billing: World, body: dict[str, Any], code: str) -> None:
    refused = await billing.ask("POST", "/internal/coupons", "operator", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert (await billing.ask("GET", "/internal/coupons/A1", "viewer")).json()["code"] == "coupon_unknown"
    assert await billing.published(OperatorActed) == []


async def test_coupons_are_listed_page_by_page_and_shown_with_who_redeemed_them(billing: World) -> None:
    for number in range(3):
        await coupon(billing, f"A{number}")
    first = (await billing.ask("GET", "/internal/coupons?limit=3", "viewer")).json()
    rest = (await billing.ask("GET", f"/internal/coupons?cursor={first['cursor']}", "viewer")).json()
    assert [one["code"] for one in first["items"] + rest["items"]] == ["A0", "A1", "A2", "WELCOME10"]
    assert rest["cursor"] is None
    bought = await billing.buy(coupon_code="A0")
    shown = (await billing.ask("GET", "/internal/coupons/a0", "viewer")).json()
    (one,) = shown["redemptions"]
    assert (one["purchase_id"], one["status"], one["discount"]) == (bought["purchase_id"], "pending", 490)
    (customer,) = await billing.rows("SELECT id FROM customers")
    assert UUID(one["customer_id"]) == customer["id"]


async def test_redemptions_are_read_page_by_page_also_while_there_are_new_ones(billing: World) -> None:
    await coupon(billing, "A0")
    bought = [(await billing.buy(coupon_code="A0"))["purchase_id"] for _ in range(3)]
    path = "/internal/coupons/A0/redemptions"
    first = (await billing.ask("GET", f"{path}?limit=2", "viewer")).json()
    await billing.buy(coupon_code="A0")
    rest = (await billing.ask("GET", f"{path}?limit=2&cursor={first['cursor']}", "viewer")).json()
    found = [one["purchase_id"] for one in first["items"] + rest["items"]]
    assert (sorted(found), rest["cursor"]) == (sorted(bought), None)
    for wrong, status, code in (
        ("A0/redemptions?cursor=x", 422, "invalid_cursor"),
        ("B/redemptions", 404, "coupon_unknown"),
    ):
        refused = await billing.ask("GET", f"/internal/coupons/{wrong}", "viewer")
        assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_what_a_coupon_would_do_is_told_and_nothing_is_stored(billing: World) -> None:
    await coupon(billing, "ONCE", limit=1, duration=3)
    before = await stored(billing)
    asked = await billing.ask("POST", "/internal/coupons/check", json={"coupon_code": "once", "plan_id": 2})
    assert asked.json() == {
        "coupon_code": "ONCE",
        "product": "sample-app",
        "plan": "sample-pro",
        "cycle": "monthly",
        "price": 2900,
        "setup_fee": 0,
        "discount": 290,
        "tax": 417,
        "amount": 2610,
        "currency": "EUR",
        "duration": 3,
    }
    assert await stored(billing) == before
    await billing.buy(coupon_code="ONCE")
    assert await refusal(billing, "/internal/coupons/check", coupon_code="ONCE") == "coupon_used_up"
    unknown = await billing.ask("POST", "/internal/coupons/check", json={"coupon_code": str(uuid4())})
    assert unknown.json()["code"] == "unknown_coupon"


async def subscribes(billing: World, code: str, **changes: Any) -> Subscriber:
    """With this coupon, which leaves nothing or something to pay at first; and ready."""
    bought = await billing.buy(plan_id="sample-starter", cycle="monthly", coupon_code=code, **changes)
    subscriber = Subscriber(billing, {"session_id": "none"} | bought)
    if bought["amount"]:
        await subscriber.pays()
    await subscriber.is_ready()
    return subscriber


async def renews(subscriber: Subscriber) -> int | None:
    """A month goes by. What was asked for the next one, if anything."""
    billing = subscriber.billing
    before = len(await billing.published(SubscriptionRenewalDue, subscriber.id))
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))
    told = [one.due for one in await billing.published(SubscriptionRenewalDue, subscriber.id)][before:]
    if not told:
        return None
    checkout = await subscriber.opens_checkout()
    await subscriber.pays(checkout)
    (due,) = told
    assert subscriber.provider.orders[checkout].amount == due
    return due


async def test_the_normal_price_follows_when_the_coupon_ends(billing: World) -> None:
    await coupon(billing, "HALF", percent=50, duration=2)
    subscriber = await subscribes(billing, "HALF")
    assert [await renews(subscriber) for _ in range(3)] == [PRICE // 2, PRICE, PRICE]
    notes = [order_.note for order_ in billing.stripe.orders.values()]
    assert notes == ["9.00 EUR less 4.50 EUR with HALF", "9.00 EUR less 4.50 EUR with HALF", None, None]
    assert [number for number, _, _ in await subscriber.periods()] == [1, 2, 3, 4]
    assert await redeemed(billing, "HALF") == 1


@pytest.mark.parametrize("currency", ["EUR", "INR"])
async def test_the_normal_price_follows_a_first_period_that_cost_nothing(billing: World, currency: str) -> None:
    await coupon(billing, "GIFT", percent=100)
    subscriber = await subscribes(billing, "GIFT", currency=currency)
    assert billing.stripe.calls == billing.razorpay.calls == []
    await billing.ask("POST", "/internal/coupons/GIFT/end", "operator", json={"reason": "enough"})
    whole = 79900 if currency == "INR" else PRICE
    assert [await renews(subscriber), await renews(subscriber)] == [whole, whole]
    assert await subscriber.payments() == [("matched", 1), ("matched", 2), ("matched", 3)]


async def test_periods_that_cost_nothing_are_opened_without_asking_anybody(billing: World) -> None:
    await coupon(billing, "ALWAYS", percent=100, duration="always")
    subscriber = await subscribes(billing, "ALWAYS")
    assert [await renews(subscriber) for _ in range(3)] == [None, None, None]
    await run(billing)
    assert await subscriber.payments() == [("matched", number) for number in (1, 2, 3, 4)]
    assert [number for number, _, _ in await subscriber.periods()] == [1, 2, 3, 4]
    assert (await subscriber.state(), await subscriber.entitled()) == ("active", [("on", [])])
    assert billing.stripe.calls == billing.razorpay.calls == []


async def test_what_could_not_be_paid_later_is_refused_at_once(billing: World) -> None:
    """The set-up fee makes the first payment large enough; the renewals would be 0.20 euro."""
    web = {"plan_id": "web-small", "cycle": "monthly"}
    for code, duration in (("FIRST", "first"), ("LONG", "always")):
        await coupon(billing, code, percent=None, amount={"EUR": 480}, duration=duration)
    assert await refusal(billing, **web, coupon_code="LONG") == "amount_too_small"
    assert (await billing.buy(**web, coupon_code="FIRST"))["amount"] == 920
