"""Rules 12 and 16: mail that fails is sent later, once, and neither undoes an install nor holds anybody else up."""

from uuid import UUID

import pytest

from sandbox.shopper import Bought
from support.waiting import wait_until
from support.ways import IN_MEMORY
from support.whole import PATIENCE, Whole

pytestmark = [pytest.mark.servers, IN_MEMORY]


async def _mail_was_tried(system: Whole, bought: Bought) -> None:
    """Sending its setup mail has failed at least twice."""
    sql = "SELECT count(*) FROM work WHERE kind = 'mail' AND state = 'open' AND subject = $1 AND attempts > 1"

    async def tried() -> bool:
        system.move(seconds=5)
        return bool(await system.traces.one("notifier", sql, bought.purchase_id))

    await wait_until(tried, PATIENCE)


async def test_rule_12_a_mail_server_that_is_down_all_the_time_delays_one_mail(system: Whole) -> None:
    await system.system.mailbox.down()
    try:
        bought = await system.buy()
        await system.wait_for(bought, "install.ready")
        await _mail_was_tried(system, bought)
        assert (await system.shopper.status(bought))["status"] == "setup_pending"
    finally:
        await system.system.mailbox.up()
    system.move(minutes=10)  # the longest pause
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)


async def test_rule_12_a_link_that_expired_before_it_could_be_sent_is_made_anew(system: Whole) -> None:
    await system.system.mailbox.down()
    try:
        bought = await system.buy()
        await system.wait_for(bought, "install.ready")
        await _mail_was_tried(system, bought)
        system.move(hours=25)
        await system.wait_for(bought, "message.failed")
    finally:
        await system.system.mailbox.up()
    system.move(minutes=10)
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)
    assert (await system.journey(bought)).count("setup_link.issued") == 2


async def test_rule_12_a_mail_refused_for_good_is_shown_and_sent_when_an_operator_says_so(system: Whole) -> None:
    bought = await system.order()
    system.system.mailbox.refuse(bought.email, "550 5.1.1 no such mailbox")
    system.shopper.pay(bought)
    await system.wait_for(bought, "install.ready", *["message.failed"] * 2)  # the receipt and the link
    assert (await system.shopper.status(bought))["status"] == "setup_pending"
    failed = (await system.ask(f"/api/messages?state=failed&purchaseId={bought.purchase_id}"))["items"]
    assert [one["code"] for one in failed] == ["550 5.1.1"] * 2
    system.system.mailbox.accept(bought.email)
    for one in failed:
        await system.tell(f"/api/messages/{one['id']}/retry")
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)


async def test_rule_16_one_full_mailbox_holds_nobody_else_up(system: Whole) -> None:
    full = await system.order()
    system.system.mailbox.refuse(full.email, "452 4.2.2 mailbox full")
    try:
        system.shopper.pay(full)
        await system.wait_for(full, "install.ready")
        await _mail_was_tried(system, full)
        await system.own()
    finally:
        system.system.mailbox.accept(full.email)
    system.move(minutes=10)
    await system.activate(full)
    await system.settled()
    await system.assert_exactly_once(full)
    sql = "SELECT count(*) FROM messages WHERE purchase_id = $1 AND template = 'setup'"
    assert await system.traces.one("notifier", sql, UUID(full.purchase_id)) == 1
