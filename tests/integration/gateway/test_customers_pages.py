"""What customers do on their pages: change the plan, give another card, end it. Theirs alone, and once."""

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway import sessions
from keyturn.events import PurchaseOpened, SubscriptionRenewed
from support.gateway import Gateway
from support.journeys import EMAIL, START, Story, hear

pytestmark = pytest.mark.servers
ADA, EVE = UUID(int=7), UUID(int=8)
UNTIL = START + timedelta(days=31)
QUOTE = "01a1fd9d-98b0-713d-9d46-377219884bb3"
PLANS: dict[str, Any] = {
    "plan": "small", "cycle": "monthly", "currency": "USD", "why_not": None, "open": None,
    "items": [
        {"id": "small", "name": "Small", "limits": {"memory": "256M"}, "amount": 4900, "current": True},
        {"id": "large", "name": "<b>Large</b>", "limits": {"memory": "1G"}, "amount": 9900, "current": False},
    ],
}  # fmt: skip
QUOTED: dict[str, Any] = {
    "quote_id": QUOTE, "status": "quoted", "from_plan": "small", "plan": "large", "price": 9900, "unused": 2450,
    "cost": 4950, "tax_added": 0, "charge": 2500, "credit": 0, "currency": "USD", "cycle": "monthly",
    "next_price": 9900, "full_price": 9900, "discounted": 0, "paid_until": UNTIL.isoformat(),
    "expires_at": (START + timedelta(minutes=15)).isoformat(),
}  # fmt: skip
OPENED = {"purchase_id": "p", "amount": 2500, "currency": "USD", "plan": "small", "url": "https://checkout.example/3"}


def answering(document: Any, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json=document)


def refusing(code: str, status: int = 409, detail: str = "No.") -> Callable[[httpx.Request], httpx.Response]:
    return answering({"code": code, "detail": detail, "status": status}, status)


async def sign_in(gateway: Gateway, customer: UUID) -> None:
    async with gateway.service.database.transaction("test") as tx:
        token = await sessions.begin(tx, customer)
    gateway.client.cookies.clear()
    gateway.client.cookies.set("__Host-keyturn_session", token)


async def story_of(gateway: Gateway, customer: UUID, **opened: Any) -> Story:
    story, his = Story(), {"customer_id": str(customer)}
    story.opened = story.opened.model_copy(update=opened)
    told = [event.model_copy(update=his) if hasattr(event, "customer_id") else event for event in story.whole]
    began = SubscriptionRenewed(
        subject=str(story.id), time=START + timedelta(days=1), state="active", period=1, period_from=START,
        period_until=UNTIL, renews_at=UNTIL, currency="USD", amount=4900, payment_id="p", cycle="monthly",
        next_price=4900, full_price=4900,
    )  # fmt: skip
    await hear(gateway.service.database, *told, began)
    path = f"/internal/subscriptions/{story.id}"
    gateway.services.answers |= {f"{path}/plans": answering(PLANS), f"{path}/plan/quote": answering(QUOTED)}
    return story


@pytest.fixture
async def story(gateway: Gateway) -> Story:
    """What a customer has who is signed in, without any cookie of the order."""
    told = await story_of(gateway, ADA)
    await sign_in(gateway, ADA)
    return told


def sent(gateway: Gateway) -> tuple[str, Any]:
    last = gateway.services.asked[-1]
    return last.url.path, json.loads(last.content) if last.content else None


async def test_a_plan_is_chosen_quoted_and_accepted_and_leads_to_the_payment_page(
    gateway: Gateway, story: Story
) -> None:
    mine = f"/purchases/{story.id}"
    assert f'href="{mine}/plan"' in (await gateway.client.get(mine)).text
    choosing = (await gateway.client.get(f"{mine}/plan")).text
    assert all(text in choosing for text in ("$99.00", "1 GB memory", "&lt;b&gt;Large", "You have Small now"))
    assert 'value="small"' not in choosing
    quoted = (await gateway.client.post(f"{mine}/plan/quote", data={"plan": "large"})).text
    for text in ("You pay <strong>$25.00</strong> now", "$49.50", "-$24.50", "$99.00 a month", f'value="{QUOTE}"'):
        assert text in quoted
    assert [one.url.path for one in gateway.services.asked][-2].endswith("/plan/quote")
    gateway.services.answers[f"/internal/subscriptions/{story.id}/plan"] = answering(
        QUOTED | {"status": "open", "checkout": OPENED | {"plan": "large", "plan_name": "Larger"}}
    )
    for _ in range(2):  # a double click
        paying = await gateway.client.post(f"{mine}/plan", data={"quote": QUOTE})
        assert paying.headers["refresh"] == "1; url=https://checkout.example/3"
        assert sent(gateway) == (f"/internal/subscriptions/{story.id}/plan", {"quote_id": QUOTE})
    assert "Larger" in paying.text


async def test_what_gives_money_back_or_is_even_is_changed_at_once(gateway: Gateway, story: Story) -> None:
    path = f"/internal/subscriptions/{story.id}/plan"
    cheaper = QUOTED | {"charge": 0, "credit": 700, "discounted": 2, "next_price": 3000, "full_price": 4900}
    gateway.services.answers[f"{path}/quote"] = answering(cheaper)
    quoted = (await gateway.client.post(f"/purchases/{story.id}/plan/quote", data={"plan": "large"})).text
    assert "<strong>$7.00</strong> is your credit" in quoted
    assert "$30.00 for the next 2 payments, then $49.00 a month" in quoted
    gateway.services.answers[f"{path}/quote"] = answering(cheaper | {"credit": 0})
    quoted = (await gateway.client.post(f"/purchases/{story.id}/plan/quote", data={"plan": "large"})).text
    assert "nothing is to be paid for that" in quoted
    gateway.services.answers[path] = answering(cheaper | {"status": "applying"})
    changed = await gateway.client.post(f"/purchases/{story.id}/plan", data={"quote": QUOTE})
    assert "Your install is being changed" in changed.text


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("quote_expired", 409, "holds for a quarter of an hour, and that is over"),
        ("quote_outdated", 409, "Something has changed since"),
        ("quote_unknown", 404, "Please choose once more"),
        ("cannot_change_plan", 409, "Another change is under way."),
    ],
)
async def test_an_offer_that_does_not_hold_any_more_leads_back_to_the_choice(
    gateway: Gateway, story: Story, code: str, status: int, words: str
) -> None:
    path = f"/internal/subscriptions/{story.id}/plan"
    gateway.services.answers[path] = refusing(code, status, "Another change is under way.")
    refused = await gateway.client.post(f"/purchases/{story.id}/plan", data={"quote": QUOTE})
    assert refused.status_code == status
    assert words in refused.text
    assert "See what it costs" in refused.text


async def test_what_cannot_be_quoted_or_read_changes_nothing(gateway: Gateway, story: Story) -> None:
    mine, path = f"/purchases/{story.id}", f"/internal/subscriptions/{story.id}"
    assert "Please choose a plan." in (await gateway.client.post(f"{mine}/plan/quote", data={})).text
    gateway.services.answers[f"{path}/plan/quote"] = refusing("unknown_plan", 422, "There is no plan 'x'.")
    refused = await gateway.client.post(f"{mine}/plan/quote", data={"plan": "x"})
    assert (refused.status_code, "There is no plan &#39;x&#39;." in refused.text) == (422, True)
    for wrong in ({}, {"quote": "x"}):
        assert (await gateway.client.post(f"{mine}/plan", data=wrong)).status_code == 422
    assert (await gateway.client.post(f"{mine}/plan/quote", data={"plan": "x" * 64})).status_code == 422
    gateway.services.answers[f"{path}/plan/quote"] = refusing("billing_unavailable", 503)
    assert "Back in a moment" in (await gateway.client.post(f"{mine}/plan/quote", data={"plan": "large"})).text


async def test_a_change_that_waits_for_its_payment_can_be_paid_and_one_that_cannot_be_made_is_explained(
    gateway: Gateway, story: Story
) -> None:
    path = f"/internal/subscriptions/{story.id}/plans"
    gateway.services.answers[path] = answering(PLANS | {"open": QUOTED, "why_not": "Another change is under way."})
    shown = (await gateway.client.get(f"/purchases/{story.id}/plan")).text
    assert "waits for $25.00" in shown
    assert f'action="/purchases/{story.id}/pay"' in shown
    gateway.services.answers[path] = answering(PLANS | {"why_not": "It is suspended."})
    shown = (await gateway.client.get(f"/purchases/{story.id}/plan")).text
    assert "It cannot be changed now. It is suspended." in shown
    assert "<form" not in shown
    gateway.services.answers[path] = answering(PLANS | {"items": PLANS["items"][:1]})
    assert "There is no other plan" in (await gateway.client.get(f"/purchases/{story.id}/plan")).text


async def test_another_card_is_given_at_the_provider_or_with_what_is_owed(gateway: Gateway, story: Story) -> None:
    path = f"/internal/subscriptions/{story.id}/card"
    gateway.services.answers[path] = answering({"url": "https://cards.example/1"})
    page = await gateway.client.post(f"/purchases/{story.id}/card")
    assert page.headers["refresh"] == "1; url=https://cards.example/1"
    assert sent(gateway) == (path, {"return_url": f"https://shop.example/purchases/{story.id}"})
    window = {"subscription_id": "sub_1", "key_id": "rzp_1", "subscription_card_change": True}
    gateway.services.answers[path] = answering(window)
    page = await gateway.client.post(f"/purchases/{story.id}/card")
    given = re.search(r'data-razorpay="([^"]+)"', page.text)
    assert given
    options = json.loads(html.unescape(given[1]))
    assert 'data-closed="Your card is as it was.' in page.text
    assert "paying twice" not in page.text
    assert options == {"subscription_id": "sub_1", "key": "rzp_1", "subscription_card_change": 1, "prefill": {}}
    said = (await gateway.client.post(f"/api/install/{story.id}/card")).json()
    assert said == {"subscriptionId": "sub_1", "keyId": "rzp_1", "subscriptionCardChange": True}
    gateway.services.answers[path] = answering(OPENED)
    assert "$25.00" in (await gateway.client.post(f"/purchases/{story.id}/card")).text
    gateway.services.answers[path] = answering({name: value for name, value in OPENED.items() if name != "url"})
    assert "Nothing is to be paid now." in (await gateway.client.post(f"/purchases/{story.id}/card")).text


async def test_it_is_ended_at_once_where_that_is_asked_for(gateway: Gateway, story: Story) -> None:
    path = f"/internal/subscriptions/{story.id}/cancel"
    gateway.services.answers[path] = answering({})
    ended = await gateway.client.post(f"/purchases/{story.id}/cancel", data={"when": "now"})
    assert "It has ended." in ended.text
    assert sent(gateway) == (path, {"when": "now"})
    assert (await gateway.client.post(f"/purchases/{story.id}/cancel", data={"when": "ever"})).status_code == 422
    assert sent(gateway) == (path, {"when": "now"})


FORMS = ("plan/quote", "plan", "card", "cancel", "keep", "pause", "resume", "pay")
FILLED = {"plan": "large", "quote": QUOTE, "when": "now"}


async def test_another_customers_purchase_answers_like_one_that_does_not_exist(gateway: Gateway, story: Story) -> None:
    hers = await story_of(gateway, EVE)
    gateway.services.asked.clear()
    for act in FORMS:
        answers = [await gateway.client.post(f"/purchases/{one}/{act}", data=FILLED) for one in (hers.id, uuid4())]
        assert [answer.status_code for answer in answers] == [404, 404], act
        assert answers[0].text == answers[1].text
    for path in ("plan", "invoices"):
        answers = [await gateway.client.get(f"/purchases/{one}/{path}") for one in (hers.id, uuid4())]
        assert [answer.status_code for answer in answers] == [404, 404], path
    assert gateway.services.asked == []


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}])
async def test_a_form_of_another_site_does_nothing(gateway: Gateway, story: Story, headers: dict[str, str]) -> None:
    for act in FORMS:
        answer = await gateway.client.post(f"/purchases/{story.id}/{act}", data=FILLED, headers=headers)
        assert answer.status_code == 403, act
    assert gateway.services.asked == []


async def test_the_account_has_each_purchase_with_its_forms_and_the_credit(gateway: Gateway, story: Story) -> None:
    standing = {
        "status": "active", "plan": "large", "period_from": START.isoformat(), "period_until": UNTIL.isoformat(),
        "renews_at": UNTIL.isoformat(), "cancel_at_period_end": False, "resumes_at": None, "due": None,
        "charges_at": None, "suspends_at": None, "deletes_at": None, "collection": "keyturn", "cycle": "monthly",
        "next_price": 8910, "full_price": 9900, "discounted": 1,
    }  # fmt: skip
    bought = {
        "id": str(story.id), "product": "shop", "plan": "small", "cycle": "monthly", "amount": 4410, "currency": "USD",
        "discount": 490, "coupon": "TEN", "refunded": 0, "status": "paid", "created_at": START.isoformat(),
        "subscription": standing,
    }  # fmt: skip
    customer = {"id": str(ADA), "email": EMAIL, "name": "Ada", "erasure_wanted_at": None}
    credit = [{"currency": "USD", "balance": 700}, {"currency": "EUR", "balance": 0}]
    told = {"customer": customer, "credit": credit, "items": [bought], "cursor": None}
    gateway.services.answers[f"/internal/customers/{ADA}/purchases"] = answering(told)
    shown = (await gateway.client.get("/account")).text
    for text in (
        "Your credit is $7.00", "Large", "$99.00 a month", "Active", "TEN, $4.90 less: $89.10 for the next payment",
        "ada.example", f'datetime="{UNTIL.isoformat()}"', f'datetime="{START.isoformat()}"',
        f'href="/purchases/{story.id}/invoices"', f'href="/purchases/{story.id}/plan"',
    ):  # fmt: skip
        assert text in shown, text
    posted = set(re.findall(rf'action="/purchases/{story.id}/(\w+)"', shown))
    assert posted == {"card", "pause", "cancel"}
    assert "EUR" not in shown
    said = (await gateway.client.get("/api/account")).json()
    assert said["credit"] == credit[:1]
    install = said["purchases"]["items"][0]["install"]
    assert (install["coupon"], install["subscription"]["nextPrice"]) == ("TEN", 8910)


async def test_the_status_page_says_what_a_coupon_takes_off_before_it_is_paid(gateway: Gateway, story: Story) -> None:
    later = {"coupon": "TEN", "discount": 490, "amount": 4410, "cycle": "monthly", "next_price": 4900}
    fresh = await story_of(gateway, ADA, **later, full_price=4900)
    unpaid = Story()
    opened = PurchaseOpened(**fresh.opened.model_dump() | {"subject": str(unpaid.id), "customer_id": str(ADA)} | later)
    await hear(gateway.service.database, opened.model_copy(update={"id": uuid4(), "full_price": 4900}))
    shown = (await gateway.client.get(f"/purchases/{unpaid.id}")).text
    assert "TEN, $4.90 less: $49.00 a month from the next payment on" in shown
