"""Recurring purchases at the edge: what their customer may do, what operators may, and nobody else anything."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from keyturn.events import SubscriptionRenewalDue, SubscriptionRenewed
from support.gateway import Gateway
from support.journeys import EMAIL, START, Story, hear

pytestmark = pytest.mark.servers
UNTIL = START + timedelta(days=31)
STANDS: dict[str, Any] = {
    "purchase_id": "p",
    "status": "active",
    "period_from": START.isoformat(),
    "period_until": UNTIL.isoformat(),
    "renews_at": None,
    "cancel_at_period_end": True,
    "resumes_at": None,
    "held_since": None,
}
SEEN = {
    "status": "active",
    "periodFrom": START.isoformat(),
    "periodUntil": UNTIL.isoformat(),
    "renewsAt": None,
    "cancelAtPeriodEnd": True,
    "resumesAt": None,
}


def answering(document: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, json=document)


@pytest.fixture
async def story(gateway: Gateway) -> Story:
    """A customer whose next period can be paid, and whose browser has proven whose it is."""
    told = Story()
    now = {
        "subject": str(told.id),
        "time": START + timedelta(days=1),
        "state": "active",
        "period": 1,
        "currency": "USD",
    }
    now |= {"period_from": START, "period_until": UNTIL, "renews_at": UNTIL}
    renewed = SubscriptionRenewed(**now, amount=4900, payment_id="p")
    due = SubscriptionRenewalDue(**now | {"time": START + timedelta(days=24)}, due=4900)
    await hear(gateway.service.database, *told.whole, renewed, due)
    await gateway.client.post(f"/purchases/{told.id}", data={"email": EMAIL})
    return told


async def test_status_and_page_say_until_when_it_is_paid_and_what_is_due(gateway: Gateway, story: Story) -> None:
    seen = (await gateway.client.get(f"/api/install/{story.id}")).json()["subscription"]
    nothing: dict[str, Any] = {"chargesAt": None, "suspendsAt": None, "deletesAt": None, "collection": "keyturn"}
    nothing |= {"nextPrice": None, "fullPrice": None, "discounted": 0}
    assert seen == SEEN | nothing | {"renewsAt": UNTIL.isoformat(), "cancelAtPeriodEnd": False, "due": 4900}
    page = (await gateway.client.get(f"/purchases/{story.id}")).text
    assert "$49.00 can be paid now" in page
    assert "Go to the payment page" in page


async def test_what_is_due_is_paid_at_a_checkout_of_its_own(gateway: Gateway, story: Story) -> None:
    opened = {"purchase_id": str(story.id), "amount": 4900, "currency": "USD", "plan": "small", "status": "paid"}
    opened |= {"url": "https://checkout.example/2", "session_id": "cs_2", "provider": "stripe"}
    gateway.services.answers[f"/internal/purchases/{story.id}/checkout"] = answering(opened)
    answer = (await gateway.client.post(f"/api/install/{story.id}/checkout")).json()
    assert (answer["sessionId"], answer["amount"]) == ("cs_2", 4900)
    page = await gateway.client.post(f"/purchases/{story.id}/pay")
    assert page.headers["refresh"] == "1; url=https://checkout.example/2"


async def test_a_customer_cancels_and_takes_it_back_pauses_and_resumes(gateway: Gateway, story: Story) -> None:
    for act, sent in (("cancel", {"when": "period_end"}), ("keep", {}), ("pause", {}), ("resume", {})):
        gateway.services.answers[f"/internal/subscriptions/{story.id}/{act}"] = answering(STANDS)
        answer = await gateway.client.post(f"/api/install/{story.id}/{act}", json=sent)
        assert answer.json() == SEEN
        assert json.loads(gateway.services.asked[-1].content) == sent
        page = await gateway.client.post(f"/purchases/{story.id}/{act}")
        assert json.loads(gateway.services.asked[-1].content) == sent
        assert (page.status_code, gateway.services.asked[-1].url.path.split("/")[-1]) == (200, act)


async def test_without_proof_nothing_is_asked(gateway: Gateway, story: Story) -> None:
    gateway.client.cookies.clear()
    for act in ("checkout", "card", "cancel", "keep", "pause", "resume"):
        answer = await gateway.client.post(f"/api/install/{story.id}/{act}", json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "install_not_found")
    for act in ("pay", "card", "cancel", "keep", "pause", "resume", "plan/quote"):
        assert (await gateway.client.post(f"/purchases/{story.id}/{act}")).status_code == 404
    assert (await gateway.client.get(f"/purchases/{story.id}/plan")).status_code == 404
    accepting = await gateway.client.post(f"/purchases/{story.id}/plan", data={"quote": QUOTE["quote_id"]})
    assert accepting.status_code == 404
    assert gateway.services.asked == []


async def test_operators_see_and_cancel_them_and_say_why(gateway: Gateway, story: Story, admin: str) -> None:
    headers = {"authorization": f"Bearer {admin}"}
    gateway.services.answers["/internal/subscriptions"] = answering({"items": [STANDS], "cursor": "c"})
    listed = (await gateway.client.get("/api/subscriptions?status=active", headers=headers)).json()
    assert (listed["items"][0]["periodUntil"], listed["nextCursor"]) == (UNTIL.isoformat(), "c")
    assert gateway.services.asked[-1].url.query == b"status=active&limit=50"
    for act in ("cancel", "keep", "pause", "resume"):
        path = f"/api/subscriptions/{story.id}/{act}"
        gateway.services.answers[f"/internal/subscriptions/{story.id}/{act}"] = answering(STANDS)
        assert (await gateway.client.post(path, json={}, headers=headers)).status_code == 422
        answer = await gateway.client.post(path, json={"reason": "by phone", "when": "now"}, headers=headers)
        assert answer.json()["cancelAtPeriodEnd"] is True
        assert json.loads(gateway.services.asked[-1].content)["reason"] == "by phone"


QUOTE: dict[str, Any] = {"quote_id": "01a1fd9d-98b0-713d-9d46-377219884bb3", "status": "open", "charge": 900}


async def test_another_plan_is_quoted_and_accepted_with_a_checkout_where_something_is_to_be_paid(
    gateway: Gateway, story: Story
) -> None:
    path = f"/internal/subscriptions/{story.id}/plan"
    gateway.services.answers[f"{path}/quote"] = answering(QUOTE)
    quoted = (await gateway.client.post(f"/api/install/{story.id}/plan/quote", json={"planId": 2})).json()
    assert (quoted["quoteId"], quoted["charge"]) == (QUOTE["quote_id"], 900)
    assert json.loads(gateway.services.asked[-1].content) == {"plan_id": 2}
    opened = {"purchase_id": str(story.id), "amount": 900, "currency": "USD", "session_id": "cs_3"}
    gateway.services.answers[path] = answering(QUOTE | {"checkout": opened | {"url": "https://checkout.example/3"}})
    accepted = (await gateway.client.post(f"/api/install/{story.id}/plan", json={"quoteId": quoted["quoteId"]})).json()
    assert (accepted["status"], accepted["checkout"]["url"]) == ("open", "https://checkout.example/3")
    gateway.services.answers[path] = answering(QUOTE | {"status": "applying"})
    accepted = (await gateway.client.post(f"/api/install/{story.id}/plan", json={"quoteId": quoted["quoteId"]})).json()
    assert "checkout" not in accepted
    wrong = await gateway.client.post(f"/api/install/{story.id}/plan", json={"quoteId": "x"})
    assert wrong.status_code == 422
    gateway.client.cookies.clear()
    for act in ("plan", "plan/quote"):
        nobody = await gateway.client.post(f"/api/install/{story.id}/{act}", json=QUOTE | {"planId": 2})
        assert nobody.status_code in {404, 422}


async def test_an_operator_changes_a_plan_and_says_why(gateway: Gateway, story: Story, admin: str) -> None:
    headers, path = {"authorization": f"Bearer {admin}"}, f"/internal/subscriptions/{story.id}/plan"
    gateway.services.answers |= {path: answering(QUOTE), f"{path}/quote": answering(QUOTE)}
    mine = f"/api/subscriptions/{story.id}/plan"
    assert (await gateway.client.post(f"{mine}/quote", json={"planId": "pro"}, headers=headers)).json()["charge"] == 900
    asked = {"quoteId": QUOTE["quote_id"], "reason": "by phone"}
    assert (await gateway.client.post(mine, json=asked, headers=headers)).json()["status"] == "open"
    assert json.loads(gateway.services.asked[-1].content) == {"quote_id": QUOTE["quote_id"], "reason": "by phone"}
    assert (await gateway.client.post(mine, json={"quoteId": QUOTE["quote_id"]}, headers=headers)).status_code == 422
