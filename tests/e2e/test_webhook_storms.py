"""Providers tell of one payment many times, in any order, and all at once: it still counts once."""

from uuid import UUID

import pytest

from sandbox.delivery import Weather
from support.ways import OVER_RABBITMQ
from support.whole import Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]
PROVIDERS = pytest.mark.parametrize("provider", ["stripe", "razorpay"])


@PROVIDERS
async def test_rule_3_five_copies_of_a_webhook_at_the_same_moment_count_once(system: Whole, provider: str) -> None:
    bought = await system.order(provider)
    system.webhooks(bought).weather = Weather(copies=5)
    try:
        system.shopper.pay(bought)
        await system.activate(bought)
    finally:
        system.webhooks(bought).weather = Weather()
    await system.settled()
    await system.assert_exactly_once(bought)
    assert await _payments(system, bought.purchase_id) == 1


@PROVIDERS
@pytest.mark.parametrize("order", ["reversed", "shuffled"])
async def test_rule_4_all_events_about_a_payment_in_any_order_and_doubled_activate_once(
    system: Whole, provider: str, order: str
) -> None:
    bought = await system.order(provider)
    webhooks = system.webhooks(bought)
    webhooks.weather = Weather(copies=2)
    webhooks.hold()
    try:
        system.shopper.pay(bought)
    finally:
        webhooks.weather = Weather()
        await webhooks.release("shuffled" if order == "shuffled" else "reversed")
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)
    assert await _payments(system, bought.purchase_id) == 1


async def test_rule_4_four_customers_in_foul_weather_get_one_install_each(system: Whole) -> None:
    """Every event late by a time of its own, many of them doubled, of both providers at once."""
    both = system.system.stripe.webhooks, system.system.razorpay.webhooks
    for webhooks in both:
        webhooks.weather = Weather(duplicates=0.7, delay=0.3)
    try:
        every = [await system.buy(provider) for provider in ("stripe", "razorpay") * 2]
        for bought in every:
            await system.activate(bought)
    finally:
        for webhooks in both:
            webhooks.weather = Weather()
    await system.settled()
    for bought in every:
        await system.assert_exactly_once(bought)
        assert await _payments(system, bought.purchase_id) == 1


async def test_rule_3_every_webhook_sent_again_days_later_changes_nothing(system: Whole) -> None:
    bought, _ = await system.own()
    await system.settled()
    before = await system.journey(bought)
    webhooks = system.webhooks(bought)
    system.move(days=3)
    for delivery in list(webhooks.log):
        if bought.purchase_id.encode() in delivery.body:
            assert webhooks.resend(delivery.id)
    await system.settled()
    assert await system.journey(bought) == before
    await system.assert_exactly_once(bought)


async def _payments(system: Whole, purchase_id: str) -> int:
    sql = "SELECT count(*) FROM payments WHERE purchase_id = $1"
    return int(await system.traces.one("billing", sql, UUID(purchase_id)))
