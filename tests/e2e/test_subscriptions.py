"""A month after the other: renewed by link, not paid, suspended, paid and resumed; cancelled."""

import pytest

from support.months import MONTHLY, go_to, subscription
from support.waiting import wait_until
from support.ways import OVER_RABBITMQ
from support.whole import Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]


async def test_rule_4_a_month_is_renewed_by_link_and_who_does_not_pay_is_suspended_until_they_do(
    system: Whole,
) -> None:
    bought, url = await system.own("razorpay", planId="sample-starter", **MONTHLY)
    await system.wait_for(bought, "subscription.renewed")
    await go_to(system, bought, days=-6)
    await system.wait_for(bought, "subscription.renewal_due", *["message.sent"] * 3)
    (mail,) = [mail for mail in system.system.mailbox.to(bought.email) if "renews" in mail.subject]
    assert f"/purchases/{bought.purchase_id}" in mail.text
    system.shopper.pay(await system.shopper.renew(bought))
    await system.wait_for(bought, *["subscription.renewed"] * 2)

    await go_to(system, bought, days=-6)
    await system.wait_for(bought, *["subscription.renewal_due"] * 2)
    await go_to(system, bought, minutes=2)
    await system.wait_for(bought, "subscription.past_due")
    assert await system.shopper.logs_in(url, bought.email, system.password)
    await go_to(system, bought, days=1, hours=23, minutes=30)
    await system.wait_for(bought, "subscription.warned")
    assert (await subscription(system, bought))["suspendsAt"]
    await go_to(system, bought, days=3, minutes=5)
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
    assert (await subscription(system, bought))["status"] == "active"
    mails = [mail.deliveries for mail in system.letters(bought)]
    assert mails == [1] * 7  # setup, twice what is due, what is missing, that it is suspended soon, suspended, back
    sql = "SELECT count(*) FROM periods WHERE purchase_id = $1::text::uuid"
    assert await system.traces.one("billing", sql, bought.purchase_id) == 3

    await system.tell(f"/api/subscriptions/{bought.purchase_id}/cancel")
    await go_to(system, bought, minutes=-5)
    await system.settled()
    assert await system.shopper.logs_in(url, bought.email, system.password)
    await go_to(system, bought, minutes=2)
    await system.wait_for(bought, "subscription.cancelled", "subscription.ended")
    await wait_until(lambda: not system.instances(bought), 20)
