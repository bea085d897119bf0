"""One browser and one whole system for all tests here; each test has browser profiles of its own."""

import os
import secrets
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect
from pydantic import SecretStr

from gateway.access import Access
from gateway.api.proofs import cookie_name
from keyturn.database import Database
from keyturn.events import Event
from support import browser
from support.browser import Accessible, BrowserMissing, OpenPage, Tell, Watch, complaints
from support.buyer import Buyer, NewBuyer
from support.databases import Databases
from support.journeys import hear
from support.whole import Whole, whole


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    try:
        found = browser.program()
    except BrowserMissing as missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))
    expect.set_options(timeout=browser.PATIENCE)
    async with browser.launched(found) as running:
        yield running


@pytest.fixture(scope="session")
async def shop(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> AsyncIterator[Whole]:
    async with whole("memory", tmp_path_factory.mktemp("shop"), databases) as running:
        yield running


@pytest.fixture
async def open_page(chromium: Browser, shop: Whole) -> AsyncIterator[OpenPage]:
    """`await open_page()`: a page of a new profile. At the end nothing may have gone wrong unseen in any of them."""
    made: list[tuple[BrowserContext, Watch]] = []

    async def begin(**options: Any) -> Page:
        address = f"198.51.100.{secrets.randbelow(250)}"  # each person their own, as the rate limits count them
        context = await chromium.new_context(extra_http_headers={"X-Forwarded-For": address}, **options)
        context.set_default_timeout(browser.PATIENCE)
        watch = Watch(shop.system.url)
        watch.over(context)
        made.append((context, watch))
        return await context.new_page()

    yield begin
    for context, _ in made:
        await context.close()
    assert [one for _, watch in made for one in watch.wrong] == []


@pytest.fixture
def buyer(open_page: OpenPage, shop: Whole) -> NewBuyer:
    async def begin(**options: Any) -> Buyer:
        return Buyer(await open_page(**options), shop, shop.email())

    return begin


@pytest.fixture
async def tell(shop: Whole) -> AsyncIterator[Tell]:
    """Lets the gateway hear these events, and this page's browser see their purchase."""
    database = Database(shop.system.databases["gateway"], service="gateway", clock=shop.system.clock)

    async def heard(page: Page, purchase: UUID, *events: Event) -> None:
        await hear(database, *events)
        access = Access(SecretStr(shop.system.environment("gateway")["SESSION_KEY"])).sign(
            purchase, "access", shop.system.clock.now()
        )
        await page.context.add_cookies([{"name": cookie_name(purchase), "value": access, "url": shop.system.url}])

    yield heard
    await database.close()


@pytest.fixture
def accessible() -> Accessible:
    """Nothing for axe to complain about, in any look; the page's profile must bypass the policy."""

    async def check(page: Page) -> None:
        assert await complaints(page) == [], page.url

    return check
