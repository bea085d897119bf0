"""That nothing goes wrong unseen can only be said if it would be seen."""

from playwright.async_api import Browser

from support.browser import HEADERS, MARKS, POLICY, Watch, lacking
from support.whole import Whole

pytestmark = MARKS
INLINE = "document.body.append(Object.assign(document.createElement('script'), { textContent: '1' }))"
THROWN = "setTimeout(() => { throw new Error('a bug') })"
AWAY = "fetch('http://keyturn.invalid/').catch(() => null)"


async def test_what_goes_wrong_unseen_is_told(chromium: Browser, shop: Whole) -> None:
    seen: list[list[str]] = []
    for bypass in (False, True):
        watch, context = Watch(shop.system.url), await chromium.new_context(bypass_csp=bypass)
        watch.over(context)
        page = await context.new_page()
        await page.goto(shop.system.url)
        assert watch.wrong == []
        for script in (INLINE, THROWN, AWAY):
            await page.evaluate(script)
        await page.evaluate("new Promise(resolve => setTimeout(resolve))")
        await context.close()
        seen.append(watch.wrong)
    strict, open_ = ("\n".join(wrong) for wrong in seen)
    assert "inline script" in strict
    assert "a bug" in strict
    assert "left this machine: http://keyturn.invalid/" in open_


def test_headers_that_are_missing_or_weak_are_told() -> None:
    good = {**HEADERS, "content-security-policy": "; ".join([*POLICY, "script-src 'self'"])}
    assert lacking(good) == []
    assert len(lacking({})) == len(POLICY) + len(HEADERS) + 1
    assert lacking(good | {"content-security-policy": "; ".join([*POLICY, "script-src 'unsafe-inline'"])})
