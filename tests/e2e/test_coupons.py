"""Bought with a coupon: the customer pays less, or nothing, and gets the same."""

import pytest

from support.waiting import wait_until
from support.ways import OVER_RABBITMQ
from support.whole import PATIENCE, Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]


@pytest.mark.parametrize(("provider", "price", "off"), [("stripe", 4900, 490), ("razorpay", 449900, 44990)])
async def test_a_coupon_is_taken_off_the_payment_and_the_instance_is_the_same(
    system: Whole, provider: str, price: int, off: int
) -> None:
    bought = await system.order(provider, couponCode="welcome10")
    answer = bought.answer
    assert (answer["amount"], answer["discount"], answer["couponCode"]) == (price - off, off, "WELCOME10")
    system.shopper.pay(bought)
    await system.activate(bought)
    await system.assert_exactly_once(bought)
    shown = await system.ask(f"/api/purchases/{bought.purchase_id}")
    assert [payment["amount"] for payment in shown["payments"]] == [price - off]
    redemptions = (await system.ask("/api/coupons/WELCOME10"))["redemptions"]
    assert bought.purchase_id in {one["purchaseId"] for one in redemptions}


async def test_a_coupon_for_everything_makes_an_instance_and_asks_no_provider(system: Whole) -> None:
    terms = {"percent": 100, "limit": 1, "products": ["sample-app"], "until": "2999-01-01T00:00:00Z"}
    code = f"GIFT-{system.email().partition('@')[0]}"
    made = await system.tell("/api/coupons", code=code, **terms)
    gift = await system.order(couponCode=code)
    assert (gift.answer["amount"], gift.answer["status"], gift.checkout_id) == (0, "paid", "")
    await system.activate(gift)
    wires = await system.journey(gift)
    assert [wires.count(wire) for wire in ("purchase.paid", "install.ready", "install.activated")] == [1, 1, 1]
    assert len(system.instances(gift)) == 1
    books = [entry for shop in (system.system.stripe, system.system.razorpay) for entry in shop.books()]
    assert gift.purchase_id not in {entry.reference for entry in books}
    ended = await system.tell(f"/api/coupons/{made['code']}/end")
    assert (ended["active"], ended["redeemed"]) == (False, 1)

    async def told() -> bool:  # through the bus
        acts = (await system.ask(f"/api/audit?target={made['code']}"))["items"]
        return sorted(act["action"] for act in acts) == ["coupon.create", "coupon.end"]

    await wait_until(told, PATIENCE)
