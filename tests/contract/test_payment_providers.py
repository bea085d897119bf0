"""One suite for both adapters of billing's port, against the stand-ins over real HTTP and through the official SDKs."""

import asyncio
import re
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from billing.providers import (
    CardOrder,
    ChargeOrder,
    CheckoutOrder,
    CheckoutRefs,
    OpenedCheckout,
    PaymentProvider,
    PaymentRefs,
    ReturnProof,
    Reversal,
    SavedMandate,
)
from billing.providers.failures import PriceRefused
from billing.providers.razorpay import RazorpayProvider
from billing.providers.stripe import StripeProvider
from keyturn.errors import GiveUp, Retry
from sandbox.razorpay import RazorpaySandbox
from sandbox.standin import StandIn
from sandbox.stripe import StripeSandbox

PATIENCE = 20.0  # seconds: an answer that comes, comes, however busy the machine is
IMPATIENCE = 0.5  # for an answer that does not come
WRONG = "sk_test_wrong_0123456789"


@dataclass
class World:
    """A stand-in, the adapter that talks to it, and what differs between the two."""

    sandbox: Any
    connect: Callable[..., PaymentProvider]  # with a secret key
    provider: PaymentProvider
    impatient: PaymentProvider
    create: str  # the calls, as the faults name them
    refund: str
    look: str
    checkouts: Callable[[], int]
    refunds: Callable[[], int]

    def order(self, **over: Any) -> CheckoutOrder:
        order = CheckoutOrder(
            purchase_id=uuid4(),
            attempt=1,
            amount=4900,
            currency="USD",
            title="Shop, yearly",
            cycle="yearly",
            email="ann@example.com",
            name="Ann",
            locale="de_AT",
            success_url="https://shop.example/done?s={CHECKOUT_SESSION_ID}",
            cancel_url="https://shop.example/",
            expires_at=datetime.now(UTC) + timedelta(hours=23),
        )
        return replace(order, **over)

    @contextmanager
    def meeting(self, fault: str, call: str) -> Iterator[PaymentProvider]:
        """The adapter whose next such call meets this fault. Afterwards the provider is well again, also where a busy
        machine did not come to that call in time."""
        self.sandbox.faults.add(fault, call)
        yield self.impatient if fault.startswith("hang") else self.provider
        self.sandbox.faults.clear()

    async def opened(self) -> tuple[CheckoutOrder, CheckoutRefs]:
        order = self.order()
        made = await self.provider.open_checkout(order)
        return order, refs_of(order.purchase_id, made)

    async def paid(self) -> PaymentRefs:
        """A captured payment, as billing stores it."""
        _, checkout = await self.opened()
        self.sandbox.pay(checkout.provider_id)
        (payment,) = await self.provider.captured(checkout)
        return PaymentRefs(payment.payment_key, payment.currency, payment.refs)

    def money(self, payment: PaymentRefs) -> str:
        """What the provider calls it."""
        return payment.refs["charge" if isinstance(self.sandbox, StripeSandbox) else "payment"]


def refs_of(purchase_id: UUID, made: OpenedCheckout) -> CheckoutRefs:
    return CheckoutRefs(purchase_id, 1, made.provider_id)


def count(standin: StandIn, kind: str) -> Callable[[], int]:
    return lambda: len(standin.account.all(kind))  # type: ignore[attr-defined]


async def stripe_world(stack: AsyncExitStack) -> World:
    sandbox = await stack.enter_async_context(StripeSandbox(secret_key="sk_test_contract"))

    def connect(secret: str, timeout: float = PATIENCE) -> PaymentProvider:
        provider = StripeProvider(secret, api_base=sandbox.url, timeout=timeout, retries=0)
        stack.push_async_callback(provider.close)
        return provider

    return World(
        sandbox,
        connect,
        connect(sandbox.secret_key),
        connect(sandbox.secret_key, IMPATIENCE),
        create="POST /v1/checkout/sessions",
        refund="POST /v1/refunds",
        look="GET /v1/checkout/sessions/",
        checkouts=count(sandbox, "checkout.session"),
        refunds=count(sandbox, "refund"),
    )


async def razorpay_world(stack: AsyncExitStack) -> World:
    sandbox = await stack.enter_async_context(RazorpaySandbox(key_id="rzp_test_contract", key_secret="contract-secret"))

    def connect(secret: str, timeout: float = PATIENCE) -> PaymentProvider:
        provider = RazorpayProvider(sandbox.key_id, secret, api_base=sandbox.url, timeout=timeout)
        stack.push_async_callback(provider.close)
        return provider

    return World(
        sandbox,
        connect,
        connect(sandbox.key_secret),
        connect(sandbox.key_secret, IMPATIENCE),
        create="POST /v1/orders",
        refund="POST /v1/payments",
        look="GET /v1/orders/",
        checkouts=count(sandbox, "order"),
        refunds=count(sandbox, "refund"),
    )


@pytest.fixture(params=[stripe_world, razorpay_world], ids=["stripe", "razorpay"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield await request.param(stack)


async def test_a_checkout_tells_the_browser_where_to_pay(world: World) -> None:
    made = await world.provider.open_checkout(world.order())
    assert made.provider_id in made.client.values()
    assert made.provider_id in made.refs.values()
    assert not world.provider.livemode


async def test_a_setup_fee_is_part_of_what_is_paid(world: World) -> None:
    order = world.order(setup_fee=900)
    checkout = refs_of(order.purchase_id, await world.provider.open_checkout(order))
    world.sandbox.pay(checkout.provider_id)
    (payment,) = await world.provider.captured(checkout)
    assert payment.amount == order.amount
    if isinstance(world.sandbox, StripeSandbox):
        assert lines_of(world, checkout) == [("Shop, yearly", 4000), ("Shop, yearly: set-up fee", 900)]


async def test_where_there_is_nothing_but_a_setup_fee_it_is_the_only_line_and_yen_are_taken_as_they_are() -> None:
    async with AsyncExitStack() as stack:
        world = await stripe_world(stack)
        order = world.order(amount=1500, setup_fee=1500, currency="JPY")
        checkout = refs_of(order.purchase_id, await world.provider.open_checkout(order))
        assert lines_of(world, checkout) == [("Shop, yearly: set-up fee", 1500)]


@pytest.mark.parametrize(("amount", "fee", "line"), [(4410, 0, 0), (5310, 900, 0), (900, 900, 0)])
async def test_what_was_taken_off_is_told_on_the_line_of_what_is_paid(amount: int, fee: int, line: int) -> None:
    async with AsyncExitStack() as stack:
        world = await stripe_world(stack)
        order = world.order(amount=amount, setup_fee=fee, note="49.00 USD less 4.90 USD with WELCOME10")
        checkout = refs_of(order.purchase_id, await world.provider.open_checkout(order))
        lines = world.sandbox.account.hidden[checkout.provider_id]["line_items"]
        about = [world.sandbox.account.objects[one["price"]["product"]]["description"] for one in lines]
        assert sum(one["amount_total"] for one in lines) == amount
        assert [one == order.note for one in about] == [index == line for index in range(len(about))]
        async with httpx.AsyncClient(base_url=world.sandbox.url) as customer:
            assert str(order.note) in (await customer.get(f"/c/pay/{checkout.provider_id}")).text


def lines_of(world: World, checkout: CheckoutRefs) -> list[tuple[str, int]]:
    lines = world.sandbox.account.hidden[checkout.provider_id]["line_items"]
    return [(line["description"], line["amount_total"]) for line in lines]


async def prepared(world: World, **over: Any) -> str:
    """The id of a price that an operator made at Stripe."""
    made = {"currency": "usd", "unit_amount": 4000, "product": await post(world, "products", name="Prepared")} | over
    return await post(world, "prices", **made)


async def post(world: World, what: str, **fields: Any) -> str:
    async with httpx.AsyncClient(base_url=world.sandbox.url, auth=(world.sandbox.secret_key, "")) as client:
        return str((await client.post(f"/v1/{what}", data=fields)).raise_for_status().json()["id"])


async def test_a_prepared_price_is_used_as_it_is() -> None:
    async with AsyncExitStack() as stack:
        world = await stripe_world(stack)
        order = world.order(setup_fee=900, prepared=await prepared(world))
        checkout = refs_of(order.purchase_id, await world.provider.open_checkout(order))
        assert lines_of(world, checkout) == [("Prepared", 4000), ("Shop, yearly: set-up fee", 900)]


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"unit_amount": 3000}, "with it 3000 USD are due, not 4000 USD"),
        ({"currency": "eur"}, "with it 4000 EUR are due, not 4000 USD"),
        ({"recurring[interval]": "month"}, "a recurring price"),
        (None, "No such price: 'price_nobodys'"),
    ],
)
async def test_a_prepared_price_that_does_not_fit_is_refused_by_name_and_cannot_be_paid(
    over: dict[str, Any] | None, told: str
) -> None:
    async with AsyncExitStack() as stack:
        world = await stripe_world(stack)
        price = "price_nobodys" if over is None else await prepared(world, **over)
        order = world.order(amount=4000, prepared=price)
        for _ in range(2):  # repeated, it is refused alike
            with pytest.raises(PriceRefused, match=f"{price} cannot be used: .*{re.escape(told)}"):
                await world.provider.open_checkout(order)
        assert all(one["status"] == "expired" for one in world.sandbox.account.all("checkout.session"))


async def test_opening_again_finds_the_same_checkout(world: World) -> None:
    order = world.order()
    first = await world.provider.open_checkout(order)
    again = await world.provider.open_checkout(order)
    assert again == first
    assert world.checkouts() == 1


async def test_another_attempt_is_another_checkout(world: World) -> None:
    order = world.order()
    first = await world.provider.open_checkout(order)
    second = await world.provider.open_checkout(replace(order, attempt=2))
    assert first.provider_id != second.provider_id


@pytest.mark.parametrize("fault", ["drop", "hang_after", "garbage_after", "error_after"])
async def test_rule_8_a_checkout_whose_answer_was_lost_is_found_and_not_made_twice(world: World, fault: str) -> None:
    order = world.order()
    with world.meeting(fault, world.create) as provider, suppress(Retry):
        await provider.open_checkout(order)
    made = await world.provider.open_checkout(order)
    assert world.checkouts() == 1
    assert (await world.provider.open_checkout(order)).provider_id == made.provider_id


@pytest.mark.parametrize("fault", ["rate_limit", "error", "garbage", "hang"])
async def test_a_checkout_that_was_not_made_is_made_by_the_next_try(world: World, fault: str) -> None:
    order = world.order()
    with world.meeting(fault, world.create) as provider, pytest.raises(Retry):
        await provider.open_checkout(order)
    await world.provider.open_checkout(order)
    assert world.checkouts() == 1


async def test_a_checkout_that_fails_again_and_again_is_made_once_in_the_end(world: World) -> None:
    order = world.order()
    world.sandbox.faults.add("error", world.create, times=2)
    for _ in range(3):
        try:
            await world.provider.open_checkout(order)
        except Retry:
            continue
    await world.provider.open_checkout(order)
    assert world.checkouts() == 1


async def test_nothing_is_captured_before_it_is_paid(world: World) -> None:
    _, checkout = await world.opened()
    assert await world.provider.captured(checkout) == []


async def test_a_payment_is_captured_with_amount_currency_and_reference(world: World) -> None:
    order, checkout = await world.opened()
    world.sandbox.pay(checkout.provider_id)
    (payment,) = await world.provider.captured(checkout)
    assert (payment.amount, payment.currency, payment.livemode) == (4900, "USD", False)
    assert payment.reference == str(order.purchase_id)
    (entry,) = world.sandbox.books()
    assert (entry.payment_key, entry.reference) == (payment.payment_key, payment.reference)


async def test_a_declined_attempt_captures_nothing_and_the_next_one_does(world: World) -> None:
    _, checkout = await world.opened()
    world.sandbox.pay(checkout.provider_id, "declined" if isinstance(world.sandbox, StripeSandbox) else "failed")
    assert await world.provider.captured(checkout) == []
    world.sandbox.pay(checkout.provider_id)
    assert len(await world.provider.captured(checkout)) == 1


@pytest.mark.parametrize("fault", ["rate_limit", "error", "garbage", "hang", "drop"])
async def test_asking_for_payments_says_retry_when_the_provider_is_ill(world: World, fault: str) -> None:
    _, checkout = await world.opened()
    with world.meeting(fault, world.look) as provider, pytest.raises(Retry):
        await provider.captured(checkout)
    assert await world.provider.captured(checkout) == []


async def test_ids_of_a_payment_lead_to_our_reference(world: World) -> None:
    order, checkout = await world.opened()
    world.sandbox.pay(checkout.provider_id)
    (payment,) = await world.provider.captured(checkout)
    for name, id_ in payment.refs.items():
        found = await world.provider.find({name: id_})
        assert found is not None
        assert found.reference == str(order.purchase_id)


async def test_rule_6_a_payment_of_somebody_else_is_not_ours(world: World) -> None:
    paid = world.sandbox.pay_foreign(999, "usd" if isinstance(world.sandbox, StripeSandbox) else "USD")
    kind = "session" if isinstance(world.sandbox, StripeSandbox) else "payment"
    assert await world.provider.find({kind: paid["id"]}) is None


async def test_unknown_ids_are_not_ours(world: World) -> None:
    assert await world.provider.find({"charge": "ch_unknown", "payment": "pay_unknown"}) is None
    assert await world.provider.find({}) is None


async def ids_made(world: World, kind: Reversal, **shifted: int) -> list[str]:
    """Of the hour around now, or one that is shifted."""
    middle, half = datetime.now(UTC) + timedelta(**shifted), timedelta(minutes=30)
    pages = [page async for page in world.provider.made(kind, middle - half, middle + half)]
    return [id_ for page in pages for id_ in page]


@pytest.mark.parametrize("kind", ["refund", "dispute"])
async def test_everything_made_in_a_time_is_listed_page_by_page(world: World, kind: Reversal) -> None:
    money = world.money(await world.paid())
    assert await ids_made(world, kind) == []
    make = (
        world.sandbox.refund if kind == "refund" else lambda money, amount: world.sandbox.dispute(money, amount=amount)
    )
    made = [make(money, 1)["id"] for _ in range(230)]
    assert sorted(await ids_made(world, kind)) == sorted(made)
    assert await ids_made(world, kind, hours=-2) == []
    assert await ids_made(world, kind, hours=2) == []


async def test_what_is_made_while_the_pages_are_read_pushes_none_out(world: World) -> None:
    money = world.money(await world.paid())
    made = [world.sandbox.refund(money, 1)["id"] for _ in range(230)]
    seen: set[str] = set()
    async for page in world.provider.made("refund", datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC)):
        seen |= set(page)
        world.sandbox.refund(money, 1)
    assert set(made) <= seen


async def test_a_refund_by_hand_is_told_as_it_is_and_leads_to_its_payment(world: World) -> None:
    payment = await world.paid()
    made = world.sandbox.refund(world.money(payment), 1000, pending=True)
    found = await world.provider.refund_now(made["id"])
    assert (found.refund_id, found.amount, found.currency, found.status) == (made["id"], 1000, "USD", "stands")
    assert set(found.refs.values()) & set(payment.refs.values())
    world.sandbox.fail_refund(made["id"])
    assert (await world.provider.refund_now(made["id"])).status == "failed"


@pytest.mark.parametrize("verdict", ["won", "lost"])
async def test_a_dispute_is_told_as_it_is_until_it_is_decided(world: World, verdict: str) -> None:
    payment = await world.paid()
    made = world.sandbox.dispute(world.money(payment), amount=4000)
    found = await world.provider.dispute_now(made["id"])
    assert (found.dispute_id, found.state, found.amount, found.deducted) == (made["id"], "open", 4000, 0)
    assert found.currency == "USD"
    assert found.reason
    assert set(found.refs.values()) & set(payment.refs.values())
    world.sandbox.close_dispute(made["id"], verdict)
    found = await world.provider.dispute_now(made["id"])
    assert (found.state, found.amount, found.deducted) == (verdict, 4000, 4000 if verdict == "lost" else 0)


async def test_an_inquiry_is_no_dispute_and_may_end_as_one_that_cost_nothing(world: World) -> None:
    money, is_stripe = world.money(await world.paid()), isinstance(world.sandbox, StripeSandbox)
    made = world.sandbox.dispute(money, **({"inquiry": True} if is_stripe else {"phase": "retrieval"}))
    assert (await world.provider.dispute_now(made["id"])).state == "inquiry"
    world.sandbox.close_dispute(made["id"], "warning_closed" if is_stripe else "closed")
    found = await world.provider.dispute_now(made["id"])
    assert (found.state, found.deducted) == ("closed", 0)


async def test_lists_and_looks_say_retry_when_the_provider_is_ill_and_give_up_where_it_knows_nothing(
    world: World,
) -> None:
    money = world.money(await world.paid())
    refund, dispute = world.sandbox.refund(money, 1)["id"], world.sandbox.dispute(money)["id"]
    for path, ask in (
        ("GET /v1/refunds", lambda: ids_made(world, "refund")),
        ("GET /v1/disputes", lambda: ids_made(world, "dispute")),
        ("GET /v1/refunds/", lambda: world.provider.refund_now(refund)),
        ("GET /v1/disputes/", lambda: world.provider.dispute_now(dispute)),
    ):
        for fault in ("rate_limit", "error", "garbage", "drop"):
            with world.meeting(fault, path), pytest.raises(Retry):
                await ask()
    for nothing in (world.provider.refund_now("re_unknown"), world.provider.dispute_now("dp_unknown")):
        with pytest.raises(GiveUp):
            await nothing


async def test_a_refund_with_one_key_goes_out_once(world: World) -> None:
    payment, key = await world.paid(), str(uuid4())
    first = await world.provider.refund(payment, 1000, key)
    again = await world.provider.refund(payment, 1000, key)
    assert again == first
    assert (first.amount, first.currency, first.status) == (1000, "USD", "succeeded")
    assert world.refunds() == 1


async def test_two_keys_are_two_refunds_and_none_means_what_is_left(world: World) -> None:
    payment = await world.paid()
    await world.provider.refund(payment, 1000, str(uuid4()))
    rest = await world.provider.refund(payment, None, str(uuid4()))
    assert rest.amount == 3900
    (entry,) = world.sandbox.books()
    assert entry.kept == 0


@pytest.mark.parametrize("fault", ["drop", "hang_after", "garbage_after", "error_after", "error", "garbage", "hang"])
async def test_a_refund_with_an_unclear_answer_goes_out_once(world: World, fault: str) -> None:
    payment, key = await world.paid(), str(uuid4())
    with world.meeting(fault, world.refund) as provider, suppress(Retry):
        await provider.refund(payment, 1000, key)
    await world.provider.refund(payment, 1000, key)
    assert world.refunds() == 1
    (entry,) = world.sandbox.books()
    assert entry.refunded == 1000


async def test_two_workers_with_one_refund_send_it_once(world: World) -> None:
    payment, key = await world.paid(), str(uuid4())
    world.sandbox.faults.add("slow", world.refund, seconds=0.2)
    results = await asyncio.gather(
        *(world.provider.refund(payment, 1000, key) for _ in range(2)), return_exceptions=True
    )
    assert all(isinstance(result, Retry) for result in results if isinstance(result, BaseException))
    assert world.refunds() == 1


async def test_more_than_was_paid_is_refused(world: World) -> None:
    payment = await world.paid()
    with pytest.raises(GiveUp):
        await world.provider.refund(payment, 10_000, str(uuid4()))
    assert world.refunds() == 0


async def test_a_wrong_key_gives_up_and_names_no_secret(world: World) -> None:
    with pytest.raises(GiveUp) as refused:
        await world.connect(WRONG).open_checkout(world.order())
    told = "".join(traceback.format_exception(refused.value)).replace(__file__, "")
    assert WRONG not in told
    assert "ann@example.com" not in told


async def test_a_refused_request_gives_up(world: World) -> None:
    with pytest.raises(GiveUp) as refused:
        await world.provider.open_checkout(world.order(currency="US"))
    assert "HTTP 400" in str(refused.value)
    with pytest.raises(GiveUp):
        await world.provider.open_checkout(world.order(currency="KWD", amount=1001))


async def test_a_provider_that_cannot_be_reached_is_tried_again(world: World) -> None:
    await world.sandbox._loopback.stop()
    with pytest.raises(Retry):
        await world.provider.open_checkout(world.order())


async def test_expiring_a_paid_checkout_says_that_it_is_paid(world: World) -> None:
    _, checkout = await world.opened()
    world.sandbox.pay(checkout.provider_id)
    assert await world.provider.expire(checkout) == "paying"


async def test_what_the_browser_brings_back_must_belong_to_the_checkout(world: World) -> None:
    _, checkout = await world.opened()
    paid = world.sandbox.pay(checkout.provider_id)
    if isinstance(world.sandbox, StripeSandbox):
        good, bad = ReturnProof(session_id=checkout.provider_id), ReturnProof(session_id="cs_test_other")
    else:
        brought = world.sandbox.proof(paid["id"])
        good = ReturnProof(payment_id=paid["id"], signature=brought["razorpay_signature"])
        bad = replace(good, payment_id="pay_other")
    assert world.provider.verify_return(checkout, good)
    assert not world.provider.verify_return(checkout, bad)
    assert not world.provider.verify_return(replace(checkout, provider_id="other"), good)
    assert not world.provider.verify_return(checkout, replace(good, signature="é", session_id=None))
    assert not world.provider.verify_return(checkout, ReturnProof())


@pytest.fixture
async def stripe() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield await stripe_world(stack)


@pytest.fixture
async def razorpay() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield await razorpay_world(stack)


async def test_stripe_closes_a_checkout_once_and_for_all(stripe: World) -> None:
    _, checkout = await stripe.opened()
    assert await stripe.provider.expire(checkout) == "closed"
    assert await stripe.provider.expire(checkout) == "closed"


async def test_stripe_says_that_a_delayed_payment_is_under_way_and_not_captured(stripe: World) -> None:
    _, checkout = await stripe.opened()
    stripe.sandbox.pay(checkout.provider_id, "delayed")
    assert await stripe.provider.captured(checkout) == []
    assert await stripe.provider.expire(checkout) == "paying"
    stripe.sandbox.settle(checkout.provider_id, succeeded=True)
    assert len(await stripe.provider.captured(checkout)) == 1


async def test_stripe_gets_our_reference_in_every_place_that_events_show(stripe: World) -> None:
    order, checkout = await stripe.opened()
    stripe.sandbox.pay(checkout.provider_id)
    account, wanted = stripe.sandbox.account, order.reference
    session = account.objects[checkout.provider_id]
    assert session["client_reference_id"] == session["metadata"]["purchase_id"] == wanted
    for kind in ("payment_intent", "charge"):
        (made,) = account.all(kind)
        assert made["metadata"]["purchase_id"] == wanted


@pytest.mark.parametrize("currency", ["ISK", "UGX", "MGA"])
async def test_stripe_is_not_asked_for_currencies_that_it_counts_otherwise(stripe: World, currency: str) -> None:
    with pytest.raises(GiveUp, match=currency):
        await stripe.provider.open_checkout(stripe.order(currency=currency, amount=5000))
    assert stripe.checkouts() == 0


async def test_razorpay_orders_stay_payable(razorpay: World) -> None:
    _, checkout = await razorpay.opened()
    assert await razorpay.provider.expire(checkout) == "payable"


async def test_razorpay_authorised_money_is_not_captured_money(razorpay: World) -> None:
    _, checkout = await razorpay.opened()
    razorpay.sandbox.pay(checkout.provider_id, "authorized")
    assert await razorpay.provider.captured(checkout) == []


async def test_razorpay_failed_payment_that_comes_to_life_is_captured(razorpay: World) -> None:
    _, checkout = await razorpay.opened()
    failed = razorpay.sandbox.pay(checkout.provider_id, "failed")
    assert await razorpay.provider.captured(checkout) == []
    razorpay.sandbox.authorise_late(failed["id"])
    (payment,) = await razorpay.provider.captured(checkout)
    assert payment.payment_key == failed["id"]


async def test_razorpay_second_payment_on_a_paid_order_is_not_captured(razorpay: World) -> None:
    _, checkout = await razorpay.opened()
    first = razorpay.sandbox.pay(checkout.provider_id)
    razorpay.sandbox.pay(checkout.provider_id)
    assert [one.payment_key for one in await razorpay.provider.captured(checkout)] == [first["id"]]


async def test_stripe_refund_that_waits_for_the_customer_has_not_left(stripe: World) -> None:
    made = stripe.sandbox.refund(stripe.money(await stripe.paid()), 1000, pending=True)
    made["status"] = "requires_action"
    assert (await stripe.provider.refund_now(made["id"])).status == "asked"


async def test_razorpay_dispute_that_was_closed_after_it_was_lost_is_lost(razorpay: World) -> None:
    made = razorpay.sandbox.dispute(razorpay.money(await razorpay.paid()))
    razorpay.sandbox.close_dispute(made["id"], "lost")
    made["status"] = "closed"
    found = await razorpay.provider.dispute_now(made["id"])
    assert (found.state, found.deducted) == ("lost", 4900)
    made["amount_deducted"] = None  # as in some payloads
    assert (await razorpay.provider.dispute_now(made["id"])).state == "closed"


async def saved(world: World, card: str = "pm_card_visa", **over: Any) -> ChargeOrder:
    """A card that a customer paid with and left to be charged."""
    order = world.order(save=True)
    checkout = refs_of(order.purchase_id, await world.provider.open_checkout(order))
    world.sandbox.pay(checkout.provider_id, card=card)
    (payment,) = await world.provider.captured(checkout)
    found = await world.provider.saved_mandate(payment.refs)
    assert found
    made = ChargeOrder(order.purchase_id, str(uuid4()), 900, "USD", found.customer_id, found.method_id, "Shop, monthly")
    return replace(made, **over)


async def test_what_was_saved_is_charged_once_for_each_key(stripe: World) -> None:
    order = await saved(stripe)
    assert await stripe.provider.charged(order) is None
    results = [await stripe.provider.charge(order) for _ in range(2)] + [await stripe.provider.charged(order)]
    (result,) = {(one.provider_id, one.status, one.payment and one.payment.payment_key) for one in results if one}
    assert result[1:] == ("paid", result[0])
    payment = results[0].payment if results[0] else None
    assert payment
    assert (payment.amount, payment.currency, payment.reference) == (900, "USD", str(order.purchase_id))
    assert [entry.amount for entry in stripe.sandbox.books()] == [4900, 900]
    found = await stripe.provider.find({"charge": payment.refs["charge"]})
    assert found
    assert (found.reference, found.refs["attempt"]) == (str(order.purchase_id), order.key)
    refund = await stripe.provider.refund(PaymentRefs(payment.payment_key, "USD", payment.refs), 900, str(uuid4()))
    assert refund.amount == 900


async def test_without_being_asked_for_nothing_is_saved(world: World) -> None:
    _, checkout = await world.opened()
    world.sandbox.pay(checkout.provider_id)
    (payment,) = await world.provider.captured(checkout)
    assert await world.provider.saved_mandate(payment.refs) is None


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_chargeCustomerFail", "generic_decline"),
        ("pm_card_visa_chargeDeclinedStolenCard", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_authenticationRequired", "authentication_required"),
    ],
)
async def test_a_declined_charge_is_told_with_its_code_and_stays_declined(stripe: World, card: str, code: str) -> None:
    order = await saved(stripe, card)
    for _ in range(2):
        result = await stripe.provider.charge(order)
        assert (result.status, result.code, result.payment) == ("failed", code, None)
    assert await stripe.provider.charged(order) == result
    assert [entry.amount for entry in stripe.sandbox.books()] == [4900]
    stripe.sandbox.use_saved(order.customer_id, "pm_card_visa")
    assert (await stripe.provider.charge(replace(order, key=str(uuid4())))).status == "paid"


@pytest.mark.parametrize("fault", ["drop", "hang_after", "garbage_after", "error_after", "error", "rate_limit", "hang"])
async def test_rule_8_a_charge_whose_answer_was_lost_is_made_once(stripe: World, fault: str) -> None:
    order = await saved(stripe)
    with stripe.meeting(fault, "POST /v1/payment_intents") as provider, suppress(Retry):
        await provider.charge(order)
    assert (await stripe.provider.charge(order)).status == "paid"
    assert [entry.amount for entry in stripe.sandbox.books()] == [4900, 900]


@pytest.mark.parametrize("over", [{"customer_id": "cus_gone"}, {"method_id": "pm_gone"}])
async def test_what_is_not_there_any_more_cannot_be_charged(stripe: World, over: dict[str, Any]) -> None:
    result = await stripe.provider.charge(await saved(stripe, **over))
    assert (result.status, result.code) == ("failed", "mandate_gone")


async def test_a_card_alone_is_given_at_a_checkout_of_nothing_and_charged_later(stripe: World) -> None:
    order = stripe.order(amount=0, save=True, cycle="monthly")
    made = await stripe.provider.open_checkout(order)
    assert (await stripe.provider.open_checkout(order)).provider_id == made.provider_id
    checkout = refs_of(order.purchase_id, made)
    assert await stripe.provider.captured(checkout) == []
    async with httpx.AsyncClient() as customer:
        assert "Give a card" in (await customer.get(str(made.url))).text
        assert (await customer.post(str(made.url), data={"outcome": "paid"})).status_code == 303
    (payment,) = await stripe.provider.captured(checkout)
    assert (payment.amount, payment.currency, payment.reference) == (0, "USD", order.reference)
    assert await stripe.provider.expire(checkout) == "paying"
    found = await stripe.provider.saved_mandate(payment.refs)
    known = await stripe.provider.find(payment.refs)
    assert found
    assert known
    assert known.payment_key == payment.payment_key
    charge = ChargeOrder(order.purchase_id, str(uuid4()), 900, "USD", found.customer_id, found.method_id, "Shop")
    assert (await stripe.provider.charge(charge)).status == "paid"
    closed = stripe.order(amount=0, save=True, cycle="monthly")
    unused = refs_of(closed.purchase_id, await stripe.provider.open_checkout(closed))
    assert await stripe.provider.expire(unused) == "closed"


@pytest.mark.parametrize("fault", ["none", "drop", "hang_after", "garbage_after", "error", "rate_limit"])
async def test_what_is_forgotten_can_be_charged_by_nobody_and_is_forgotten_any_number_of_times(
    stripe: World, fault: str
) -> None:
    order = await saved(stripe)
    mandate = SavedMandate(order.customer_id, order.method_id)
    if fault != "none":
        with stripe.meeting(fault, "POST /v1/payment_methods/") as provider, suppress(Retry):
            await provider.forget_mandate(mandate)
    for _ in range(2):
        await stripe.provider.forget_mandate(mandate)
    await stripe.provider.forget_mandate(replace(mandate, method_id="pm_gone"))
    result = await stripe.provider.charge(order)
    assert (result.status, result.code) == ("failed", "mandate_gone")
    assert stripe.sandbox.account.objects[order.method_id]["customer"] is None
    with pytest.raises(GiveUp):
        await stripe.connect(WRONG).forget_mandate(mandate)


@pytest.mark.parametrize("known", [True, False])
async def test_another_card_is_given_on_a_page_that_takes_no_money(stripe: World, known: bool) -> None:
    order = await saved(stripe)
    wanted = CardOrder(
        purchase_id=order.purchase_id,
        currency="USD",
        email="ann@example.com",
        locale="de",
        customer_id=order.customer_id if known else None,
        return_url="https://shop.example/",
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
    opened = await stripe.provider.open_card_page(wanted)
    assert opened
    page, url = opened.id, opened.url
    assert page
    assert url
    assert await stripe.provider.saved_mandate({"session": page}) is None
    async with httpx.AsyncClient() as customer:
        assert "Give a card" in (await customer.get(url)).text
        assert (await customer.post(url, data={"outcome": "paid"})).status_code == 303
    found = await stripe.provider.saved_mandate({"session": page})
    assert found
    assert (found.customer_id == order.customer_id, found.method_id == order.method_id) == (known, False)
    assert (await stripe.provider.charge(replace(order, **vars(found)))).status == "paid"


async def test_razorpay_keeps_nothing_to_charge() -> None:
    async with AsyncExitStack() as stack:
        world = await razorpay_world(stack)
        order = ChargeOrder(uuid4(), "k", 900, "INR", "cust_1", "token_1", "Shop")
        with pytest.raises(GiveUp):
            await world.provider.charge(order)
        assert await world.provider.charged(order) is None
        await world.provider.forget_mandate(SavedMandate("cust_1", "token_1"))  # there is none: done
