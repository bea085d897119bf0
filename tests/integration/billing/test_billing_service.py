"""Billing as it is started: wired, migrated, its catalogue loaded, hearing and publishing on a bus."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from billing.app import build
from billing.errors import CatalogError
from billing.settings import BillingSettings
from keyturn.bus import Delivery, Message, Settle
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.events import Envelope
from keyturn.internal import Caller, Signer
from keyturn.service import Service
from support.billing import CATALOG, order
from support.fake_provider import FakeProvider

pytestmark = pytest.mark.servers


class DatabaseUrl(Protocol):
    def __call__(self, of: str, /) -> Awaitable[str]: ...


class WaitUntil(Protocol):
    def __call__(self, condition: Callable[[], object], timeout: float = 10, /) -> Awaitable[None]: ...


def settings(url: str, **changes: Any) -> BillingSettings:
    return BillingSettings(_env_file=None, database_url=url, catalog=CATALOG, port=0, sandbox=True, **changes)


@pytest.fixture
async def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate())


@pytest.fixture
async def service(
    database_url: DatabaseUrl, clock: MovableClock, broker: MemoryBroker, signer: Signer
) -> AsyncIterator[Service[Any]]:
    found = settings(await database_url("billing"), internal_key=signer.public_key())
    providers = {"stripe": FakeProvider("stripe"), "razorpay": FakeProvider("razorpay")}
    service = build(found, clock=clock, bus=broker.bus("billing"), providers=providers)
    await service.start()
    yield service
    await service.stop()


async def test_a_purchase_goes_from_checkout_to_entitlement_over_the_bus(
    service: Service[Any], broker: MemoryBroker, signer: Signer, wait_until: WaitUntil
) -> None:
    heard: list[str] = []

    async def hear(delivery: Delivery) -> Settle:
        heard.append(delivery.message.type)
        return "ack"

    other = broker.bus("provisioner")
    await other.connect()
    await other.consume(["#"], hear, 10)
    headers = {"authorization": f"Bearer {signer.sign('billing', Caller('visitor', 'public'))}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://billing") as client:

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await wait_until(ready)
        bought = (await client.post("/internal/checkouts", json=order(), headers=headers)).json()
    stripe = service.deps.providers["stripe"]
    told = stripe.told(stripe.pay(bought["session_id"]))
    gateway = broker.bus("gateway")
    await gateway.connect()
    body = told.to_bytes("gateway")
    message = Message(str(told.id), told.wire, told.subject, "gateway", datetime.now(UTC), body, routing_key=told.wire)
    await gateway.publish(message)
    await wait_until(lambda: "entitlement.changed.v1" in heard)
    assert {"purchase.opened.v1", "purchase.paid.v1"} <= set(heard)
    async with service.database.transaction("test") as tx:
        bodies = await tx.session.scalars(text("SELECT body FROM outbox ORDER BY id"))
        causes = {event.type: event.causationid for event in map(Envelope.from_bytes, bodies)}
    assert causes["purchase.paid.v1"] == causes["entitlement.changed.v1"] == str(told.id)


async def test_a_catalogue_with_faults_keeps_billing_from_starting(database_url: DatabaseUrl, tmp_path: Path) -> None:
    broken = tmp_path / "catalog.yaml"
    broken.write_text("default: nothing\nproducts: {}\n")
    found = settings("postgresql://nobody@127.0.0.1/none")
    with pytest.raises(CatalogError):
        build(found.model_copy(update={"catalog": broken}))


async def test_without_a_providers_key_nothing_is_sold_through_it() -> None:
    found = settings("postgresql://nobody@127.0.0.1/none", stripe_secret_key="sk_test_x")
    service = build(found)
    assert set(service.deps.providers) == {"stripe"}
    for step in service.closing:
        await step()
