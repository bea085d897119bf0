"""One suite for both adapters: what providers collect by themselves, against the stand-ins."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from billing.providers import (
    CardOrder,
    CheckoutOrder,
    CheckoutRefs,
    PaymentProvider,
    PaymentRefs,
    Recurring,
    ReturnProof,
)
from billing.providers.failures import NotFound, PriceRefused
from billing.providers.razorpay import RazorpayProvider
from billing.providers.stripe import StripeProvider
from keyturn.errors import GiveUp, Retry
from sandbox.razorpay import RazorpaySandbox
from sandbox.stripe import StripeSandbox
from support.still import StillClock

START = datetime(2027, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOOD, LOST = "pm_card_visa", "pm_card_visa_chargeDeclinedLostCard"


@dataclass
class World:
    """A stand-in, the adapter that talks to it, and a clock that both go by."""

    sandbox: Any
    provider: PaymentProvider
    clock: StillClock
    currency: str
    subscription: str = ""

    @property
    def is_stripe(self) -> bool:
        return self.provider.name == "stripe"

    def order(self, *, fee: int = 0, off: int = 0, periods: int | None = 1, **over: Any) -> CheckoutOrder:
        order = CheckoutOrder(
            purchase_id=uuid4(),
            attempt=1,
            amount=4900 + fee - off,
            setup_fee=fee,
            currency=self.currency,
            title="Shop, Starter",
            cycle="monthly",
            email="ann@example.com",
            name="Ann",
            locale="de_AT",
            success_url="https://shop.example/done?s={CHECKOUT_SESSION_ID}",
            cancel_url="https://shop.example/",
            expires_at=self.clock.now() + timedelta(hours=23),
            recurring=Recurring(4900, off, periods if off else 0, "WELCOME10"),
        )
        return replace(order, **over)

    async def subscribes(self, **order: Any) -> CheckoutOrder:
        wanted = self.order(**order)
        made = await self.provider.open_checkout(wanted)
        self.sandbox.pay(made.provider_id)
        (paid,) = await self.provider.captured(CheckoutRefs(wanted.purchase_id, 1, made.provider_id))
        assert (paid.amount, paid.reference) == (wanted.amount, wanted.reference)
        self.subscription = paid.refs["subscription"]
        return wanted

    def time_passes(self, **by: float) -> None:
        """In two steps: what is billed by then is charged an hour later."""
        for step in (timedelta(**by), HOUR):
            self.clock.move(step)
            self.sandbox.tick()


async def stripe_world(stack: AsyncExitStack, clock: StillClock) -> World:
    sandbox = await stack.enter_async_context(StripeSandbox(secret_key="sk_test_contract", clock=clock))
    provider = StripeProvider(sandbox.secret_key, api_base=sandbox.url, timeout=20, retries=0)
    stack.push_async_callback(provider.close)
    return World(sandbox, provider, clock, "USD")


async def razorpay_world(stack: AsyncExitStack, clock: StillClock) -> World:
    sandbox = await stack.enter_async_context(
        RazorpaySandbox(key_id="rzp_test_contract", key_secret="contract-secret", clock=clock)
    )
    provider = RazorpayProvider(sandbox.key_id, sandbox.key_secret, api_base=sandbox.url, timeout=20)
    stack.push_async_callback(provider.close)
    return World(sandbox, provider, clock, "INR")


STRIPE = pytest.mark.parametrize("world", [stripe_world], ids=["stripe"], indirect=True)
RAZORPAY = pytest.mark.parametrize("world", [razorpay_world], ids=["razorpay"], indirect=True)


@pytest.fixture(params=[stripe_world, razorpay_world], ids=["stripe", "razorpay"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield await request.param(stack, StillClock(START))


async def test_what_is_collected_is_found_with_its_payments_the_oldest_first(world: World) -> None:
    order = await world.subscribes(fee=900)
    found = await world.provider.subscription_now(world.subscription)
    assert (found.status, bool(found.cancel_at_period_end)) == ("active", False)
    assert found.period_until == datetime(2027, 2, 28, 12, tzinfo=UTC)
    world.time_passes(days=28)
    found = await world.provider.subscription_now(world.subscription)
    assert [payment.amount for payment in found.payments] == [5800, 4900]
    assert {payment.reference for payment in found.payments} == {order.reference}
    spans = [(payment.period_from, payment.period_until) for payment in found.payments]
    assert [(f"{start:%d.%m.}", f"{end:%d.%m.}") for start, end in spans if start and end] == [
        ("31.01.", "28.02."),
        ("28.02.", "31.03."),
    ]


async def test_every_id_of_a_renewal_leads_to_our_reference_and_to_its_payment(world: World) -> None:
    order = await world.subscribes()
    world.time_passes(days=28)
    renewal = (await world.provider.subscription_now(world.subscription)).payments[-1]
    if world.is_stripe:
        intent = renewal.refs["payment_intent"]
        charge = world.sandbox.account.objects[intent]["latest_charge"]
        told = [{"invoice": renewal.payment_key}, {"payment_intent": intent}, {"charge": charge}]
    else:  # an order that we never made, and empty notes
        ids = {"payment": renewal.payment_key, "order": renewal.refs["order"]}
        told = [{"payment": renewal.payment_key}, ids | {"invoice": renewal.refs["invoice"]}]
    for refs in told:
        found = await world.provider.find(refs)
        assert found is not None
        assert (found.reference, found.payment_key) == (order.reference, renewal.payment_key)
    found = await world.provider.find({"subscription": world.subscription})
    assert found is not None
    assert found.reference == order.reference


async def test_a_renewal_is_refunded_by_its_invoice(world: World) -> None:
    await world.subscribes()
    world.time_passes(days=28)
    renewal = (await world.provider.subscription_now(world.subscription)).payments[-1]
    refs = {"invoice": renewal.refs["invoice"]}  # all that a webhook may tell of it
    paid = PaymentRefs(renewal.payment_key, world.currency, refs)
    done = await world.provider.refund(paid, 100, "refund-of-a-renewal")
    assert (done.amount, done.status) == (100, "succeeded")


@STRIPE
@pytest.mark.parametrize(
    ("off", "periods", "paid"), [(100, 1, [4800, 4900, 4900]), (100, 2, [4800, 4800, 4900]), (100, None, [4800] * 3)]
)
async def test_a_discount_lasts_for_as_many_periods_as_it_says(
    world: World, off: int, periods: int | None, paid: list[int]
) -> None:
    await world.subscribes(off=off, periods=periods)
    for _ in range(2):
        world.time_passes(days=31)
    found = await world.provider.subscription_now(world.subscription)
    assert [payment.amount for payment in found.payments] == paid


@STRIPE
async def test_a_discounted_checkout_that_is_opened_again_is_the_same(world: World) -> None:
    order = world.order(off=100)
    first = await world.provider.open_checkout(order)
    assert await world.provider.open_checkout(order) == first


async def test_a_card_that_fails_shows_and_so_does_one_that_pays_later(world: World) -> None:
    await world.subscribes()
    world.sandbox.use_card(world.subscription, "declined")
    world.time_passes(days=28)
    assert (await world.provider.subscription_now(world.subscription)).status == "past_due"
    world.sandbox.use_card(world.subscription, "good")
    found = await world.provider.subscription_now(world.subscription)
    assert (found.status, len(found.payments)) == ("active", 2)


@STRIPE
@pytest.mark.parametrize(("card", "status", "payments"), [(GOOD, "active", 2), (LOST, "past_due", 1)])
async def test_another_card_is_charged_at_once_what_is_overdue_and_what_comes(
    world: World, card: str, status: str, payments: int
) -> None:
    order = await world.subscribes()
    world.sandbox.use_card(world.subscription, "declined")
    world.time_passes(days=28)
    wanted = CardOrder(
        purchase_id=UUID(order.reference),
        currency=order.currency,
        email=order.email,
        locale=None,
        customer_id=None,
        return_url="https://shop.example/",
        expires_at=world.clock.now() + HOUR,
        subscription_id=world.subscription,
    )
    opened = await world.provider.open_card_page(wanted)
    assert opened
    assert opened.id
    world.sandbox.give_card(opened.id, card)
    given = await world.provider.saved_mandate({"session": opened.id})
    assert given
    for _ in range(2):
        await world.provider.use_card(world.subscription, given)
    found = await world.provider.subscription_now(world.subscription)
    assert (found.status, len(found.payments)) == (status, payments)
    if status == "active":
        world.time_passes(days=31)
        assert len((await world.provider.subscription_now(world.subscription)).payments) == 3


@STRIPE
async def test_it_ends_with_its_period_unless_it_is_kept(world: World) -> None:
    await world.subscribes()
    for _ in range(2):
        await world.provider.end_subscription(world.subscription, at_period_end=True)
    assert (await world.provider.subscription_now(world.subscription)).cancel_at_period_end
    assert await world.provider.keep_subscription(world.subscription)
    assert (await world.provider.subscription_now(world.subscription)).cancel_at_period_end is False
    await world.provider.end_subscription(world.subscription, at_period_end=True)
    world.time_passes(days=28)
    found = await world.provider.subscription_now(world.subscription)
    assert (found.status, len(found.payments)) == ("ended", 1)


async def test_it_ends_at_once_any_number_of_times(world: World) -> None:
    await world.subscribes()
    for _ in range(2):
        await world.provider.end_subscription(world.subscription, at_period_end=False)
    found = await world.provider.subscription_now(world.subscription)
    assert (found.status, found.completed) == ("ended", False)


@STRIPE
async def test_the_end_of_its_period_is_moved_at_no_cost(world: World) -> None:
    await world.subscribes()
    later = START + timedelta(days=31)
    for _ in range(2):
        assert await world.provider.charge_next_at(world.subscription, later)
    found = await world.provider.subscription_now(world.subscription)
    assert (found.status, found.period_until, len(found.payments)) == ("active", later, 1)
    world.time_passes(days=31)
    found = await world.provider.subscription_now(world.subscription)
    assert [payment.amount for payment in found.payments] == [4900, 4900]
    assert found.payments[-1].period_from == later


async def test_what_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.provider.subscription_now("sub_nobodys")


@STRIPE
@pytest.mark.parametrize(
    ("recurring", "told"), [({"interval": "year"}, "it is not monthly"), (None, "at least one recurring price")]
)
async def test_a_prepared_price_of_another_cycle_is_refused_by_name(
    world: World, recurring: dict[str, str] | None, told: str
) -> None:
    fields: dict[str, Any] = {"currency": "usd", "unit_amount": 4900}
    fields |= {"recurring[interval]": recurring["interval"]} if recurring else {}
    async with httpx.AsyncClient(base_url=world.sandbox.url, auth=(world.sandbox.secret_key, "")) as client:
        product = (await client.post("/v1/products", data={"name": "Prepared"})).json()["id"]
        price = (await client.post("/v1/prices", data=fields | {"product": product})).json()["id"]
    with pytest.raises(PriceRefused, match=f"{price} cannot be used: .*{told}"):
        await world.provider.open_checkout(world.order(prepared=price))
    assert all(one["status"] == "expired" for one in world.sandbox.account.all("checkout.session"))


@RAZORPAY
async def test_razorpay_keeps_nothing_moves_nothing_and_takes_nothing_off(world: World) -> None:
    await world.subscribes()
    assert not await world.provider.keep_subscription(world.subscription)
    assert not await world.provider.charge_next_at(world.subscription, START + timedelta(days=40))
    with pytest.raises(GiveUp):
        await world.provider.open_checkout(world.order(off=100))
    await world.provider.end_subscription(world.subscription, at_period_end=True)
    assert (await world.provider.subscription_now(world.subscription)).status == "active"
    world.time_passes(days=28)
    found = await world.provider.subscription_now(world.subscription)
    assert (found.status, found.completed, len(found.payments)) == ("ended", False, 1)


@RAZORPAY
async def test_razorpay_gives_up_after_three_days_and_completes_after_its_last_cycle(world: World) -> None:
    await world.subscribes(cycle="triennial")
    for _ in range(2):
        world.time_passes(days=3 * 366)
    found = await world.provider.subscription_now(world.subscription)
    assert (found.status, found.completed, len(found.payments)) == ("ended", True, 3)
    await world.subscribes()
    world.sandbox.use_card(world.subscription, "declined")
    world.time_passes(days=28)
    statuses = []
    for _ in range(3):
        world.time_passes(days=1)
        statuses.append((await world.provider.subscription_now(world.subscription)).status)
    assert statuses == ["past_due", "past_due", "unpaid"]


@RAZORPAY
@pytest.mark.parametrize("fault", ["drop", "garbage_after", "error_after"])
async def test_rule_8_a_subscription_whose_answer_was_lost_is_found_and_not_made_twice(
    world: World, fault: str
) -> None:
    order = world.order()
    world.sandbox.faults.add(fault, "POST /v1/subscriptions")
    with pytest.raises(Retry):
        await world.provider.open_checkout(order)
    made = await world.provider.open_checkout(order)
    assert await world.provider.open_checkout(order) == made
    assert len(world.sandbox.account.all("subscription")) == 1


@RAZORPAY
async def test_one_that_nobody_paid_can_be_closed_and_the_proof_is_signed_the_other_way_round(world: World) -> None:
    order = world.order()
    made = await world.provider.open_checkout(order)
    refs = CheckoutRefs(order.purchase_id, 1, made.provider_id)
    assert await world.provider.expire(refs) == "closed"
    another = await world.provider.open_checkout(replace(order, attempt=2))
    refs = CheckoutRefs(order.purchase_id, 2, another.provider_id)
    payment = world.sandbox.pay(another.provider_id)
    brought = world.sandbox.proof(payment["id"])
    proof = ReturnProof(payment_id=payment["id"], signature=brought["razorpay_signature"])
    assert world.provider.verify_return(refs, proof)
    assert await world.provider.expire(refs) == "paying"
