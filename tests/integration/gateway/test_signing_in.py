"""Customers sign in by a mailed link, and see and do what is theirs, and nothing else."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.api.subscriptions import SEEN
from gateway.handlers import HANDLERS, WORK
from gateway.sessions import IDLE, LIFE, NEW_TOKEN_EVERY
from gateway.signing_in import LINK_LIFE, MAILS
from keyturn.clock import MovableClock
from keyturn.worker import Worker
from support.gateway import Gateway
from support.journeys import EMAIL, Story, hear

pytestmark = pytest.mark.servers
ADA = UUID(int=7)
COOKIE = "__Host-keyturn_session"


def answering(document: Any, status: int = 200) -> Any:
    return lambda _: httpx.Response(status, json=document)


async def work(gateway: Gateway) -> None:
    worker = Worker(gateway.service.database, WORK, gateway.service.deps, handlers=HANDLERS)
    while await worker._claim() or worker._running:
        await asyncio.gather(*worker._running)


async def link_for(gateway: Gateway) -> str:
    """The token at the end of the link that was mailed."""
    found = {"customer_id": str(ADA), "purchase_id": str(uuid4())}
    gateway.services.answers["/internal/customers/find"] = answering(found)
    gateway.services.answers["/internal/messages/sign-in"] = answering({}, 202)
    asked = await gateway.client.post("/account", data={"email": EMAIL})
    assert asked.status_code == 200
    await work(gateway)
    sent = json.loads(gateway.services.asked[-1].content)
    assert sent["purchase_id"] == found["purchase_id"]
    return str(sent["token"])


async def signed_in(gateway: Gateway) -> None:
    answer = await gateway.client.post(f"/account/enter/{await link_for(gateway)}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")


async def story_of(gateway: Gateway, customer: UUID) -> Story:
    story, his = Story(), {"customer_id": str(customer)}
    told = [event.model_copy(update=his) if hasattr(event, "customer_id") else event for event in story.whole]
    await hear(gateway.service.database, *told)
    return story


def bought(story: Story, **more: Any) -> dict[str, Any]:
    plain = {"id": str(story.id), "product": "shop", "plan": "small", "cycle": "monthly", "amount": 4900}
    plain |= {"currency": "USD", "refunded": 0, "status": "paid", "created_at": "2026-12-01T10:00:00+00:00"}
    return plain | {"subscription": None} | more


def has_bought(gateway: Gateway, *purchases: dict[str, Any], cursor: str | None = None) -> None:
    customer = {"id": str(ADA), "email": EMAIL, "name": "Ada", "erasure_wanted_at": None}
    told = {"customer": customer, "items": list(purchases), "cursor": cursor}
    gateway.services.answers[f"/internal/customers/{ADA}/purchases"] = answering(told)


async def test_rule_13_looking_at_the_link_changes_nothing_and_one_post_signs_in(gateway: Gateway) -> None:
    token = await link_for(gateway)
    for _ in range(2):
        page = await gateway.client.get(f"/account/enter/{token}")
        assert (page.status_code, token in page.text, page.headers["referrer-policy"]) == (200, False, "no-referrer")
    answers = await asyncio.gather(*(gateway.client.post(f"/account/enter/{token}") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [303, 410, 410, 410, 410]
    (cookie,) = [answer.headers["set-cookie"].lower() for answer in answers if answer.status_code == 303]
    assert all(flag in cookie for flag in ("httponly", "secure", "samesite=lax", "path=/", COOKIE.lower()))
    assert "domain" not in cookie
    assert (await gateway.client.post("/api/account/session", json={"token": token})).status_code == 410


async def test_a_link_ends_soon_and_only_digests_are_stored(gateway: Gateway, clock: MovableClock) -> None:
    token = await link_for(gateway)
    tables = [await gateway.rows(f"SELECT * FROM {table}") for table in ("sign_in_links", "work")]
    assert token not in str(tables)
    assert EMAIL not in str(tables)  # once the link is sent nobody needs it
    clock.move(LINK_LIFE)
    answer = await gateway.client.post(f"/account/enter/{token}")
    assert answer.status_code == 410
    assert "Send me a link" in answer.text


async def test_who_is_no_customer_hears_the_same_and_gets_no_mail(gateway: Gateway) -> None:
    await link_for(gateway)
    known = await gateway.client.post("/account", data={"email": EMAIL})
    gateway.services.answers["/internal/customers/find"] = answering({"code": "customer_unknown", "detail": ""}, 404)
    gateway.services.asked.clear()
    unknown = await gateway.client.post("/account", data={"email": EMAIL.replace("ada", "eve")})
    assert gateway.services.asked == []  # nobody waits for what only works for some
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text.replace("eve", "ada"))
    api = await gateway.client.post("/api/account/link", json={"email": "eve@example.net"})
    assert (api.status_code, api.json()) == (202, {"success": True})
    await work(gateway)
    assert "/internal/messages/sign-in" not in {request.url.path for request in gateway.services.asked}
    assert (
        await gateway.rows("SELECT 1 FROM work WHERE kind = 'sign_in' AND (state <> 'done' OR payload <> '{}')") == []
    )


async def test_a_service_that_is_away_is_asked_again_until_nobody_waits(gateway: Gateway, clock: MovableClock) -> None:
    await gateway.client.post("/account", data={"email": EMAIL})
    await work(gateway)
    (row,) = await gateway.rows("SELECT state, attempts FROM work WHERE kind = 'sign_in'")
    assert (row.state, row.attempts) == ("open", 1)
    clock.move(LINK_LIFE)
    await work(gateway)
    (row,) = await gateway.rows("SELECT state, payload FROM work WHERE kind = 'sign_in'")
    assert (row.state, row.payload) == ("done", {})


async def test_nobodys_mailbox_is_filled_and_no_wrong_address_is_kept(gateway: Gateway) -> None:
    for number in range(4):
        answer = await gateway.client.post("/account", data={"email": EMAIL.upper() if number % 2 else EMAIL})
    assert answer.status_code == 429
    for wrong in ("nobody", "a b@example.com", "a@b@c", "a\0@example.com", ""):
        assert (await gateway.client.post("/api/account/link", json={"email": wrong})).status_code == 422
    assert (await gateway.client.post("/account", data={"email": "nobody"})).status_code == 422
    assert await gateway.count("work") == 3


async def test_other_spellings_of_an_address_fill_no_mailbox_either(gateway: Gateway) -> None:
    """Mail goes to `example.net` whether its letters are wide or not: billing finds one customer by all of them."""
    found = {"customer_id": str(ADA), "purchase_id": str(uuid4())}
    gateway.services.answers["/internal/customers/find"] = answering(found)
    gateway.services.answers["/internal/messages/sign-in"] = answering({}, 202)
    name, _, domain = EMAIL.partition("@")
    for letter in domain.replace(".", "")[:6]:
        wide = domain.replace(letter, chr(ord(letter) + 0xFEE0), 1)
        asked = await gateway.client.post("/api/account/link", json={"email": f"{name}@{wide}"})
        assert asked.status_code == 202
    await work(gateway)
    mailed = [one for one in gateway.services.asked if one.url.path == "/internal/messages/sign-in"]
    assert len(mailed) == MAILS.burst
    assert await gateway.count("sign_in_links") == MAILS.burst


async def test_a_mail_that_is_tried_again_is_counted_once(gateway: Gateway, clock: MovableClock) -> None:
    found = {"customer_id": str(ADA), "purchase_id": str(uuid4())}
    gateway.services.answers["/internal/customers/find"] = answering(found)
    gateway.services.answers["/internal/messages/sign-in"] = answering({"code": "away", "detail": ""}, 503)
    await gateway.client.post("/account", data={"email": EMAIL})
    for _ in range(MAILS.burst + 1):
        await work(gateway)
        clock.move(timedelta(seconds=31))
    gateway.services.answers["/internal/messages/sign-in"] = answering({}, 202)
    gateway.services.asked.clear()
    await work(gateway)
    assert "/internal/messages/sign-in" in {one.url.path for one in gateway.services.asked}


async def test_a_customer_sees_what_they_bought_with_what_is_due_and_how_it_stands(gateway: Gateway) -> None:
    await signed_in(gateway)
    story = await story_of(gateway, ADA)
    until = "2026-12-31T10:00:00+00:00"
    standing: dict[str, Any] = {"status": "active", "period_from": None, "period_until": until, "renews_at": until}
    standing |= {"cancel_at_period_end": False, "due": 900, "next_price": 4900, "full_price": 4900, "discounted": 0}
    has_bought(gateway, bought(story, subscription=standing), cursor="next")
    page = (await gateway.client.get("/account")).text
    for text in (
        EMAIL,
        "$49.00 a month",
        "$9.00 can be paid now",
        "It is yours",
        "ada.example",
        f"/purchases/{story.id}",
    ):
        assert text in page
    assert re.search(rf'action="/purchases/{story.id}/pay"', page)
    assert "/account?cursor=next" in page
    told = (await gateway.client.get("/api/account")).json()
    (one,) = told["purchases"]["items"]
    assert (told["email"], told["purchases"]["nextCursor"], one["id"]) == (EMAIL, "next", str(story.id))
    assert (one["subscription"]["periodUntil"], one["install"]["status"]) == (until, "active")


async def test_the_session_proves_the_customers_own_purchases_and_no_others(gateway: Gateway) -> None:
    await signed_in(gateway)
    mine, hers = await story_of(gateway, ADA), await story_of(gateway, UUID(int=8))
    for story, status in ((mine, 200), (hers, 404)):
        assert (await gateway.client.get(f"/api/install/{story.id}")).status_code == status
        assert (await gateway.client.post(f"/api/journeys/{story.id}/ticket")).status_code == status
        assert ("Is this your order?" in (await gateway.client.get(f"/purchases/{story.id}")).text) == (status == 404)
        stands = dict.fromkeys(SEEN)
        path = f"/internal/subscriptions/{story.id}/cancel"
        gateway.services.answers[path] = answering(stands)
        answer = await gateway.client.post(f"/api/install/{story.id}/cancel", json={})
        assert answer.status_code == status
    unknown = await gateway.client.get(f"/api/install/{uuid4()}")
    other = await gateway.client.get(f"/api/install/{hers.id}")
    assert (unknown.status_code, unknown.text) == (other.status_code, other.text)


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}])
async def test_a_page_elsewhere_does_nothing_in_the_customers_name(gateway: Gateway, headers: dict[str, str]) -> None:
    """A customer's install may stand below our own domain: what it sends has the cookie with it."""
    await signed_in(gateway)
    mine = await story_of(gateway, ADA)
    gateway.services.asked.clear()
    for path in (f"/api/install/{mine.id}/cancel", f"/api/install/{mine.id}/keep", f"/api/journeys/{mine.id}/ticket"):
        assert (await gateway.client.post(path, json={}, headers=headers)).status_code == 404
    assert (await gateway.client.post(f"/purchases/{mine.id}/cancel", headers=headers)).status_code == 403
    assert (await gateway.client.post("/account/leave", headers=headers)).status_code == 403
    await gateway.client.delete("/api/account/session", headers=headers)
    assert gateway.services.asked == []
    gateway.client.cookies.delete(COOKIE)
    assert await gateway.count("sessions") == 1


async def test_a_token_is_replaced_as_it_is_used_and_signing_out_ends_all_of_them(
    gateway: Gateway, clock: MovableClock
) -> None:
    await signed_in(gateway)
    has_bought(gateway)
    first = gateway.client.cookies[COOKIE]
    assert "set-cookie" not in (await gateway.client.get("/account")).headers
    clock.move(NEW_TOKEN_EVERY)
    await gateway.client.get("/account")
    second = gateway.client.cookies[COOKIE]
    assert second != first
    old = {"cookie": f"{COOKIE}={first}"}
    gateway.client.cookies.clear()
    assert (await gateway.client.get("/api/account", headers=old)).status_code == 200  # requests under way
    clock.move(timedelta(minutes=1))
    assert (await gateway.client.get("/api/account", headers=old)).status_code == 401
    now = {"cookie": f"{COOKIE}={second}"}
    assert (await gateway.client.get("/api/account", headers=now)).status_code == 200
    gone = await gateway.client.post("/account/leave", headers=now)
    assert "max-age=0" in gone.headers["set-cookie"].lower()
    assert (await gateway.client.get("/api/account", headers=now)).json()["code"] == "not_signed_in"
    assert "Send me a link" in (await gateway.client.get("/account", headers=now)).text
    assert await gateway.count("sessions") == 0


@pytest.mark.parametrize("days", [IDLE.days, LIFE.days])
async def test_a_session_ends_when_it_is_not_used_and_after_a_month(
    gateway: Gateway, clock: MovableClock, days: int
) -> None:
    await signed_in(gateway)
    has_bought(gateway)
    step = timedelta(days=days if days == IDLE.days else 5)
    for _ in range(timedelta(days=days) // step):
        assert "signed in as" in (await gateway.client.get("/account")).text
        clock.move(step)
    assert "Send me a link" in (await gateway.client.get("/account")).text
    clock.move(LIFE)
    async with gateway.service.database.transaction("test") as tx:
        tx.schedule("delete_expired", "every")
    await work(gateway)
    assert await gateway.count("sessions") == 0
