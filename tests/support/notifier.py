"""The whole notifier on a real database, with the other services' events and a real mail server."""

import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text

from keyturn.bus import Message
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.events import (
    Contact,
    EntitlementChanged,
    Event,
    InstallFailed,
    InstallSuspended,
    PurchaseOpened,
    SetupLinkIssued,
    read,
)
from keyturn.events.subscriptions import SubscriptionEvent
from keyturn.internal import Caller, InternalClient, Role, Signer
from keyturn.sealing import KeyRing, new_key_line
from keyturn.service import Service
from notifier.app import build
from notifier.deps import NotifierDeps
from notifier.settings import NotifierSettings
from sandbox.mailbox import Mailbox
from support.waiting import wait_until

E = TypeVar("E", bound=SubscriptionEvent)

ADA = "ada@example.com"
OPERATOR = "operator@example.com"
MAIL_KEYS = new_key_line("2026-11")
RING = KeyRing.from_text(MAIL_KEYS)
TOKEN = "t0ken-" + "x" * 37
SIGNER = Signer.from_seed(base64.b64encode(os.urandom(32)).decode())


@dataclass
class Facts:
    """What the other services say about a purchase of Ada's."""

    clock: MovableClock = field(default_factory=MovableClock)
    purchase: str = field(default_factory=lambda: str(uuid4()))

    def opened(self, **more: Any) -> PurchaseOpened:
        contact = Contact(email=ADA, name="Ada Lovelace", locale="de-DE", timezone="Europe/Berlin")
        values = {"customer_id": "c1", "product": "eBuilder", "price": "monthly", "plan": "pro", "amount": 123450}
        values |= {"currency": "EUR", "contact": contact, "parameters": {"store_name": "Ada's shop"}}
        return PurchaseOpened(subject=self.purchase, time=self.clock.now(), **(values | more))

    def entitled(self, version: int, email: str) -> EntitlementChanged:
        values: dict[str, Any] = {"wanted": "on", "product": "eBuilder", "plan": "pro", "blueprint": "b"}
        contact = Contact(email=email, name="Ada")
        return EntitlementChanged(
            subject=self.purchase, time=self.clock.now(), version=version, contact=contact, **values
        )

    def link(
        self, number: int = 1, token: str = TOKEN, life: timedelta = timedelta(hours=24), **more: Any
    ) -> SetupLinkIssued:
        place = (SetupLinkIssued.wire, self.purchase, "token")
        return SetupLinkIssued(
            subject=self.purchase,
            time=self.clock.now(),
            link_id=f"{self.purchase}/{number}",
            token=RING.seal(token, place=place),
            expires_at=self.clock.now() + life,
            number=number,
            url="https://ada.example.com",
            **more,
        )

    def suspended(self) -> InstallSuspended:
        now = self.clock.now()
        return InstallSuspended(subject=self.purchase, time=now, job_id="j1", action="suspend", reasons=["nonpayment"])

    def renewal(self, kind: type[E], period: int = 1, **more: Any) -> E:
        values = {"state": "active", "period": period, "period_until": self.clock.now(), "due": 900, "currency": "EUR"}
        return kind(subject=self.purchase, time=self.clock.now(), **(values | more))

    def failed(self) -> InstallFailed:
        values = {"step": "container", "cause": "Permanent", "message": "no such image", "attempts": 4}
        return InstallFailed(subject=self.purchase, time=self.clock.now(), job_id="j1", action="provision", **values)


@dataclass
class World(Facts):
    """The notifier, and everything around it."""

    service: Service[NotifierDeps] = field(kw_only=True)
    broker: MemoryBroker = field(kw_only=True)
    mailbox: Mailbox = field(kw_only=True)

    async def hear(self, *events: Event) -> None:
        """As if their publishers had published them just now; returns when they have been handled."""
        for event in events:
            bus = self.broker.bus(event.publisher)
            await bus.connect()
            await bus.publish(message_of(event))
        wanted = {event.id for event in events}

        async def handled() -> bool:
            rows = await self.rows("SELECT event_id FROM inbox WHERE event_id = ANY(:ids)", ids=list(wanted))
            return len(rows) == len(wanted)

        await wait_until(handled)

    async def rows(self, sql: str, **values: Any) -> Sequence[Any]:
        async with self.service.database.engine.connect() as connection:
            return (await connection.execute(text(sql), values)).all()

    async def rows_changed(self, sql: str, **values: Any) -> None:
        async with self.service.database.engine.begin() as connection:
            await connection.execute(text(sql), values)

    async def states(self) -> list[tuple[str, str, str | None]]:
        rows = await self.rows("SELECT template, state, code FROM messages ORDER BY id")
        return [(row.template, row.state, row.code) for row in rows]

    async def has(self, template: str, state: str, code: str | None = None) -> bool:
        return (template, state, code) in await self.states()

    async def comes_to(self, template: str, state: str, code: str | None = None) -> None:
        await wait_until(lambda: self.has(template, state, code))

    async def published(self) -> list[Event]:
        found = [read(row.body) for row in await self.rows("SELECT body FROM outbox ORDER BY id")]
        return [event for event in found if isinstance(event, Event)]

    async def idle(self) -> None:
        """No work is due."""

        async def nothing_due() -> bool:
            rows = await self.rows(
                "SELECT 1 FROM work WHERE state = 'open' AND key <> 'every' AND due <= :now", now=self.clock.now()
            )
            return not rows

        await wait_until(nothing_due)

    async def skip_waits(self) -> None:
        """What waits for its next try is due now."""
        self.clock.move(timedelta(minutes=11))
        self.service.database.wakeups.wake("work")

    async def ask(self, method: str, path: str, role: Role = "operator", json: Any = None, **params: Any) -> Any:
        transport = httpx.ASGITransport(self.service.app)
        client = InternalClient("http://notifier", "notifier", SIGNER, transport=transport)
        return await client.request(method, path, Caller("op", role), json=json, params=params)

    async def message_id(self, template: str = "setup") -> UUID:
        (row,) = await self.rows("SELECT id FROM messages WHERE template = :t ORDER BY id", t=template)
        return UUID(str(row.id))


def message_of(event: Event) -> Message:
    return Message(
        id=str(event.id),
        type=event.wire,
        subject=event.subject,
        source=event.publisher,
        time=event.time,
        body=event.to_bytes(event.publisher),
        routing_key=event.wire,
    )


def settings(url: str, mailbox: Mailbox, **more: Any) -> NotifierSettings:
    values: dict[str, Any] = {
        "database_url": url,
        "mail_keys": MAIL_KEYS,
        "internal_key": SIGNER.public_key(),
        "smtp_port": mailbox.smtp_port,
        "smtp_tls": "none",
        "smtp_from": "Keyturn <shop@keyturn.example>",
        "smtp_timeout": 5,
        "operator_email": OPERATOR,
        "public_url": "https://shop.example",
    }
    return NotifierSettings(_env_file=None, **(values | more))


@asynccontextmanager
async def world(url: str, mailbox: Mailbox, **more: Any) -> AsyncIterator[World]:
    clock, broker = MovableClock(), MemoryBroker()
    service = build(settings(url, mailbox, **more), clock=clock, bus=broker.bus("notifier"))
    await service.start()
    try:
        yield World(clock, service=service, broker=broker, mailbox=mailbox)
    finally:
        await service.stop()
