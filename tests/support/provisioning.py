"""A provisioner for tests: the whole service on a database of its own, driven by entitlements and read by its events."""

import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

import httpx

from keyturn.clock import MovableClock
from keyturn.events import Contact, EntitlementChanged, Envelope, Event, SetupLinkIssued, read
from keyturn.internal import Caller, Role, Signer
from keyturn.sealing import KeyRing, new_key_line
from keyturn.service import Service
from keyturn.work import RetryPolicy
from provisioner import blueprints
from provisioner.app import build
from provisioner.deps import Policy, ProvisionerDeps
from provisioner.handlers import on_entitlement_changed
from provisioner.repository import installs
from provisioner.resources import Kinds
from provisioner.settings import ProvisionerSettings

ROOT = Path(__file__).parents[2]
KEYS = new_key_line("sealing")
MAIL_KEYS = new_key_line("mail")
SIGNER = Signer.from_seed(base64.b64encode(os.urandom(32)).decode())
E = TypeVar("E", bound=Event)
WaitUntil = Callable[..., Awaitable[None]]


@dataclass
class Rig:
    service: Service[ProvisionerDeps]
    clock: MovableClock
    wait_until: WaitUntil

    async def entitle(self, install: UUID, version: int = 1, **said: Any) -> None:
        """As billing would say it."""
        event = entitlement(install, version, self.clock.now(), **said)
        async with self.service.database.transaction("test", cause=event) as tx:
            await on_entitlement_changed(event, tx)

    async def bought(self, **said: Any) -> UUID:
        install = uuid4()
        await self.entitle(install, **said)
        return install

    async def events(self, install: UUID, kind: type[E] | None = None) -> list[E]:
        """What was published about an install, in order."""
        async with self.service.database.transaction("test") as tx:
            rows = await tx.run("SELECT body FROM outbox WHERE subject = $1 ORDER BY id", str(install))
        found = [read(row.body) for row in rows]
        return [cast("E", event) for event in found if isinstance(event, kind or Event)]

    async def told(self, install: UUID) -> list[str]:
        """The wire names, without the steps."""
        found: list[Event] = await self.events(install)
        return [event.wire.removesuffix(".v1") for event in found if event.wire != "install.step_changed.v1"]

    async def state(self, install: UUID) -> str:
        return str((await self.one("SELECT state FROM installs WHERE id = $1", install)).state)

    async def one(self, sql: str, *parameters: object) -> Any:
        return (await self.rows(sql, *parameters))[0]

    async def rows(self, sql: str, *parameters: object) -> Sequence[Any]:
        async with self.service.database.transaction("test") as tx:
            return await tx.run(sql, *parameters)

    async def until_state(self, install: UUID, *states: str, timeout: float = 15) -> None:  # noqa: ASYNC109
        async def reached() -> bool:
            return await self.state(install) in states

        await self.wait_until(reached, timeout)
        await self.quiet(install)

    async def quiet(self, install: UUID) -> None:
        """Until no worker has the install in hand and nothing is due for it."""

        async def idle() -> bool:
            open_now = await self.rows(
                "SELECT 1 FROM work WHERE key = $1 AND state = 'open' AND (leased_until IS NOT NULL OR due <= $2)",
                str(install),
                self.clock.now(),
            )
            return not open_now

        await self.wait_until(idle, 15)

    async def until_told(self, install: UUID, kind: type[E], times: int = 1) -> E:
        async def told() -> bool:
            return len(await self.events(install, kind)) >= times

        await self.wait_until(told, 15)
        return (await self.events(install, kind))[times - 1]

    async def token(self, install: UUID, number: int = 1) -> str:
        """The token of a setup link, as the notifier would open it."""
        issued = await self.until_told(install, SetupLinkIssued, number)
        ring = KeyRing.from_text(MAIL_KEYS)
        return ring.open(issued.token, place=(SetupLinkIssued.wire, str(install), "token"))

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, role: Role = "admin"
    ) -> httpx.Response:
        """As the gateway would ask."""
        token = SIGNER.sign("provisioner", Caller("test", role))
        transport = httpx.ASGITransport(self.service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://provisioner") as client:
            return await client.request(method, path, json=body, headers={"authorization": f"Bearer {token}"})


def entitlement(install: UUID, version: int, now: datetime, **said: Any) -> EntitlementChanged:
    values: dict[str, Any] = {
        "wanted": "on",
        "product": "sample-app",
        "plan": "sample-starter",
        "blueprint": "sandbox-app",
        "parameters": {"store_name": "Jane's shop"},
        "limits": {"memory": "256M", "cpus": 0.5},
        "contact": Contact(email="jane@example.com", name="Jane"),
    }
    return EntitlementChanged(subject=str(install), time=now, version=version, **values | said)


def settings_for(url: str, folder: Path, **given: Any) -> ProvisionerSettings:
    values: dict[str, Any] = {
        "database_url": url,
        "sealing_keys": KEYS,
        "mail_keys": MAIL_KEYS,
        "internal_key": SIGNER.public_key(),
        "bus_url": f"memory://{uuid4()}",
        "blueprints": ROOT / "blueprints",
        "local_data": folder / "local",
        "base_domain": "example.test",
    }
    return ProvisionerSettings(_env_file=None, **values | given)


def assembled(
    settings: ProvisionerSettings,
    clock: MovableClock,
    *,
    kinds: Kinds | None = None,
    policy: Policy | None = None,
    recipes: Path | None = None,
) -> Service[ProvisionerDeps]:
    """The service; `kinds` and `recipes` instead of the real ones."""
    service = build(settings, clock=clock)
    deps = service.deps
    known = kinds or deps.kinds
    chosen = replace(
        deps,
        kinds=known,
        policy=policy or deps.policy,
        blueprints=blueprints.load(recipes, known) if recipes else deps.blueprints,
    )
    return replace(service, deps=chosen)


@asynccontextmanager
async def running(
    settings: ProvisionerSettings, clock: MovableClock, wait_until: WaitUntil, **given: Any
) -> AsyncIterator[Rig]:
    """The same, started."""
    service = assembled(settings, clock, **given)
    await service.start()
    try:
        yield Rig(service, clock, wait_until)
    finally:
        await service.stop()


__all__ = ["Envelope", "Policy", "RetryPolicy", "Rig", "entitlement", "installs", "running", "settings_for"]
