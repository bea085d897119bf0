"""A customer's own pages, in a browser that does not have the order's cookie: signed in by a mailed link."""

import re
from datetime import timedelta

from playwright.async_api import Page, expect

from support.browser import MARKS, Accessible, OpenPage
from support.whole import Whole

pytestmark = MARKS


async def signs_in(page: Page, shop: Whole, email: str) -> None:
    """As a customer does: asks for the link, opens the mail, and presses the button."""
    await page.goto(f"{shop.system.url}/account")
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_role("button", name="Send me a link").click()
    await expect(page.get_by_role("status")).to_contain_text("a mail with a link is on its way")
    (mail,) = await shop.system.mailbox.wait_for(email, subject="sign in")
    link = re.search(rf"{shop.system.url}/account/enter/\S+", mail.text)
    assert link
    await page.goto(link[0])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Your orders")).to_be_visible()


async def test_a_customer_signs_in_changes_the_plan_sees_the_invoice_gives_another_card_and_cancels(
    open_page: OpenPage, shop: Whole, accessible: Accessible
) -> None:
    bought, _ = await shop.own(planId="sample-starter", billingCycle="monthly")
    await shop.wait_for(bought, "subscription.renewed")
    page = await open_page(bypass_csp=True)
    await signs_in(page, shop, bought.email)
    await expect(page.get_by_text("€9.00 a month")).to_be_visible()
    await accessible(page)

    await page.get_by_role("link", name="Change the plan").click()
    await accessible(page)
    await page.get_by_label("Pro").check()
    await page.get_by_role("button", name="See what it costs").click()
    await expect(page.get_by_role("heading", name="From Starter to Pro")).to_be_visible()
    await expect(page.get_by_text("€29.00 a month")).to_be_visible()
    await accessible(page)
    await page.get_by_role("button", name="Change it, and pay").click()
    await page.wait_for_url("**/c/pay/*")
    await page.get_by_role("button", name="Pay by card").click()
    await page.wait_for_url("**/purchases/*")
    await shop.wait_for(bought, "subscription.plan_changed")
    await expect(page.get_by_text("€29.00 a month")).to_be_visible()
    await shop.system.mailbox.wait_for(bought.email, subject="has another plan now")

    await page.goto(f"{shop.system.url}/account")
    await page.get_by_role("link", name="Invoices").click()
    await expect(page.get_by_role("row")).to_have_count(3)  # the first payment, and the difference
    await page.get_by_role("link", name=re.compile(r"INV-\d{4}-\d{6}")).first.click()
    await expect(page.get_by_role("cell", name="Sample application, Pro: difference")).to_be_visible()
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download as PDF").click()
    assert (await downloading.value).suggested_filename.endswith(".pdf")

    await page.goto(f"{shop.system.url}/account")
    await page.get_by_role("button", name="Give another card").click()
    await page.wait_for_url(f"{shop.system.stripe.url}/**")
    await page.get_by_role("button", name=re.compile("card", re.IGNORECASE)).first.click()
    await page.wait_for_url("**/purchases/*")

    await page.get_by_role("button", name="cancel it").click()
    await expect(page.get_by_text("It is cancelled, and ends with what is paid.")).to_be_visible()
    await page.get_by_role("button", name="Keep it after all").click()
    await expect(page.get_by_text("It goes on.")).to_be_visible()
    await page.get_by_text("End it at once").click()
    await accessible(page)
    await page.get_by_role("button", name="End it now").click()
    await expect(page.get_by_text("It has ended.")).to_be_visible()
    await shop.wait_for(bought, "subscription.ended")


async def test_without_javascript_everything_is_there(open_page: OpenPage, shop: Whole) -> None:
    bought, _ = await shop.own(planId="sample-pro", billingCycle="monthly")
    await shop.wait_for(bought, "subscription.renewed")
    page = await open_page(java_script_enabled=False)
    await signs_in(page, shop, bought.email)
    await page.get_by_role("link", name="Change the plan").click()
    await page.get_by_label("Starter").check()
    await page.get_by_role("button", name="See what it costs").click()
    await expect(page.get_by_text("is your credit")).to_be_visible()
    await page.get_by_role("button", name="Change it").click()
    await expect(page.get_by_text("Your install is being changed.")).to_be_visible()
    await shop.wait_for(bought, "subscription.plan_changed")
    await page.goto(f"{shop.system.url}/account")
    await expect(page.get_by_text("Your credit is €")).to_be_visible()
    await page.get_by_role("button", name="Pause it").click()
    await expect(page.get_by_text("It is paused.")).to_be_visible()
    await shop.wait_for(bought, "subscription.paused", "install.suspended")
    await page.goto(f"{shop.system.url}/account")
    await page.get_by_role("button", name="Go on now").click()
    await expect(page.get_by_text("It goes on.")).to_be_visible()


async def test_an_offer_that_has_run_out_says_so(open_page: OpenPage, shop: Whole) -> None:
    bought, _ = await shop.own(planId="sample-starter", billingCycle="monthly")
    await shop.wait_for(bought, "subscription.renewed")
    page = await open_page()
    await signs_in(page, shop, bought.email)
    await page.get_by_role("link", name="Change the plan").click()
    await page.get_by_role("button", name="See what it costs").click()
    shop.system.clock.move(timedelta(minutes=16))
    await page.get_by_role("button", name="Change it").click()
    await expect(page.get_by_role("alert")).to_contain_text("holds for a quarter of an hour")
