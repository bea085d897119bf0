"""The status page: in each state, live, and for its owner only."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import expect

from keyturn.events import Event
from keyturn.events.installs import InstallDeleted, InstallFailed, InstallStepChanged, InstallSuspended, InstallWaiting
from keyturn.events.purchases import PurchaseExpired, PurchaseFailed
from support.browser import MARKS, Accessible, OpenPage, Tell
from support.journeys import EMAIL, Story
from support.whole import Whole

pytestmark = MARKS
SOON = datetime(2100, 1, 1, 12, tzinfo=UTC)


def later(story: Story, event: Callable[..., Event], **values: Any) -> Event:
    """This event of this story, after all that it has."""
    return event(subject=str(story.id), time=story.activated.time + timedelta(minutes=1), **values)


def health(story: Story, status: str) -> Event:
    return later(
        story, InstallStepChanged, job_id="j1", action="provision", step="health", kind="http.check", status=status
    )


def building(story: Story) -> list[Event]:
    return [story.opened, story.paid, story.requested, story.built]


def waiting(story: Story) -> list[Event]:
    wait = later(story, InstallWaiting, job_id="j1", action="provision", reason="not_ready", step="health", until=SOON)
    return [*building(story), health(story, "waiting"), wait]


def failed(story: Story) -> list[Event]:
    end = later(
        story,
        InstallFailed,
        job_id="j1",
        action="provision",
        step="health",
        cause="refused",
        message="ECONNREFUSED",
        attempts=9,
    )
    return [*building(story), health(story, "failed"), end]


STATES: dict[str, tuple[Callable[[Story], list[Event]], str]] = {
    "unpaid": (lambda s: [s.opened], "Waiting for your payment"),
    "expired": (lambda s: [s.opened, later(s, PurchaseExpired)], "The payment page has closed"),
    "declined": (lambda s: [s.opened, later(s, PurchaseFailed, reason="declined")], "The payment did not work"),
    "paid": (lambda s: [s.opened, s.paid], "Thank you, we have your payment"),
    "building": (building, "We are building it for you"),
    "waiting": (waiting, "We are building it for you"),
    "failed": (failed, "This takes longer than it should"),
    "ready": (lambda s: [*building(s), s.probed, s.ready, s.link, s.mailed], "Almost yours: choose a password"),
    "active": (lambda s: s.whole, "It is yours"),
    "paused": (
        lambda s: [*s.whole, later(s, InstallSuspended, job_id="j2", action="suspend", reasons=["nonpayment"])],
        "It is paused",
    ),
    "gone": (lambda s: [*s.whole, later(s, InstallDeleted, job_id="j2", action="delete", proof=[])], "It is gone"),
}
RAW = ("install.", "_", "http.check", "local.process", "ECONNREFUSED", "http.call", "provision")


@pytest.mark.parametrize("state", STATES)
async def test_status_is_plain_and_good_for_everybody(
    open_page: OpenPage, tell: Tell, shop: Whole, accessible: Accessible, state: str
) -> None:
    story, page = Story(), await open_page(bypass_csp=True)
    events, headline = STATES[state]
    await tell(page, story.id, *events(story))
    await page.goto(f"{shop.system.url}/purchases/{story.id}")
    await expect(page.get_by_role("heading", level=1)).to_have_text(headline)
    shown = await page.locator("main").inner_text()
    assert [raw for raw in RAW if raw in shown] == []
    await accessible(page)


async def test_page_follows_every_step_without_being_loaded_again(open_page: OpenPage, tell: Tell, shop: Whole) -> None:
    story, page = Story(), await open_page(timezone_id="Asia/Kolkata")
    await tell(page, story.id, story.opened)
    await page.goto(f"{shop.system.url}/purchases/{story.id}")
    await page.evaluate("window.stayed = true")
    done = page.locator(".milestones > .done")
    await expect(done.locator("time")).to_have_text(["20 Nov 2026, 17:30"])  # where the reader is
    await tell(page, story.id, story.paid, story.requested, story.built)
    await expect(page.locator(".steps li")).to_contain_text(["Your application", "Health check"])
    await expect(page.locator(".steps .completed")).to_contain_text(["Your application"])
    bar = page.get_by_role("progressbar")
    before = float(await bar.get_attribute("value") or 0)
    await tell(page, story.id, story.probed)
    await expect(bar).not_to_have_attribute("value", f"{before:g}")
    await tell(page, story.id, story.ready, story.link, story.mailed, story.activated)
    await expect(done).to_have_count(5)
    await expect(page).to_have_title("It is yours")
    await expect(page.locator("#said")).to_have_text("It is yours")  # for who hears the page
    assert await page.evaluate("window.stayed")


async def test_update_waits_while_somebody_is_about_to_press_a_button(
    open_page: OpenPage, tell: Tell, shop: Whole
) -> None:
    story, page = Story(), await open_page()
    await tell(page, story.id, *building(story), story.probed, story.ready, story.link)
    await page.goto(f"{shop.system.url}/purchases/{story.id}")
    button = page.get_by_role("button", name="have a new link sent")
    await button.focus()
    async with page.expect_response("**/progress"):
        await tell(page, story.id, story.mailed)
    await expect(button).to_be_focused()
    await button.blur()
    await expect(page.get_by_text("Setup mail sent")).to_be_visible()


async def test_somebody_elses_purchase_shows_nothing_until_its_address_is_given(
    open_page: OpenPage, tell: Tell, shop: Whole, accessible: Accessible
) -> None:
    story, page = Story(), await open_page(bypass_csp=True)
    await tell(await open_page(), story.id, *story.whole)
    url = f"{shop.system.url}/purchases/{story.id}"
    for path in (url, f"{url}/progress"):
        await page.goto(path)
        shown = await page.content()
        assert not [word for word in (EMAIL, "ada.example", "49.00", "It is yours") if word in shown]
        await accessible(page)
    await page.goto(url)
    await prove(page, "eve@example.org")
    await expect(page.get_by_role("alert")).to_contain_text("We know no such order with this address.")
    await expect(page.get_by_label("E-mail address")).to_have_value("eve@example.org")
    await accessible(page)
    await prove(page, EMAIL.upper())
    await expect(page.get_by_role("heading", name="It is yours")).to_be_visible()


async def prove(page: Any, email: str) -> None:
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_role("button", name="Show my order").click()


@pytest.mark.parametrize("path", ["/purchases/nothing", "/nowhere", "/checkout/return?purchase=nothing"])
async def test_address_that_leads_nowhere_is_a_page_that_leads_on(
    open_page: OpenPage, shop: Whole, accessible: Accessible, path: str
) -> None:
    page = await open_page(bypass_csp=True)
    answer = await page.goto(f"{shop.system.url}{path}")
    assert answer is not None
    assert answer.status == 404
    await expect(page.get_by_role("heading", name="We cannot find that")).to_be_visible()
    await accessible(page)
    await page.get_by_role("link", name="To the start page").click()
    await expect(page.get_by_role("button", name="Continue to payment")).to_be_visible()
