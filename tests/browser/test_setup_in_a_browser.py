"""Links that do not work any more say so, and bring a new one by mail."""

import pytest
from playwright.async_api import expect

from support.browser import MARKS, Accessible, OpenPage
from support.buyer import Buyer, NewBuyer, choose
from support.whole import Whole

pytestmark = MARKS
SAID = {"expired": "This link has run out", "replaced": "There is a newer link"}


async def with_dead_link(ada: Buyer, dead: str) -> str:
    """Their first link, which works no more; the purchase was made by machine."""
    bought = await ada.shop.buy()
    ada.email = bought.email
    link = await ada.shop.link(bought)
    await ada.shop.wait_for(bought, "message.sent")
    if dead == "expired":
        ada.shop.move(hours=25)
    else:
        await ada.shop.tell(f"/api/installs/{bought.purchase_id}/reissue", reason="they asked on the telephone")
        ada.shop.move(minutes=1)  # sooner the customer themselves would get no other one
    return link


@pytest.mark.parametrize("dead", SAID)
async def test_dead_link_says_so_and_a_new_one_comes_by_mail(buyer: NewBuyer, dead: str) -> None:
    ada = await buyer()
    link = await with_dead_link(ada, dead)
    count = 2 if dead == "replaced" else 1
    mails = len(await ada.shop.system.mailbox.wait_for(ada.email, subject="choose your password", count=count))
    await ada.page.goto(link)
    await ada.sees(SAID[dead])
    await ada.clicks("Send me a new link")
    await expect(ada.page.get_by_role("status")).to_contain_text("A new link is on its way")
    setup = await ada.opens_mail(mails + 1)
    await choose(setup)
    await expect(setup.get_by_role("heading", name="It is yours")).to_be_visible()

    await ada.page.goto(link)
    await ada.sees(SAID["replaced"])
    await ada.page.goto(setup.url)
    await ada.sees("It is yours")
    assert await ada.page.get_by_label("New password").count() == 0


async def test_new_link_is_sent_without_javascript_too(buyer: NewBuyer) -> None:
    ada = await buyer(java_script_enabled=False)
    await ada.page.goto(await with_dead_link(ada, "replaced"))
    await ada.clicks("Send me a new link")
    await expect(ada.page.get_by_role("status")).to_contain_text("A new link is on its way")
    await ada.opens_mail(3)


async def test_setup_page_is_good_for_everybody_in_each_state(
    open_page: OpenPage, shop: Whole, accessible: Accessible
) -> None:
    page = await open_page(bypass_csp=True)
    bought = await shop.buy()
    link = await shop.link(bought)
    await page.goto(link)
    await accessible(page)
    await choose(page, "short")
    await expect(page.get_by_role("alert")).to_contain_text("Use at least 10 characters.")
    await expect(page.get_by_role("alert")).to_be_focused()
    await accessible(page)
    await shop.tell(f"/api/installs/{bought.purchase_id}/reissue", reason="they asked on the telephone")
    shop.move(minutes=1)
    await page.goto(link)
    await accessible(page)
    await page.get_by_role("button", name="Send me a new link").click()
    await expect(page.get_by_role("status")).to_be_visible()
    await accessible(page)
    await shop.system.mailbox.wait_for(bought.email, subject="choose your password", count=3)
    await page.goto(str(shop.shopper.setup_link(bought)))
    await choose(page)
    await expect(page.get_by_role("heading", name="It is yours")).to_be_visible()
    await accessible(page)
    await page.goto(f"{shop.system.url}/setup/{'x' * 43}")
    await expect(page.get_by_text("This is not a link of ours.")).to_be_visible()
    await accessible(page)
