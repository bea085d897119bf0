"""Whoever asks with an id and no proof learns nothing from the answer: a purchase that exists and one that does not are
told alike, and cost the same statements in every service. Statements are counted, since times tell little in a test."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from keyturn.events import Contact, PurchaseOpened
from support.house import House
from support.journeys import hear

pytestmark = pytest.mark.servers
NOBODY = {"email": "eve@example.com"}
RAZORPAY = {"razorpay_payment_id": "pay_1", "razorpay_signature": "0" * 64}
STRANGER: dict[str, Any] = {"headers": {"x-access-token": "AAAA"}}

ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/api/install/{id}", {}),
    ("GET", "/api/install/{id}", STRANGER),
    ("GET", "/api/install/{id}", {"headers": {"authorization": "Bearer kt_" + "x" * 43}}),
    ("GET", "/api/install/{id}", {"headers": {"authorization": "Bearer x"}}),
    ("POST", "/api/install/{id}/access", {"json": NOBODY}),
    ("POST", "/api/install/{id}/access", {"json": {"email": ""}}),
    ("POST", "/api/journeys/{id}/ticket", STRANGER),
    ("GET", "/api/journeys/{id}/events?ticket=AAAA", {}),
    ("GET", "/api/journeys/{id}", {}),
    ("GET", "/purchases/{id}", {}),
    ("POST", "/purchases/{id}", {"data": NOBODY}),
    ("GET", "/purchases/{id}/progress", STRANGER),
    ("POST", "/purchases/{id}/pay", STRANGER),
    ("POST", "/purchases/{id}/link", STRANGER),
    ("GET", "/checkout/return?purchase={id}&session_id=cs_wrong", {}),
    ("POST", "/api/checkout/razorpay/confirm", {"json": {"purchaseId": "{id}", **RAZORPAY}}),
    ("POST", "/api/checkout/razorpay/confirm", {"data": {"purchaseId": "{id}", **RAZORPAY}}),
]


@pytest.fixture(scope="module")
async def purchase(home: House) -> str:
    """One that billing and the journeys know."""
    order = {"email": "ada@example.com", "subdomain": "adas-shop", "currency": "EUR"}
    opened = await home.client.post("http://gateway/api/checkout", json=order)
    assert opened.status_code == 200, opened.text
    home.client.cookies.clear()
    bought = {name: opened.json()[name] for name in ("product", "plan", "amount", "currency", "provider")}
    event = PurchaseOpened(
        subject=opened.json()["purchaseId"],
        time=home.services["billing"].clock.now(),
        contact=Contact(email="ada@example.com"),
        customer_id="c",
        price="p",
        **bought,
    )
    await hear(home.services["gateway"].database, event)
    return event.subject


@asynccontextmanager
async def statements(home: House) -> AsyncIterator[list[str]]:
    """What every service asks of its database meanwhile."""
    said: list[str] = []
    async with AsyncExitStack() as stack:
        for name, service in home.services.items():
            async with service.database.pool.connection() as connection:
                driver = connection.driver
            note = lambda record, name=name: said.append(f"{name}: {record.query}")  # noqa: E731
            driver.add_query_logger(note)
            stack.callback(driver.remove_query_logger, note)
        yield said


async def seen(home: House, method: str, path: str, sent: dict[str, Any], number: str) -> dict[str, Any]:
    """Everything that an answer tells, and the statements behind it."""
    filled: dict[str, Any] = {
        how: {key: value.replace("{id}", number) for key, value in what.items()} for how, what in sent.items()
    }
    address = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"  # with a rate limit of its own
    filled["headers"] = filled.get("headers", {}) | {"x-forwarded-for": address}
    async with statements(home) as said:
        answer: httpx.Response = await home.client.request(
            method, "http://gateway" + path.replace("{id}", number), **filled
        )
    assert said  # the rate limit, at least
    headers = [(name, value) for name, value in answer.headers.items() if name != "date"]
    told = {"status": answer.status_code, "headers": headers, "body": answer.text, "statements": said}
    return {name: re.sub(f"{number}|{number[-8:]}|{number[:8]}", "{id}", str(value)) for name, value in told.items()}


@pytest.mark.parametrize(("method", "path", "sent"), ASKED, ids=str)
async def test_a_wrong_id_and_a_wrong_proof_are_told_alike(
    home: House, purchase: str, method: str, path: str, sent: dict[str, Any]
) -> None:
    right = await seen(home, method, path, sent, purchase)
    wrong = await seen(home, method, path, sent, str(uuid4()))
    assert right == wrong
    assert right["status"] != "429"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/install/{id}"),
        ("POST", "/api/install/{id}/cancel"),
        ("POST", "/api/journeys/{id}/ticket"),
        ("GET", "/purchases/{id}"),
        ("POST", "/purchases/{id}/pay"),
    ],
)
async def test_a_signed_in_customer_learns_nothing_of_others_purchases(
    home: House, purchase: str, method: str, path: str
) -> None:
    sent = {"headers": await home.signed_in(uuid4())}
    right = await seen(home, method, path, sent, purchase)
    assert right == await seen(home, method, path, sent, str(uuid4()))


@pytest.mark.parametrize(("path", "how"), [("/account", "data"), ("/api/account/link", "json")])
async def test_who_asks_to_sign_in_does_not_learn_whose_address_is_known(home: House, path: str, how: str) -> None:
    known, unknown = str(uuid4()), str(uuid4())
    order = {"email": f"{known}@example.com", "currency": "EUR"}
    assert (await home.client.post("http://gateway/api/checkout", json=order)).status_code == 200
    home.client.cookies.clear()
    sent = {how: {"email": "{id}@example.com"}}
    await seen(home, "POST", path, sent, str(uuid4()))  # the first time the driver asks for the types of columns
    assert await seen(home, "POST", path, sent, known) == await seen(home, "POST", path, sent, unknown)


async def test_the_right_proof_is_told_otherwise(home: House, purchase: str) -> None:
    """So that the above cannot hold by asking nothing at all."""
    path = f"http://gateway/api/install/{purchase}/access"
    assert (await home.client.post(path, json={"email": "ADA@example.com"})).status_code == 200
