"""A customer at a browser: what one person clicks and types, from the start page to the password."""

import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from playwright.async_api import Page, expect

from support.whole import Whole

PASSWORD = "a long and quiet phrase"
READY = "Almost yours: choose a password"


@dataclass
class Buyer:
    page: Page
    shop: Whole
    email: str

    async def orders(self, currency: str = "EUR", **fields: str) -> None:
        """Fills the form in and sends it; leaves the page wherever that leads."""
        await self.page.goto(f"{self.shop.system.url}/?currency={currency}")
        await self.page.get_by_label("E-mail address").fill(self.email)
        for label, value in fields.items():
            await self.page.get_by_label(label.replace("_", " ").capitalize()).fill(value)
        await self.page.get_by_role("button", name="Continue to payment").click()

    async def pays_by_card(self) -> None:
        """On Stripe's page, where the order has led."""
        await self.page.get_by_role("button", name="Pay by card").click()
        await self.page.wait_for_url("**/purchases/*")

    async def sees(self, headline: str) -> None:
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(headline)

    async def clicks(self, button: str) -> None:
        await self.page.get_by_role("button", name=button).click()

    async def opens_mail(self, number: int = 1) -> Page:
        """Finds the so-maniest mail with a setup link in the mailbox's page, and follows its button as people do: to another tab."""
        await self.shop.system.mailbox.wait_for(self.email, subject="choose your password", count=number)
        mailbox = await self.page.context.new_page()
        await mailbox.goto(self.shop.system.mailbox.url)
        await mailbox.get_by_label("To").fill(self.email)
        await mailbox.get_by_role("button", name="Show").click()
        await mailbox.get_by_role("link", name=re.compile("choose your password")).first.click()
        mail = mailbox.frame_locator("iframe").get_by_role("link", name="Choose your password")
        async with self.page.context.expect_page() as opened:
            await mail.click()
        await mailbox.close()
        setup = await opened.value
        await setup.wait_for_load_state()
        return setup


class NewBuyer(Protocol):
    """Somebody nobody has seen before, in a browser profile with these options."""

    def __call__(self, **options: Any) -> Awaitable[Buyer]: ...


async def choose(setup: Page, password: str = PASSWORD, again: str | None = None) -> None:
    """Types the password, and once more, and sends it."""
    await setup.get_by_label("New password").fill(password)
    await setup.get_by_label("The same once more").fill(password if again is None else again)
    await setup.get_by_role("button", name="Set the password").click()


async def signs_in(setup: Page, email: str, password: str = PASSWORD) -> None:
    """From the setup page to the instance, and in by its own form."""
    await setup.get_by_role("link", name="Sign in").click()
    await setup.get_by_label("E-mail").fill(email)
    await setup.get_by_label("Password").fill(password)
    await setup.get_by_role("button", name="Sign in").click()
    await expect(setup.get_by_role("heading", name="You are in")).to_be_visible()
