"""Fixtures of the gateway: its real application on a real database."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import build
from gateway.operators import make_first_operator
from gateway.settings import GatewaySettings
from gateway.tables import Base
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from support.gateway import Gateway, Services, Start
from support.provider_webhooks import RAZORPAY_SECRET, STRIPE_SECRET


@pytest.fixture
async def start(database_url: Callable[[Any], Awaitable[str]], clock: MovableClock) -> AsyncIterator[Start]:
    """`await start(allowed_origins=(...))`: a gateway with settings of its own. Nothing runs in the background."""
    made: list[Gateway] = []

    async def begin(**settings: Any) -> Gateway:
        services = Services()
        given = {
            "database_url": await database_url(Base.metadata),
            "session_key": "k" * 40,
            "signing_key": base64.b64encode(bytes(range(32))).decode(),
            "public_url": "https://shop.example",
            "stripe_webhook_secret": (STRIPE_SECRET,),
            "razorpay_webhook_secret": (RAZORPAY_SECRET,),
        }
        service = build(
            GatewaySettings(_env_file=None, **(given | settings)),
            clock=clock,
            bus=MemoryBroker().bus("gateway"),
            transport=httpx.MockTransport(services.handle),
        )
        transport = httpx.ASGITransport(service.front, client=("203.0.113.9", 1234))
        client = httpx.AsyncClient(transport=transport, base_url="https://shop.example")
        made.append(Gateway(client, service, services))
        return made[-1]

    yield begin
    for gateway in made:
        await gateway.client.aclose()
        for step in gateway.service.closing:
            await step()
        await gateway.service.database.close()


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    return await start()


@pytest.fixture
async def admin(gateway: Gateway, tmp_path: Path) -> str:
    """The first operator's token."""
    file = tmp_path / "operator-token"
    await make_first_operator(gateway.service.database, file)
    return file.read_text().strip()
