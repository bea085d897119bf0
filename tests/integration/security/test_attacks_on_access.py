"""What is proof of one thing must not become proof of more, and what a text can hold must not become a failure."""

from typing import Any

import httpx
import pytest

from support.gateway import Gateway
from support.journeys import EMAIL, Story, hear

pytestmark = pytest.mark.servers


@pytest.fixture
async def story(gateway: Gateway) -> Story:
    story = Story()
    await hear(gateway.service.database, story.opened)
    return story


async def token_of(gateway: Gateway, story: Story) -> str:
    answer = await gateway.client.post(f"/api/install/{story.id}/access", json={"email": EMAIL})
    return str(answer.json()["accessToken"])


async def ticket_of(gateway: Gateway, story: Story) -> str:
    proof = {"x-access-token": await token_of(gateway, story)}
    answer = await gateway.client.post(f"/api/journeys/{story.id}/ticket", headers=proof)
    return str(answer.json()["ticket"])


async def test_a_ticket_from_somebodys_history_cannot_be_renewed(gateway: Gateway, story: Story) -> None:
    """It stands in a URL, so it is worth something for two minutes and never for longer."""
    ticket = await ticket_of(gateway, story)
    renewed = await gateway.client.post(f"/api/journeys/{story.id}/ticket?ticket={ticket}")
    assert renewed.status_code == 404


@pytest.mark.parametrize("path", ["/purchases/{0}/link", "/purchases/{0}/pay"])
async def test_a_ticket_changes_nothing(gateway: Gateway, story: Story, path: str) -> None:
    ticket = await ticket_of(gateway, story)
    answer = await gateway.client.post(f"{path.format(story.id)}?ticket={ticket}")
    assert answer.status_code == 404
    assert not gateway.services.asked


async def test_a_ticket_shows_no_install(gateway: Gateway, story: Story) -> None:
    ticket = await ticket_of(gateway, story)
    assert (await gateway.client.get(f"/api/install/{story.id}?ticket={ticket}")).status_code == 404


@pytest.mark.parametrize("path", ["/purchases/{0}/link", "/purchases/{0}/pay"])
async def test_an_operators_token_does_nothing_in_a_customers_name(
    gateway: Gateway, admin: str, story: Story, path: str
) -> None:
    """Those routes ask for no role and write no audit log: a viewer could have had setup links replaced by them."""
    answer = await gateway.client.post(path.format(story.id), headers={"authorization": f"Bearer {admin}"})
    assert answer.status_code == 404
    assert not gateway.services.asked


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}])
@pytest.mark.parametrize("act", ["pause", "keep", "resume", "card", "checkout"])
async def test_a_neighbours_page_does_nothing_with_the_cookie_of_an_order(
    gateway: Gateway, story: Story, act: str, headers: dict[str, str]
) -> None:
    """SameSite lets it through where an install stands below our own domain, and a form needs no body for these."""
    await gateway.client.post(f"/purchases/{story.id}", data={"email": EMAIL})
    assert any(name.startswith("keyturn_access_") for name in gateway.client.cookies)
    answer = await gateway.client.post(f"/api/install/{story.id}/{act}", headers=headers)
    assert answer.status_code == 404
    assert not gateway.services.asked
    assert (await gateway.client.get(f"/api/install/{story.id}", headers=headers)).status_code == 200


@pytest.mark.parametrize("state", ["used", "expired", "replaced"])
async def test_a_dead_setup_link_gives_away_no_proof_of_the_purchase(gateway: Gateway, state: str) -> None:
    """Number and address together open the order's page; links that are over lie about in histories and archives."""
    found = {"state": state, "purchase_id": "018f0000-0000-7000-8000-000000000001", "email": EMAIL, "url": None}
    gateway.services.answers["/internal/setup/lookup"] = lambda _: httpx.Response(200, json=found)
    assert EMAIL not in (await gateway.client.get("/api/setup/t0ken")).text
    assert EMAIL not in (await gateway.client.get("/setup/t0ken")).text


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/install/by-purchase/a%00b"), ("GET", "/api/audit?actor=a%00b"), ("GET", "/api/install/x?a=%00")],
)
async def test_a_nul_in_the_address_is_the_callers_mistake(
    gateway: Gateway, admin: str, method: str, path: str
) -> None:
    answer = await gateway.client.request(method, path, headers={"authorization": f"Bearer {admin}"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_address")


async def test_json_nested_too_deeply_is_the_callers_mistake(gateway: Gateway) -> None:
    sent: dict[str, Any] = {"content": b"[" * 50_000, "headers": {"content-type": "application/json"}}
    answer = await gateway.client.post("/api/checkout/razorpay/confirm", **sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


async def test_a_reason_with_a_nul_is_refused_before_any_service_stores_it(gateway: Gateway, admin: str) -> None:
    path = "/api/purchases/018f0000-0000-7000-8000-000000000001/mark-paid"
    answer = await gateway.client.post(
        path, json={"reason": "paid\0cash"}, headers={"authorization": f"Bearer {admin}"}
    )
    assert answer.status_code == 422
    assert not gateway.services.asked


async def test_forms_and_documents_of_the_gateway_are_small(gateway: Gateway) -> None:
    """A megabyte of a form's separators took half a second of everybody's time to read."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await gateway.client.post("/", content=b"&" * 70_000, headers=form)
    assert answer.status_code == 413
