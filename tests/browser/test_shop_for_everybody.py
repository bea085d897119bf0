"""The start page, the ways to the payment page, and the sandbox's own pages: for every eye, hand and screen."""

import pytest
from playwright.async_api import Page, Route, expect

from support.browser import MARKS, Accessible, OpenPage
from support.buyer import PASSWORD, READY, NewBuyer
from support.whole import Whole

pytestmark = MARKS
FOCUSED = """() => {
  const at = document.activeElement, shown = getComputedStyle(at.closest(".plan") ?? at);
  return shown.outlineStyle !== "none" && parseFloat(shown.outlineWidth) >= 1;
}"""


async def test_start_page_is_good_for_everybody(buyer: NewBuyer, shop: Whole, accessible: Accessible) -> None:
    ada = await buyer(bypass_csp=True)
    await ada.page.goto(shop.system.url)
    await accessible(ada.page)
    await ada.page.get_by_role("link", name="INR").click()
    await expect(ada.page.get_by_text("₹4,499.00").first).to_be_visible()
    await accessible(ada.page)
    await ada.orders(address_you_would_like="www")
    await expect(ada.page.get_by_role("alert")).to_be_visible()
    await accessible(ada.page)


async def test_way_to_stripe_and_its_page_are_good_for_everybody(buyer: NewBuyer, accessible: Accessible) -> None:
    ada = await buyer(bypass_csp=True)
    await ada.page.route(f"{ada.shop.system.url}/", stay)
    await ada.orders()
    await expect(ada.page.get_by_text("You are being taken to the payment page.")).to_be_visible()
    await accessible(ada.page)
    await ada.page.get_by_role("link", name="Go to the payment page").click()
    await accessible(ada.page)
    await ada.clicks("declined")
    await accessible(ada.page)
    await ada.clicks("asks for confirmation")
    await accessible(ada.page)
    await ada.clicks("Yes, complete the payment")
    await ada.sees(READY)


async def stay(route: Route) -> None:
    """The page that leads on by itself after a second, without that."""
    if route.request.method != "POST":
        return await route.continue_()
    answer = await route.fetch()
    headers = {name: value for name, value in answer.headers.items() if name != "refresh"}
    return await route.fulfill(response=answer, headers=headers)


async def test_razorpays_window_is_good_for_everybody(buyer: NewBuyer, accessible: Accessible) -> None:
    ravi = await buyer(bypass_csp=True)
    await ravi.orders("INR")
    window = ravi.page.frame_locator("iframe")
    await window.get_by_role("button", name="Pay by a method that fails").click()
    await expect(window.get_by_role("alert")).to_be_visible()
    await accessible(ravi.page)
    await window.get_by_role("button", name="Close").click()
    await accessible(ravi.page)


async def test_sandboxs_pages_are_good_for_everybody(open_page: OpenPage, shop: Whole, accessible: Accessible) -> None:
    bought = await shop.buy()
    await shop.link(bought)
    page, outside = await open_page(bypass_csp=True), shop.system
    for url in (outside.stripe.url, f"{outside.stripe.url}/deliveries", outside.razorpay.url, outside.mailbox.url):
        await page.goto(url)
        await accessible(page)
    await page.get_by_role("link", name="choose your password").first.click()
    await accessible(page)


async def test_whole_purchase_can_be_made_with_the_keyboard_alone(buyer: NewBuyer) -> None:
    ada = await buyer()
    page, keys = ada.page, ada.page.keyboard
    await page.goto(ada.shop.system.url)
    await tab_to(page, ".skip")
    await keys.press("Enter")
    await tab_to(page, "[name=offer]")
    await keys.press("ArrowDown")
    await tab_to(page, "#email")
    await keys.type(ada.email)
    await tab_to(page, "form.shop button")
    await keys.press("Enter")
    await page.wait_for_url("**/c/pay/*")
    await tab_to(page, "[value=paid]")
    await keys.press("Enter")
    await page.wait_for_url("**/purchases/*")
    await ada.sees(READY)
    await tab_to(page, "form button")

    setup = await ada.opens_mail()
    await tab_to(setup, "#password")
    await setup.keyboard.type(PASSWORD)
    await tab_to(setup, "#confirmPassword")
    await setup.keyboard.type(PASSWORD)
    await tab_to(setup, "form button")
    await setup.keyboard.press("Enter")
    await expect(setup.get_by_role("heading", name="It is yours")).to_be_focused()
    await tab_to(setup, "a.button")


async def tab_to(page: Page, selector: str) -> None:
    """With the Tab key; wherever it stops on the way, that is to be seen."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        assert await page.evaluate(FOCUSED), await page.evaluate("document.activeElement.outerHTML")
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"the Tab key never came to {selector}")
