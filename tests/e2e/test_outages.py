"""Any part may be away at any time: nothing paid is lost, nothing happens twice, and it goes on when it is back."""

import asyncio
from collections.abc import Callable

import pytest

from sandbox.postgres import SERVICES
from support.waiting import wait_until
from support.ways import OVER_RABBITMQ
from support.whole import PATIENCE, Whole

pytestmark = pytest.mark.servers
AFTER_GATEWAY = pytest.mark.parametrize("service", ["billing", "provisioner", "notifier"])
OUTSIDE_TAKES = 3.0  # seconds
EACH = pytest.mark.parametrize("service", SERVICES)


@OVER_RABBITMQ
@AFTER_GATEWAY
async def test_rules_1_and_2_a_payment_that_comes_while_a_service_is_down_goes_on_when_it_is_back(
    system: Whole, service: str
) -> None:
    bought = await system.order("stripe")
    async with system.without(service):
        system.shopper.pay(bought)
        await system.webhooks(bought).settled()  # taken and stored
        assert not system.mails(bought)
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)


@OVER_RABBITMQ
async def test_rule_1_a_webhook_that_comes_while_the_gateway_is_down_is_sent_again(system: Whole) -> None:
    bought = await system.order("razorpay")
    async with system.without("gateway"):
        system.shopper.pay(bought)
        await wait_until(lambda: any(one.attempts for one in system.webhooks(bought).log if one.state == "pending"))
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)


async def test_rule_2_a_journey_goes_on_though_each_service_stops_in_turn(system: Whole) -> None:
    """In order, as a deployment does, while two customers are on their way."""
    both = [await system.buy(provider) for provider in ("stripe", "razorpay")]
    for service in SERVICES:
        async with system.without(service):
            pass
    for bought in both:
        await system.activate(bought)
    await system.settled()
    for bought in both:
        await system.assert_exactly_once(bought)


@OVER_RABBITMQ
async def test_rule_2_the_whole_system_may_stop_between_payment_and_install(system: Whole) -> None:
    bought = await system.order("stripe")
    async with system.without("provisioner"):
        system.shopper.pay(bought)
        await system.wait_for(bought, "entitlement.changed")
        async with system.without("gateway", "billing", "notifier"):
            pass
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)


@EACH
async def test_rule_3_a_service_cut_off_from_the_bus_in_the_middle_does_everything_once(
    system: Whole, service: str
) -> None:
    bought = await system.buy("stripe")
    _, url = await asyncio.gather(system.cut_off(service), system.activate(bought))
    await system.settled()
    await system.assert_exactly_once(bought)
    assert await system.shopper.logs_in(url, bought.email, system.password)


@OVER_RABBITMQ
async def test_a_name_is_sold_while_the_provisioner_is_away_and_held_when_it_is_back(system: Whole) -> None:
    name = f"shop-{system.email()[:8]}"
    async with system.without("provisioner"):
        bought = await system.buy("stripe", subdomain=name)
    await system.activate(bought)
    answer = await system.client.post("/api/check-subdomain", json={"subdomain": name})
    assert answer.json()["available"] is False


@OVER_RABBITMQ
async def test_rule_7_whoever_waits_for_the_outside_world_has_no_transaction_open(system: Whole) -> None:
    system.system.mailbox.delay = OUTSIDE_TAKES
    system.system.stripe.faults.add("slow", "POST /v1/checkout/sessions", seconds=OUTSIDE_TAKES)
    try:
        ordering = asyncio.create_task(system.order("stripe"))
        assert await _longest_transaction(system, "billing", ordering.done) < OUTSIDE_TAKES / 2
        bought = await ordering
        system.shopper.pay(bought)
        assert await _longest_transaction(system, "notifier", lambda: system.mails(bought)) < OUTSIDE_TAKES / 2
    finally:
        system.system.mailbox.delay = 0.0
        system.system.stripe.faults.clear()
    await system.activate(bought)


async def _longest_transaction(system: Whole, service: str, done: Callable[[], object]) -> float:
    """Of all that the service has open in its database until then, in seconds."""
    sql = (
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
    )
    longest = 0.0

    async def over() -> object:
        nonlocal longest
        longest = max(longest, float(await system.traces.one(service, sql)))
        return done()

    await wait_until(over, PATIENCE)
    return longest
