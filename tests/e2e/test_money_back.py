"""Refunds and disputes: the customer's level follows the money, and what ends is removed with proof (14, 15)."""

import pytest

from support.ways import OVER_RABBITMQ
from support.whole import Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]
PROVIDERS = pytest.mark.parametrize("provider", ["stripe", "razorpay"])


@PROVIDERS
async def test_rule_14_a_full_refund_ends_the_install_and_after_its_time_everything_is_gone_with_proof(
    system: Whole, provider: str
) -> None:
    bought, url = await system.own(provider)
    bank, money = system.bank(bought)
    bank.refund(money)
    await system.wait_for(bought, "purchase.refunded", "entitlement.changed")
    await system.settled()
    assert not await system.shopper.logs_in(url, bought.email, system.password)
    assert not system.instances(bought)
    assert system.data_of(bought).exists()  # the data is kept for its time
    assert "install.deleted" not in await system.journey(bought)
    system.move(days=31)
    deleted = (await system.wait_for(bought, "install.deleted"))[-1]
    proof = {(gone["resource"], gone["outcome"]) for gone in deleted["data"]["proof"]}
    assert proof == {("app", "deleted"), ("health", "not_found")}
    assert not system.data_of(bought).exists()
    await system.settled()
    assert (await system.ask(f"/api/installs/{bought.purchase_id}"))["status"] == "deleted"
    assert (await system.journey(bought)).count("install.deleted") == 1


async def test_an_operator_refunds_and_the_provider_sends_the_money_once(system: Whole) -> None:
    bought, _ = await system.own()
    await system.tell(f"/api/purchases/{bought.purchase_id}/refund")
    await system.wait_for(bought, "purchase.refunded")
    await system.settled()
    entry = next(one for one in system.system.stripe.books() if one.reference == bought.purchase_id)
    assert entry.refunded == entry.amount
    assert (await system.journey(bought)).count("purchase.refunded") == 1
    assert not system.instances(bought)


async def test_a_partial_refund_leaves_the_install_as_it_is(system: Whole) -> None:
    bought, url = await system.own()
    bank, money = system.bank(bought)
    bank.refund(money, 100)
    await system.wait_for(bought, "purchase.refunded")
    await system.settled()
    assert await system.shopper.logs_in(url, bought.email, system.password)


@PROVIDERS
async def test_rule_15_a_dispute_suspends_until_it_is_won(system: Whole, provider: str) -> None:
    bought, url = await system.own(provider)
    bank, money = system.bank(bought)
    dispute = bank.dispute(money)
    await system.wait_for(bought, "install.suspended")
    assert not await system.shopper.logs_in(url, bought.email, system.password)
    for action in ("resume", "retry"):  # billing's reason is not an operator's to lift
        await system.client.post(
            f"/api/installs/{bought.purchase_id}/{action}", json={"reason": "a test"}, headers=system.operator
        )
    await system.settled()
    assert not system.instances(bought)
    bank.close_dispute(dispute["id"], "won")
    await system.wait_for(bought, "install.resumed")
    assert await system.shopper.logs_in(url, bought.email, system.password)
    await system.settled()
    assert sorted(system.mails(bought)) == sorted(set(system.mails(bought)))
    await system.assert_exactly_once(bought, mails=3)


async def test_rule_15_a_customer_who_is_suspended_before_setup_cannot_take_the_install_over(system: Whole) -> None:
    bought = await system.buy()
    link = await system.link(bought)
    bank, money = system.bank(bought)
    dispute = bank.dispute(money)
    await system.wait_for(bought, "install.suspended")
    body = {"password": system.password, "confirmPassword": system.password}
    answer = await system.client.post(f"/api/setup/{link.rsplit('/', 1)[-1]}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "install_not_available")
    bank.close_dispute(dispute["id"], "won")
    await system.wait_for(bought, "install.resumed")
    await system.activate(bought)


async def test_a_lost_dispute_ends_the_install(system: Whole) -> None:
    bought, url = await system.own()
    bank, money = system.bank(bought)
    bank.close_dispute(bank.dispute(money)["id"], "lost")
    await system.settled()
    assert not await system.shopper.logs_in(url, bought.email, system.password)
    system.move(days=31)
    await system.wait_for(bought, "install.deleted")
    assert not system.instances(bought)
