"""The main job: a captured payment becomes a running install, once."""

import pytest

from support.whole import Whole

pytestmark = pytest.mark.servers
PROVIDERS = pytest.mark.parametrize("provider", ["stripe", "razorpay"])


@PROVIDERS
async def test_a_payment_becomes_an_instance_that_opens_with_the_chosen_password(system: Whole, provider: str) -> None:
    bought = await system.order(provider)
    system.shopper.pay(bought)
    url = await system.activate(bought)
    await system.assert_exactly_once(bought)
    assert not await system.shopper.logs_in(url, bought.email, "not the password")
