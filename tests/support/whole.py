"""The whole system for end-to-end tests: the real services, on the tests' PostgreSQL, in two ways.

`memory`: all four in this process, joined by the bus in memory. `rabbitmq`: each a process of its own, on a virtual host
with the real topology and rights. The stand-ins for the outside world are in this process both times.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from keyturn.http import new_client
from sandbox.hosts import Processes
from sandbox.postgres import SERVICES
from sandbox.shopper import Bought, Shopper
from sandbox.system import System
from support.broker import RabbitMQ
from support.databases import Databases

Way = Literal["memory", "rabbitmq"]
PATIENCE = 40.0  # seconds for a whole journey, on a busy machine and with services killed on the way


@dataclass
class Whole:
    """What a test holds: the system, its one customer-to-be, and an operator."""

    system: System
    client: httpx.AsyncClient
    shopper: Shopper
    way: Way
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    @property
    def operator(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.system.token_file.read_text().strip()}"}

    @property
    def processes(self) -> Processes:
        assert isinstance(self.system.host, Processes)
        return self.system.host

    def email(self) -> str:
        """A customer nobody has seen before."""
        return f"{secrets.token_hex(6)}@customers.example"

    async def order(self, provider: str = "stripe", **order: Any) -> Bought:
        currency = {"stripe": "EUR", "razorpay": "INR"}[provider]
        return await self.shopper.order(self.email(), name="Somebody", storeName="Shop", currency=currency, **order)

    async def wait_for(self, bought: Bought, *wires: str, within: float = PATIENCE) -> list[dict[str, Any]]:
        """The journey, once it has events of all these wire names (without the version)."""
        missing = set(wires)
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(within):
            while True:
                with contextlib.suppress(httpx.TransportError, httpx.HTTPStatusError):
                    async for event in self.shopper.watch(
                        bought.purchase_id, self.operator, len(seen) and seen[-1]["id"]
                    ):
                        seen.append(event)
                        missing.discard(event["type"].removesuffix(".v1"))
                        if not missing:
                            return seen
                await asyncio.sleep(0.05)  # the gateway is away: this very test may have stopped it

    async def journey(self, bought: Bought) -> list[str]:
        """The wire names of the journey so far, in order of arrival."""
        answer = await self.client.get(f"/api/journeys/{bought.purchase_id}", headers=self.operator)
        return [event["type"].removesuffix(".v1") for event in answer.raise_for_status().json()["events"]]

    async def activate(self, bought: Bought) -> str:
        """From paid to inside: reads the mail, sets the password, logs in. Returns the instance's address."""
        await self.wait_for(bought, "message.sent")
        link = self.shopper.setup_link(bought)
        assert link, "the setup mail holds no link"
        done = await self.shopper.set_password(link, self.password)
        await self.wait_for(bought, "install.activated")
        assert await self.shopper.logs_in(done["url"], bought.email, self.password)
        return str(done["url"])

    def instances(self, bought: Bought) -> list[int]:
        """The process ids of this install's programs, counted from outside: by what they were started with."""
        mark = f"ADMIN_EMAIL={bought.email}".encode()
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if mark in _environment(folder)]

    async def assert_exactly_once(self, bought: Bought, *, mails: int = 1) -> None:
        """One payment, one activation, one instance, one setup mail: counted from outside and in the journey."""
        books = [e for b in (self.system.stripe, self.system.razorpay) for e in b.books()]
        assert len([e for e in books if e.reference == bought.purchase_id]) == 1
        wires = await self.journey(bought)
        for wire in ("purchase.paid", "install.ready", "install.activated"):
            assert wires.count(wire) == 1, (wire, wires)
        assert len(self.instances(bought)) == 1
        got = self.system.mailbox.to(bought.email)
        assert [mail.deliveries for mail in got] == [1] * mails, [mail.subject for mail in got]


def _environment(process: Path) -> list[bytes]:
    with contextlib.suppress(OSError):
        return (process / "environ").read_bytes().split(b"\0")
    return []


@contextlib.asynccontextmanager
async def whole(way: Way, folder: Path, databases: Databases, broker: RabbitMQ | None = None) -> AsyncIterator[Whole]:
    """Starts it all, and stops and removes it afterwards."""
    given = {f"{name.upper()}_DATABASE_URL": await databases.create(name) for name in SERVICES}
    made = list(given.values())
    vhost = broker.create() if broker and way == "rabbitmq" else None
    if vhost:
        given |= {f"{name.upper()}_BUS_URL": vhost.url(name) for name in SERVICES}
    host = Processes(folder / "logs") if vhost else None
    try:
        async with System(folder, given=given, host=host) as system, new_client(base_url=system.url) as client:
            yield Whole(system, client, Shopper(client, system.stripe, system.razorpay, system.mailbox), way)
    finally:
        for url in made:
            await databases.drop(url)
        if vhost and broker:
            broker.delete(vhost)
