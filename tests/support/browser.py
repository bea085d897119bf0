"""A real browser, which is looked for in this order: the program that CHROMIUM names, Debian's on this machine, the same
after installing the package as root.

Whatever a page does that a person would not see, but should not be, is collected while it is used.
"""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from ctypes.util import find_library
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

import axe_playwright_python
import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, async_playwright

from keyturn.events import Event

MARKS = [pytest.mark.servers, pytest.mark.xdist_group("browser")]  # one system and one browser for all of them
CHROMIUM = "CHROMIUM"
INSTALLED = Path("/usr/bin/chromium")
PACKAGES = ("chromium", "fonts-dejavu-core", "libatomic1")  # the last is for the driver, which the wheel brings
PATIENCE = 20_000.0  # milliseconds, for whatever a page is waited for
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
SCHEMES = ("light", "dark")
WIDTHS = {"desktop": 1280, "phone": 375}
NARROWEST = 320
HEADERS = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}
POLICY = ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'")


class OpenPage(Protocol):
    """A page of a new profile, with these options of it."""

    def __call__(self, **options: Any) -> Awaitable[Page]: ...


class Tell(Protocol):
    """Lets the gateway hear these events, and this page's browser see their purchase."""

    def __call__(self, page: Page, purchase: UUID, *events: Event) -> Awaitable[None]: ...


class Accessible(Protocol):
    """Nothing for axe to complain about, in any look; the page's profile must bypass the policy."""

    def __call__(self, page: Page) -> Awaitable[None]: ...


class BrowserMissing(Exception):
    """Says why there is none."""


def program() -> Path:
    """Raises `BrowserMissing`."""
    found = Path(os.environ.get(CHROMIUM) or INSTALLED)
    if found == INSTALLED and not (found.exists() and find_library("atomic")):
        _install()
    if not found.exists():
        raise BrowserMissing(f"no browser: there is no {found}")
    return found


def _install() -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BrowserMissing(f"no browser: {CHROMIUM} not given, not installed, and not root on Debian")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    options = ("-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")
    try:
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", *options, *PACKAGES]):
            subprocess.run(command, check=True, capture_output=True, env=environment)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BrowserMissing(f"no browser: installing it failed: {error}") from None


@asynccontextmanager
async def launched(found: Path) -> AsyncIterator[Browser]:
    # Chromium's own sandbox needs rights that containers seldom give; it opens nothing here but our own pages.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        await browser.close()


@dataclass
class Watch:
    """What went wrong unseen in one person's browser. `shop`: the origin whose pages must bear the security headers."""

    shop: str
    wrong: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        context.on("console", self._said)
        context.on("weberror", lambda error: self.wrong.append(f"error in a script: {error.error}"))
        context.on("request", self._asked)
        context.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        # A refused form is 4xx, and the browser notes that; of what a page loads by itself `_answered` takes care.
        if message.type == "error" and not message.text.startswith("Failed to load resource: the server responded"):
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.wrong.append(f"left this machine: {request.url}")

    def _answered(self, response: Response) -> None:
        kind, url = response.request.resource_type, response.url
        if kind not in ("document", "fetch") and response.status >= 400:
            self.wrong.append(f"{response.status} of {kind} {url}")
        if kind == "document" and url.startswith(self.shop) and not 300 <= response.status < 400:
            self.wrong += [f"{url}: {lacks}" for lacks in lacking(response.headers)]


def lacking(headers: dict[str, str]) -> list[str]:
    """What a page's headers should have, and have not."""
    policy = [directive.strip() for directive in headers.get("content-security-policy", "").split(";")]
    missing = [f"no {directive} in its policy" for directive in POLICY if directive not in policy]
    scripts = next((one for one in policy if one.startswith("script-src")), "script-src *")
    unsafe = [f"its policy has {scripts}"] if "unsafe" in scripts or "*" in scripts else []
    return missing + unsafe + [f"no {k}: {v}" for k, v in HEADERS.items() if v not in headers.get(k, "")]


async def complaints(page: Page) -> list[str]:
    """What axe finds on a desktop and a phone, in light and dark; and whether the page is wider than a small phone.

    The page's context must have been made with `bypass_csp`.
    """
    found: list[str] = []
    await page.evaluate(AXE)
    for device, width in WIDTHS.items():
        await page.set_viewport_size({"width": width, "height": 800})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}  # all that colours can change
            result: dict[str, Any] = await page.evaluate("rules => axe.run(rules)", rules)
            for one in result["violations"]:
                where = [node["html"][:100] for node in one["nodes"][:3]]
                found.append(f"{device}, {scheme}: {one['id']}: {one['help']}: {where}")
    await page.set_viewport_size({"width": NARROWEST, "height": 800})
    wide = await page.evaluate("document.documentElement.scrollWidth")
    return [*found, f"{wide} wide at {NARROWEST}"] if wide > NARROWEST else found
