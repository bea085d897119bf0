"""A customer buys through Razorpay, whose window its own script opens on our page."""

from playwright.async_api import FrameLocator, expect

from support.browser import MARKS
from support.buyer import READY, NewBuyer, choose, signs_in

pytestmark = MARKS
REDIRECTED = """() => {
  const options = JSON.parse(document.getElementById("pay").dataset.razorpay);
  new Razorpay({ ...options, redirect: true, callback_url: document.getElementById("paid").action }).open();
}"""


async def test_payment_in_the_window_leads_to_an_instance_of_ones_own(buyer: NewBuyer) -> None:
    ravi = await buyer()
    await ravi.orders("INR")
    await click(ravi.page.frame_locator("iframe"), "Pay by UPI")
    await ravi.sees(READY)
    setup = await ravi.opens_mail()
    await choose(setup)
    await signs_in(setup, ravi.email)


async def test_payment_that_fails_can_be_tried_again_in_the_same_window(buyer: NewBuyer) -> None:
    ravi = await buyer()
    await ravi.orders("INR")
    window = ravi.page.frame_locator("iframe")
    await click(window, "Pay by a method that fails")
    await expect(window.get_by_role("alert")).to_contain_text("failed")
    await expect(ravi.page.locator("#pay-note")).to_contain_text("That did not work")
    await click(window, "Pay by UPI")
    await ravi.sees(READY)


async def test_window_that_was_closed_opens_again(buyer: NewBuyer) -> None:
    ravi = await buyer()
    await ravi.orders("INR")
    window = ravi.page.frame_locator("iframe")
    await click(window, "Close")
    await expect(ravi.page.locator("#pay-note")).to_contain_text("Not paid yet")
    await ravi.clicks("Pay ₹")
    await click(window, "Pay by UPI")
    await ravi.sees(READY)


async def test_payment_on_a_page_of_its_own_comes_back_by_the_callback(buyer: NewBuyer) -> None:
    ravi = await buyer()
    await ravi.orders("INR")
    await click(ravi.page.frame_locator("iframe"), "Close")
    await ravi.page.evaluate(REDIRECTED)
    await ravi.clicks("Pay by a method that fails")
    await ravi.clicks("Pay by UPI")
    await ravi.page.wait_for_url("**/purchases/*")
    await ravi.sees(READY)


async def test_page_says_so_where_there_is_no_javascript_for_the_window(buyer: NewBuyer) -> None:
    ravi = await buyer(java_script_enabled=False)
    await ravi.orders("INR")
    said = ravi.page.locator("noscript .alert")
    await expect(said).to_be_visible()
    await expect(said).to_contain_text("needs JavaScript")


async def click(window: FrameLocator, button: str) -> None:
    await window.get_by_role("button", name=button).click()
