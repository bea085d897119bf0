"""A customer buys through Stripe, from the start page until they are in; with JavaScript, and without."""

from playwright.async_api import expect

from support.browser import MARKS
from support.buyer import READY, Buyer, NewBuyer, choose, signs_in
from support.whole import Whole

pytestmark = MARKS


async def test_payment_on_stripes_page_leads_to_an_instance_of_ones_own(buyer: NewBuyer) -> None:
    ada = await buyer()
    await ada.orders()
    await ada.pays_by_card()
    await ada.page.evaluate("window.stayed = true")
    await ada.sees(READY)
    setup = await ada.opens_mail()

    await choose(setup, again="something else")
    assert await setup.locator(":invalid#confirmPassword").count() == 1  # said by the browser, before anything is sent
    await choose(setup, "short")
    await expect(setup.get_by_role("alert")).to_contain_text("Use at least 10 characters.")
    await choose(setup)
    await expect(setup.get_by_role("heading", name="It is yours")).to_be_visible()
    await signs_in(setup, ada.email)

    await ada.sees("It is yours")
    assert await ada.page.evaluate("window.stayed"), "the status page was loaded again"
    await expect(ada.page.get_by_role("link", name="Open it")).to_have_attribute(
        "href", setup.url.rsplit("/", 1)[0] + "/"
    )


async def test_everything_works_without_javascript(buyer: NewBuyer) -> None:
    ada = await buyer(java_script_enabled=False)
    await ada.orders()
    await ada.pays_by_card()
    while await ada.page.get_by_role("heading", level=1).inner_text() != READY:
        await ada.page.get_by_role("link", name="look again").click()
    setup = await ada.opens_mail()
    await choose(setup, again="something else")
    await expect(setup.get_by_role("alert")).to_have_text("The two passwords are not the same.")
    await choose(setup)
    await expect(setup.get_by_role("heading", name="It is yours")).to_be_visible()
    await signs_in(setup, ada.email)
    await ada.page.get_by_role("link", name="look again").click()
    await ada.sees("It is yours")


async def test_declined_card_is_said_where_it_happens_and_another_one_pays(buyer: NewBuyer) -> None:
    ada = await buyer()
    await ada.orders()
    await ada.clicks("Pay by a card that is declined")
    await expect(ada.page.get_by_role("alert")).to_contain_text("declined")
    await ada.pays_by_card()
    await ada.sees(READY)


async def test_who_goes_back_without_paying_can_go_on_later(buyer: NewBuyer) -> None:
    ada = await buyer()
    await ada.orders()
    await ada.page.get_by_role("link", name="Go back without paying").click()
    await ada.sees("Waiting for your payment")
    await ada.clicks("Go to the payment page")
    await ada.pays_by_card()
    await ada.sees(READY)


async def test_form_that_is_refused_keeps_what_was_typed_and_says_why(buyer: NewBuyer) -> None:
    ada = await buyer()
    await ada.orders(your_name="Ada", address_you_would_like="www")
    alert, field = ada.page.get_by_role("alert"), ada.page.get_by_label("Address you would like")
    await expect(alert).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(ada.page.get_by_label("E-mail address")).to_have_value(ada.email)
    await field.fill("")
    await ada.clicks("Continue to payment")
    await expect(ada.page.get_by_role("button", name="Pay by card")).to_be_visible()


async def test_order_that_is_free_asks_for_no_payment(buyer: NewBuyer, shop: Whole) -> None:
    ada = await buyer()
    await ada.page.goto(shop.system.url)
    await ada.page.get_by_role("radio", name="Free Free").check()
    await ada.page.get_by_label("E-mail address").fill(ada.email)
    await ada.clicks("Continue to payment")
    await ada.sees(READY)


async def test_page_goes_on_telling_after_a_new_link_was_asked_for(buyer: NewBuyer) -> None:
    ada = await bought(await buyer())
    ada.shop.move(minutes=1)  # a link was just sent
    await ada.clicks("have a new link sent")
    await expect(ada.page.get_by_role("status").first).to_have_text("A new link is on its way to you.")
    await choose(await ada.opens_mail(2))
    await ada.sees("It is yours")
    await expect(ada.page.get_by_text("A new link is on its way to you.")).to_have_count(0)


async def bought(ada: Buyer) -> Buyer:
    await ada.orders()
    await ada.pays_by_card()
    await ada.sees(READY)
    return ada
