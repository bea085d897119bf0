"""Rule 13: GET changes nothing, one POST succeeds, and nobody else gets in."""

import asyncio

import httpx
import pytest

from support.ways import IN_MEMORY
from support.whole import Whole

pytestmark = [pytest.mark.servers, IN_MEMORY]


async def _post(system: Whole, link: str, password: str) -> httpx.Response:
    body = {"password": password, "confirmPassword": password}
    return await system.client.post(f"/api/setup/{_token(link)}", json=body)


async def _state(system: Whole, link: str) -> str:
    return str((await system.client.get(f"/api/setup/{_token(link)}")).json()["state"])


def _token(link: str) -> str:
    return link.rsplit("/", 1)[-1]


def _code(answer: httpx.Response) -> str:
    return str(answer.json()["code"])


async def test_rule_13_of_ten_posts_of_one_link_at_once_one_succeeds(system: Whole) -> None:
    bought = await system.buy()
    link = await system.link(bought)
    passwords = [f"password number {number}" for number in range(10)]
    answers = await asyncio.gather(*(_post(system, link, password) for password in passwords))
    taken = [password for password, answer in zip(passwords, answers, strict=True) if answer.is_success]
    assert len(taken) == 1, [answer.status_code for answer in answers]
    refused = {_code(answer) for answer in answers if not answer.is_success}
    assert refused <= {"setup_in_progress", "setup_link_used"}
    await system.wait_for(bought, "install.activated")
    url = (await system.shopper.status(bought))["url"]
    opens = [password for password in passwords if await system.shopper.logs_in(url, bought.email, password)]
    assert opens == taken
    await system.settled()
    await system.assert_exactly_once(bought)


async def test_rule_13_a_used_link_is_refused_and_changes_no_password(system: Whole) -> None:
    bought = await system.buy()
    link = await system.link(bought)
    url = await system.activate(bought)
    answer = await _post(system, link, "somebody else's password")
    assert (answer.status_code, _code(answer)) == (410, "setup_link_used")
    assert await system.shopper.logs_in(url, bought.email, system.password)
    assert await _state(system, link) == "used"


async def test_rule_13_looking_at_a_link_changes_nothing(system: Whole) -> None:
    """As mail scanners do, which follow every link."""
    bought = await system.buy()
    link = await system.link(bought)
    await system.settled()
    before = await system.journey(bought)
    for method, url in (("GET", link), ("HEAD", link), ("GET", f"/api/setup/{_token(link)}")) * 3:
        await system.client.request(method, url)
    await system.settled()
    assert await system.journey(bought) == before
    assert await _state(system, link) == "open"
    await system.activate(bought)


async def test_rule_13_a_new_link_kills_the_old_one(system: Whole) -> None:
    bought = await system.buy()
    old = await system.link(bought)
    await system.tell(f"/api/installs/{bought.purchase_id}/reissue")
    new = await system.link(bought, other_than=old)
    answer = await _post(system, old, "a password that is long")
    assert (answer.status_code, _code(answer)) == (410, "setup_link_replaced")
    await system.activate(bought)
    assert await _state(system, new) == "used"
    await system.settled()
    await system.assert_exactly_once(bought, mails=2)


async def test_rule_13_a_link_of_yesterday_is_refused_and_a_new_one_works(system: Whole) -> None:
    bought = await system.buy()
    old = await system.link(bought)
    system.move(hours=25)
    answer = await _post(system, old, "a password that is long")
    assert (answer.status_code, _code(answer)) == (410, "setup_link_expired")
    await system.tell(f"/api/installs/{bought.purchase_id}/reissue")
    await system.link(bought, other_than=old)
    await system.activate(bought)


async def test_rule_13_a_link_that_never_was_is_told_apart_from_nothing(system: Whole) -> None:
    answer = await _post(system, "/setup/" + "x" * 43, "a password that is long")
    assert (answer.status_code, _code(answer)) == (404, "setup_link_unknown")


async def test_rule_13_a_password_that_the_install_refuses_leaves_the_link_open(system: Whole) -> None:
    bought = await system.buy()
    link = await system.link(bought)
    answer = await _post(system, link, "short")
    assert (answer.status_code, _code(answer)) == (422, "password_refused")
    assert await _state(system, link) == "open"
    await system.activate(bought)
