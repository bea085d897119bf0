"""A month after the other: renewed by link, not paid, suspended, paid and resumed; cancelled."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from sandbox.shopper import Bought
from support.waiting import wait_until
from support.ways import OVER_RABBITMQ
from support.whole import Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]
PROVIDERS = pytest.mark.parametrize("provider", ["stripe", "razorpay"])
MONTHLY = {"planId": "sample-starter", "billingCycle": "monthly", "timezone": "Europe/Berlin"}


async def _subscription(system: Whole, bought: Bought) -> dict[str, Any]:
    return dict((await system.ask(f"/api/journeys/{bought.purchase_id}"))["subscription"])


async def _go_to(system: Whole, bought: Bought, **after_the_end: float) -> None:
    """To a moment before or after the end of what is paid."""
    end = datetime.fromisoformat((await _subscription(system, bought))["periodUntil"])
    system.system.clock.move(end + timedelta(**after_the_end) - system.system.clock.now())


async def test_rule_4_a_month_is_renewed_by_link_and_who_does_not_pay_is_suspended_until_they_do(
    system: Whole,
) -> None:
    bought, url = await system.own("razorpay", **MONTHLY)
    await system.wait_for(bought, "subscription.renewed")
    await _go_to(system, bought, days=-6)
    await system.wait_for(bought, "subscription.renewal_due", *["message.sent"] * 3)
    (mail,) = [mail for mail in system.system.mailbox.to(bought.email) if "renews" in mail.subject]
    assert f"/purchases/{bought.purchase_id}" in mail.text
    system.shopper.pay(await system.shopper.renew(bought))
    await system.wait_for(bought, *["subscription.renewed"] * 2)

    await _go_to(system, bought, days=-6)
    await system.wait_for(bought, *["subscription.renewal_due"] * 2)
    await _go_to(system, bought, minutes=2)
    await system.wait_for(bought, "subscription.past_due")
    assert await system.shopper.logs_in(url, bought.email, system.password)
    await _go_to(system, bought, days=1, hours=23, minutes=30)
    await system.wait_for(bought, "subscription.warned")
    assert (await _subscription(system, bought))["suspendsAt"]
    await _go_to(system, bought, days=3, minutes=5)
    await system.wait_for(bought, "subscription.suspended", "install.suspended")
    assert not await system.shopper.logs_in(url, bought.email, system.password)
    assert (await system.shopper.status(await system.shopper.renew(bought)))["status"] == "suspended"

    system.shopper.pay(await system.shopper.renew(bought))
    await system.wait_for(bought, *["subscription.renewed"] * 3, "install.resumed")
    await wait_until(lambda: system.shopper.logs_in(url, bought.email, system.password), 20)
    await system.settled()
    journey = await system.journey(bought)
    counts = {
        name: journey.count(f"subscription.{name}")
        for name in ("renewed", "renewal_due", "past_due", "warned", "suspended")
    }
    assert counts == {"renewed": 3, "renewal_due": 2, "past_due": 1, "warned": 1, "suspended": 1}
    assert (journey.count("purchase.paid"), journey.count("install.ready"), len(system.instances(bought))) == (1, 1, 1)
    assert (await _subscription(system, bought))["status"] == "active"
    mails = [mail.deliveries for mail in system.letters(bought)]
    assert mails == [1] * 7  # setup, twice what is due, what is missing, that it is suspended soon, suspended, back
    sql = "SELECT count(*) FROM periods WHERE purchase_id = $1::text::uuid"
    assert await system.traces.one("billing", sql, bought.purchase_id) == 3


async def test_rule_4_a_month_is_charged_to_the_saved_card_and_who_cannot_be_charged_is_told_and_suspended(
    system: Whole,
) -> None:
    bought, url = await system.own("stripe", **MONTHLY)
    await system.wait_for(bought, "subscription.renewed")
    await _go_to(system, bought, days=-6)
    await system.wait_for(bought, "subscription.renewal_due")
    assert (await _subscription(system, bought))["chargesAt"]
    await _go_to(system, bought, minutes=2)
    await system.wait_for(bought, *["subscription.renewed"] * 2)
    sql = "SELECT customer_id FROM mandates WHERE purchase_id = $1::text::uuid"
    customer = await system.traces.one("billing", sql, bought.purchase_id)
    system.system.stripe.use_saved(customer, "pm_card_visa_chargeDeclinedInsufficientFunds")

    await _go_to(system, bought, days=-6)
    await system.wait_for(bought, *["subscription.renewal_due"] * 2)
    await _go_to(system, bought, minutes=2)
    await system.wait_for(bought, "subscription.past_due", "subscription.charge_failed")
    await _go_to(system, bought, days=1, hours=23, minutes=30)
    await system.wait_for(bought, "subscription.warned")
    await _go_to(system, bought, days=3, minutes=5)
    await system.wait_for(bought, "subscription.suspended", "install.suspended", *["subscription.charge_failed"] * 2)
    assert not await system.shopper.logs_in(url, bought.email, system.password)

    path = f"/api/install/{bought.purchase_id}/card"
    page = (await system.client.post(path, headers=(await system.shopper.renew(bought)).headers)).json()["url"]
    system.system.stripe.give_card(page.rpartition("/")[2])
    await system.wait_for(bought, *["subscription.renewed"] * 3, "install.resumed")
    await system.settled()
    journey = await system.journey(bought)
    assert (journey.count("subscription.past_due"), journey.count("subscription.charge_failed")) == (1, 2)
    subjects = [mail.subject for mail in system.system.mailbox.to(bought.email)]
    assert sum("was declined" in subject for subject in subjects) == 2
    assert not any("is missing" in subject for subject in subjects)
    assert [entry.amount for entry in system.system.stripe.books() if entry.reference == bought.purchase_id] == [
        900
    ] * 3


@PROVIDERS
async def test_a_customer_cancels_and_the_install_ends_with_what_is_paid(system: Whole, provider: str) -> None:
    bought, url = await system.own(provider, **MONTHLY)
    await system.wait_for(bought, "subscription.renewed")
    path = f"/api/install/{bought.purchase_id}"
    said = (await system.client.post(f"{path}/cancel", json={}, headers=bought.headers)).json()
    assert (said["status"], said["cancelAtPeriodEnd"]) == ("active", True)
    assert (await system.client.post(f"{path}/keep", headers=bought.headers)).json()["cancelAtPeriodEnd"] is False
    await system.tell(f"/api/subscriptions/{bought.purchase_id}/cancel")
    await system.wait_for(bought, *["subscription.cancelled"] * 2, "subscription.kept")
    await _go_to(system, bought, minutes=-5)
    await system.settled()
    assert await system.shopper.logs_in(url, bought.email, system.password)
    await _go_to(system, bought, minutes=2)
    await system.wait_for(bought, "subscription.ended")
    await wait_until(lambda: not system.instances(bought), 20)
    assert "subscription.renewal_due" not in await system.journey(bought)
