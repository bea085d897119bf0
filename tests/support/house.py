"""All four services on real databases, reached without a network: what is asked of the gateway reaches the others as it
would. Nothing runs in the background; the payment providers are in memory."""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

import billing.app
import gateway.app
import notifier.app
import provisioner.app
from billing.applying import apply_file
from billing.catalog import read_catalog
from billing.settings import BillingSettings
from gateway import operators, sessions
from gateway.repository import operators as stored
from gateway.settings import GatewaySettings
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.internal import ROLES, Caller, Role, Signer
from keyturn.sealing import new_key_line
from keyturn.service import Service
from notifier.settings import NotifierSettings
from provisioner.settings import ProvisionerSettings
from support.databases import Databases
from support.fake_provider import FakeProvider

ROOT = Path(__file__).parents[2]
NAMES = ("gateway", "billing", "provisioner", "notifier")
PROXY = "203.0.113.9"


@dataclass(frozen=True)
class House:
    services: Mapping[str, Service[Any]]
    client: httpx.AsyncClient  # `http://billing/...` asks billing
    signer: Signer
    tokens: Mapping[Role, str]  # operators', for the gateway

    def proof(self, service: str, path: str, role: Role) -> dict[str, str]:
        """The header that makes the caller somebody with this role."""
        if service == "gateway" and not path.startswith("/internal"):
            return {"authorization": f"Bearer {self.tokens[role]}"} if role in self.tokens else {}
        return {"authorization": f"Bearer {self.signer.sign(service, Caller('abuse', role, 'test'))}"}

    async def signed_in(self, customer_id: UUID) -> dict[str, str]:
        """The header of this customer's browser, after signing in."""
        async with self.services["gateway"].database.transaction("sign_in") as tx:
            token = await sessions.begin(tx, customer_id)
        return {"cookie": f"{sessions.cookie_name(self.services['gateway'].deps)}={token}"}

    async def rows(self, service: str, sql: str, *values: object) -> list[Any]:
        async with self.services[service].database.transaction("look") as tx:
            return list(await tx.run(sql, *values))


@asynccontextmanager
async def house(databases: Databases, folder: Path) -> AsyncIterator[House]:
    seed = base64.b64encode(bytes(range(32))).decode()
    signer, broker, clock = Signer.from_seed(seed), MemoryBroker(), MovableClock()
    urls = {name: await databases.create(name) for name in NAMES}
    apps: dict[str, FastAPI] = {}
    doors = Doors(apps)
    mail = new_key_line("mail")

    def common(name: str) -> dict[str, Any]:
        shared = {
            "bus_url": "memory://abuse",
            "public_url": "https://shop.example",
            "internal_key": signer.public_key(),
        }
        return {"_env_file": None, "database_url": urls[name], **shared}

    services: dict[str, Service[Any]] = {
        "gateway": gateway.app.build(
            GatewaySettings(
                **common("gateway"),
                session_key="k" * 40,
                signing_key=seed,
                trusted_proxies=(PROXY,),
                billing_url="http://billing",
                provisioner_url="http://provisioner",
                notifier_url="http://notifier",
            ),
            clock=clock,
            bus=broker.bus("gateway"),
            transport=doors,
        ),
        "billing": billing.app.build(
            BillingSettings(**common("billing"), sandbox=True, catalog=ROOT / "catalog.yaml"),
            clock=clock,
            bus=broker.bus("billing"),
            providers={"stripe": FakeProvider("stripe"), "razorpay": FakeProvider("razorpay")},
        ),
        "provisioner": provisioner.app.build(
            ProvisionerSettings(
                **common("provisioner"),
                sealing_keys=new_key_line("own"),
                mail_keys=mail,
                blueprints=ROOT / "blueprints",
                local_data=folder / "local",
                base_domain="example.test",
            ),
            clock=clock,
            bus=broker.bus("provisioner"),
        ),
        "notifier": notifier.app.build(
            NotifierSettings(**common("notifier"), mail_keys=mail, operator_email="op@example.com"),
            clock=clock,
            bus=broker.bus("notifier"),
        ),
    }
    apps |= {name: service.app for name, service in services.items()}
    async with services["billing"].database.transaction("load_catalog") as tx:
        await apply_file(tx, read_catalog(ROOT / "catalog.yaml"))
    async with httpx.AsyncClient(transport=doors, timeout=20) as client:
        yield House(services, client, signer, await _tokens(services["gateway"]))
    for service in services.values():
        for step in service.closing:
            await step()
        await service.database.close()
    for url in urls.values():
        await databases.drop(url)


def filled(path: str) -> str:
    """A route's path with something for each of its parameters."""
    return re.sub(r"\{\w+\}", lambda _: str(uuid4()), path.replace("{action}", "retry").replace("{act}", "retry"))


class Doors(httpx.AsyncBaseTransport):
    """To each service by its name as host."""

    def __init__(self, apps: Mapping[str, FastAPI]) -> None:
        self._apps = apps

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        app = self._apps[request.url.host]
        return await httpx.ASGITransport(app, client=(PROXY, 1)).handle_async_request(request)


async def _tokens(service: Service[Any]) -> dict[Role, str]:
    made: dict[Role, str] = {}
    async with service.database.transaction("make_tokens") as tx:
        for role in ROLES[2:]:
            made[role] = operators.new_token()
            operator = await stored.add_operator(tx, f"op-{role}")
            assert operator is not None
            await stored.add_token(tx, operator, name=role, role=role, hash=operators.hashed(made[role]), hint="kt_")
    return made
