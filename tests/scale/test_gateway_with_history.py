"""The gateway with a long history: no statement reads a whole table, or more than a batch of it."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.app import build
from gateway.operators import make_first_operator
from gateway.repository import journeys
from gateway.settings import GatewaySettings
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.events import CustomerErased, OperatorActed, ProviderFact, PurchasePaid, read
from support import provider_webhooks as sent
from support.databases import DatabaseUrl
from support.explaining import ROWS
from support.gateway import Gateway, Services
from support.history import fill
from support.old import Old, old

pytestmark = [pytest.mark.servers, pytest.mark.timeout(3600)]


async def test_the_gateway_reads_no_more_with_a_long_history(
    database_url: DatabaseUrl, clock: MovableClock, tmp_path: Path
) -> None:
    gateway = _gateway(await database_url("gateway"), clock)
    database = gateway.service.database
    await fill(database.dsn, "gateway", ROWS)
    async with old(database, gateway.service.deps, gateway.service.work, gateway.service.handlers) as history:
        await make_first_operator(database, tmp_path / "token")
        for number in range(2):
            await _a_purchase(gateway, history, f"cs_new_{number}")
        await _signs_in(gateway, history)
        await _operating(gateway, (tmp_path / "token").read_text().strip())
        await _erasing(gateway, history)
        async with database.transaction("test") as tx:
            await journeys.last_events(tx, [UUID(int=7), UUID(int=8)])
            tx.schedule("delete_expired", "every")
        await history.works()
        await history.skeleton()
    await gateway.client.aclose()
    for step in gateway.service.closing:
        await step()
    await database.close()


def _gateway(url: str, clock: MovableClock) -> Gateway:
    settings = GatewaySettings(
        _env_file=None,
        database_url=url,
        session_key="k" * 40,
        signing_key=base64.b64encode(bytes(range(32))).decode(),
        public_url="https://shop.example",
        stripe_webhook_secret=(sent.STRIPE_SECRET,),
    )
    services = Services()
    transport = httpx.MockTransport(services.handle)
    service = build(settings, clock=clock, bus=MemoryBroker().bus("gateway"), transport=transport)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(service.front), base_url="https://shop.example")
    return Gateway(client, service, services)


async def _a_purchase(gateway: Gateway, history: Old, session: str) -> None:
    body = sent.body_of(sent.stripe_event("checkout.session.completed", sent.stripe_session(id=session)))
    for _ in range(2):
        answer = await gateway.client.post("/api/webhooks/stripe", content=body, headers=sent.stripe_headers(body))
        assert answer.status_code == 200
    unreadable = json.dumps({"id": f"evt_{session}", "object": "event", "type": "checkout.session.completed"}).encode()
    headers = sent.stripe_headers(unreadable)
    await gateway.client.post("/api/webhooks/stripe", content=unreadable, headers=headers)
    told = await history.aside.fetch("SELECT body FROM outbox WHERE created > $1", history.began)
    facts = [event for row in told if isinstance(event := read(row["body"]), ProviderFact)]
    purchase = str(uuid4())
    paid = _paid(gateway, purchase).model_copy(update={"causationid": str(facts[0].id)})
    await history.hears(*facts, paid, _acted(gateway, purchase))
    await gateway.client.get(f"/api/install/{purchase}")
    await gateway.client.get(f"/api/install/by-purchase/{session}")
    order = {"email": "ada@example.com", "planId": "1"}
    await gateway.client.post("/api/checkout", json=order, headers={"idempotency-key": session})


def _paid(gateway: Gateway, purchase: str) -> PurchasePaid:
    now, money = gateway.service.clock.now(), {"amount": 4900, "currency": "EUR"}
    names = {"customer_id": "c", "product": "p", "plan": "p", "provider": "stripe", "payment_id": "p"}
    return PurchasePaid(subject=purchase, time=now, payment_key="cs", found_by="webhook", **names, **money)


def _acted(gateway: Gateway, purchase: str) -> OperatorActed:
    who = {"actor": "ada", "role": "admin", "action": "purchase.refund", "target": purchase, "reason": "history"}
    return OperatorActed(subject=purchase, time=gateway.service.clock.now(), **who)


async def _signs_in(gateway: Gateway, history: Old) -> None:
    customer = uuid4()
    found = {"customer_id": str(customer), "purchase_id": str(uuid4())}
    bought: dict[str, Any] = {"items": [], "cursor": None}
    bought["customer"] = {"email": "ada@example.com", "name": None, "erasure_wanted_at": None}
    gateway.services.answers |= {
        "/internal/customers/find": lambda _: httpx.Response(200, json=found),
        "/internal/messages/sign-in": lambda _: httpx.Response(202, json={}),
        f"/internal/customers/{customer}/purchases": lambda _: httpx.Response(200, json=bought),
    }
    await gateway.client.post("/account", data={"email": "ada@example.com"})
    await history.works()
    token = json.loads(gateway.services.asked[-1].content)["token"]
    assert (await gateway.client.post(f"/account/enter/{token}")).status_code == 303
    for pause in (timedelta(minutes=20), timedelta(hours=1)):
        gateway.service.clock.move(pause)  # type: ignore[attr-defined]
        assert (await gateway.client.get("/account")).status_code == 200
        await gateway.client.get(f"/api/install/{UUID(int=ROWS - 7)}")
    await gateway.client.post("/account/leave")
    gateway.service.clock.move(-timedelta(minutes=80))  # type: ignore[attr-defined]


async def _erasing(gateway: Gateway, history: Old) -> None:
    told = {"subject": str(UUID(int=ROWS - 7)), "customer_id": str(uuid4())}
    await history.hears(CustomerErased(time=gateway.service.clock.now(), **told))
    await history.works()


async def _operating(gateway: Gateway, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}

    async def get(path: str, **wanted: str) -> httpx.Response:
        answer = await gateway.client.get(path, headers=headers, params=wanted)
        assert answer.status_code == 200, answer.text
        return answer

    for wanted in ({}, {"actor": "operator1"}, {"action": "install.delete"}, {"target": "nothing"}):
        await get("/api/audit", **wanted)
    for wanted in ({}, {"status": "unreadable"}, {"provider": "razorpay"}, {"status": "ignored", "provider": "stripe"}):
        page = (await get("/api/webhooks", **wanted)).json()
        await get(f"/api/webhooks/{page['items'][0]['id']}") if page["items"] else None
    await get("/api/stats")
    await get("/api/tokens")
    await get(f"/api/journeys/{UUID(int=ROWS - 7)}")
    ticket = await gateway.client.post(f"/api/journeys/{UUID(int=ROWS - 7)}/ticket", headers=headers)
    assert ticket.status_code < 500
    reason = {"reason": "history"}
    assert (await gateway.client.post("/api/webhooks/reprocess", headers=headers, json=reason)).status_code < 500
