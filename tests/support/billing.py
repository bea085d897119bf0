"""Billing on a real database with providers in memory: events go through the real inbox, work through the real worker,
one step after another, so that tests decide what happens when."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from billing.api import router
from billing.applying import apply_file
from billing.catalog import Catalog, parse_catalog
from billing.deps import BillingDeps
from billing.handlers import HANDLERS, WORK
from billing.providers import PaymentProvider
from billing.repository.offers import load_catalog
from billing.settings import BillingSettings
from keyturn.bus import Delivery, Message
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.database import Database
from keyturn.events import Event, read, uuid7
from keyturn.handling import Consumer
from keyturn.http import install_problems
from keyturn.internal import Caller, Signer, Verifier
from keyturn.work import WorkKind
from keyturn.worker import Worker
from support.fake_provider import FakeProvider

E = TypeVar("E", bound=Event)
CATALOG = Path(__file__).parents[2] / "catalog.yaml"


@dataclass
class World:
    """`deps` as in production, but for the providers."""

    database: Database
    clock: MovableClock
    deps: BillingDeps
    stripe: FakeProvider
    razorpay: FakeProvider
    client: httpx.AsyncClient
    signer: Signer
    kinds: Mapping[str, WorkKind[BillingDeps]] = field(default_factory=lambda: WORK)
    slots: int = 16

    async def hear(self, *events: Event) -> None:
        """Delivers events through the inbox; what cannot be handled now becomes work, as in production."""
        consumer = Consumer(self.database, MemoryBroker().bus("billing"), HANDLERS)
        for event in events:
            assert await consumer.deliver(Delivery(message=_message(event), redelivered=False)) == "ack"

    async def work(self) -> None:
        """Does all work that is due."""
        worker = Worker(self.database, self.kinds, self.deps, handlers=HANDLERS, slots=self.slots)
        while await worker._claim() or worker._running:
            await asyncio.gather(*worker._running)

    async def reconcile(self) -> None:
        async with self.database.transaction("test") as tx:
            tx.schedule("reconcile", "every", due=tx.now)
            tx.schedule("sweep", "every", due=tx.now)
        await self.work()
        async with self.database.transaction("test") as tx:  # the test decides when they run again
            tx.cancel("reconcile", "every")
            tx.cancel("sweep", "every")

    async def published(self, kind: type[E], purchase: str | None = None) -> list[E]:
        """What was written to the outbox, in order."""
        rows = await self.rows("SELECT body FROM outbox WHERE wire = :wire ORDER BY id", wire=kind.wire)
        events = [read(bytes(row["body"])) for row in rows]
        return [event for event in events if isinstance(event, kind) and purchase in {None, event.subject}]

    async def rows(self, sql: str, **values: object) -> Sequence[Mapping[str, Any]]:
        async with self.database.transaction("test") as tx:
            return [dict(row._mapping) for row in await tx.session.execute(text(sql), values)]

    async def state_of(self, purchase: str) -> str:
        return str((await self.rows("SELECT state FROM purchases WHERE id = :id", id=UUID(purchase)))[0]["state"])

    async def ask(self, method: str, path: str, role: str = "public", **sent: Any) -> httpx.Response:
        token = self.signer.sign("billing", Caller(actor="ada", role=role))  # type: ignore[arg-type]
        return await self.client.request(method, path, headers={"authorization": f"Bearer {token}"}, **sent)

    async def buy(self, **changes: Any) -> dict[str, Any]:
        """Opens a purchase and gives billing's answer."""
        answer = await self.ask("POST", "/internal/checkouts", json=order(**changes))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def order(**changes: Any) -> dict[str, Any]:
    wanted = {
        "purchase_id": str(uuid7()),
        "email": "ada@example.com",
        "currency": "EUR",
        "success_url": "https://keyturn.test/return?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://keyturn.test/cancel",
    }
    return {name: value for name, value in (wanted | changes).items() if value is not None}


@asynccontextmanager
async def world(
    url: str, clock: MovableClock, providers: Mapping[str, PaymentProvider] | None = None
) -> AsyncIterator[World]:
    """`providers`: others than those in memory."""
    database = Database(url, service="billing", clock=clock)
    stripe, razorpay = FakeProvider("stripe", clock=clock), FakeProvider("razorpay", clock=clock)
    settings = BillingSettings(_env_file=None, database_url=url, sandbox=True, address_key=SecretStr("k" * 32))
    deps = BillingDeps(database, clock, settings, providers or {"stripe": stripe, "razorpay": razorpay})
    signer = Signer(Ed25519PrivateKey.generate())
    app = _app()
    if hasattr(app.state, "deps"):  # two worlds at once, as a benchmark has them
        app = _app.__wrapped__()
    app.state.deps, app.state.verifier = deps, Verifier(signer.public_key(), "billing")
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://billing") as client:
            async with database.transaction("test") as tx:
                await apply_file(tx, _catalog())
            yield World(database, clock, deps, stripe, razorpay, client, signer)
    finally:
        del app.state.deps
        await database.close()


@cache
def _app() -> FastAPI:
    """Made once: its routes take longer than most tests."""
    app = FastAPI()
    install_problems(app)
    app.include_router(router)
    return app


@cache
def _catalog() -> Catalog:
    return parse_catalog(CATALOG.read_text())


async def load(billing: World, text: str) -> None:
    """This is sold now."""
    async with billing.database.transaction("test") as tx:
        await load_catalog(tx, parse_catalog(text))


async def at_once(*running: Any) -> None:
    await asyncio.gather(*running)


def copies(events: Iterable[Event]) -> list[Event]:
    """The same facts under other ids: as if the provider had told of each in another notification."""
    return [event.model_copy(update={"id": uuid7()}) for event in events]


def _message(event: Event) -> Message:
    publisher = "notifier" if event.publisher == "*" else event.publisher
    return Message(
        id=str(event.id),
        type=event.wire,
        subject=event.subject,
        source=publisher,
        time=event.time,
        body=event.to_bytes(publisher),
        headers={},
        routing_key=event.wire,
    )
