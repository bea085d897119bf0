"""All of Keyturn on one machine: a private PostgreSQL, stand-ins for the outside world, and the four services.

What the environment or `.env` names is used instead of the stand-in: real provider keys, a database, a broker, a mail
server. Everything that it makes lies in one data folder, so that a second start finds it again.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import uvloop
from dotenv import dotenv_values

from keyturn import log
from keyturn.clock import MovableClock
from keyturn.http import new_client
from keyturn.internal import Signer
from sandbox import secrets
from sandbox.hosts import Host, InProcess
from sandbox.mailbox import Mailbox
from sandbox.postgres import SERVICES, Postgres, free_port
from sandbox.razorpay import RazorpaySandbox
from sandbox.stripe import StripeSandbox

ROOT = Path(__file__).parents[3]
READY_SECONDS = 60.0


class System:
    """Start it with `async with System(folder) as system`."""

    def __init__(
        self, folder: Path, *, given: Mapping[str, str] | None = None, host: Host | None = None, durable: bool = True
    ) -> None:
        self.folder = folder
        self.given = dict(
            given or {}
        )  # as in `.env`; <SERVICE>_BUS_URL where each service has a broker user of its own
        self.clock = MovableClock(folder / "clock")
        self.host = host or InProcess(self.clock)
        self.durable = durable
        self.secrets = secrets.load(folder) | self.given
        self.ports = {name: free_port() for name in SERVICES} | {"gateway": int(self.given.get("PORT", free_port()))}
        self._stack = contextlib.AsyncExitStack()
        self.databases: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where the gateway answers on this machine."""
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def public_url(self) -> str:
        return self.given.get("PUBLIC_URL", self.url)

    @property
    def token_file(self) -> Path:
        """The first operator's token."""
        return self.folder / "operator-token"

    def addresses(self) -> str:
        """What a person at the keyboard wants to open next."""
        return (
            f"operator token: {self.token_file}\nmailbox: {self.mailbox.url}\n"
            f"stripe: {self.stripe.url}/deliveries\nrazorpay: {self.razorpay.url}/deliveries"
        )

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start_outside(stack)
            for name in SERVICES:
                await self.start(name)
            stack.push_async_callback(self._stop_services)
            await self.ready()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start_outside(self, stack: contextlib.AsyncExitStack) -> None:
        self.databases = {name: self.given.get(f"{name.upper()}_DATABASE_URL", "") for name in SERVICES}
        if not all(self.databases.values()):
            postgres = Postgres.start(self.folder / "postgres", durable=self.durable)
            stack.callback(postgres.stop)
            self.databases = postgres.create_databases() | {k: v for k, v in self.databases.items() if v}
        self.mailbox = await stack.enter_async_context(Mailbox())
        hooks = f"{self.url}/api/webhooks"
        self.stripe = await stack.enter_async_context(
            StripeSandbox(
                secret_key=self.secrets["STRIPE_SECRET_KEY"],
                webhook_url=f"{hooks}/stripe",
                webhook_secrets=self.secrets["STRIPE_WEBHOOK_SECRET"].split(","),
                clock=self.clock,
                state_file=self.folder / "stripe.json",
            )
        )
        self.razorpay = await stack.enter_async_context(
            RazorpaySandbox(
                key_id=self.secrets["RAZORPAY_KEY_ID"],
                key_secret=self.secrets["RAZORPAY_KEY_SECRET"],
                webhook_url=f"{hooks}/razorpay",
                webhook_secrets=self.secrets["RAZORPAY_WEBHOOK_SECRET"].split(","),
                clock=self.clock,
                state_file=self.folder / "razorpay.json",
            )
        )

    def environment(self, service: str) -> dict[str, str]:
        """What a service is told: the shared settings, and no secret but its own."""
        port = "PORT" if service == "gateway" else f"{service.upper()}_PORT"
        return {
            "SANDBOX": "true",
            "BUS_URL": self.given.get(f"{service.upper()}_BUS_URL") or self.given.get("BUS_URL", "memory://"),
            "PUBLIC_URL": self.public_url,
            "CLOCK_FILE": str(self.folder / "clock"),
            "LOG_FORMAT": self.given.get("LOG_FORMAT", "console"),
            "LOG_LEVEL": self.given.get("LOG_LEVEL", "WARNING"),
            f"{service.upper()}_DATABASE_URL": self.databases[service],
            port: str(self.ports[service]),
            **getattr(self, f"_{service}")(),
        }

    def _pick(self, *names: str) -> dict[str, str]:
        return {name: self.secrets[name] for name in names if name in self.secrets}

    def _gateway(self) -> dict[str, str]:
        urls = {f"{name.upper()}_URL": f"http://127.0.0.1:{self.ports[name]}" for name in SERVICES if name != "gateway"}
        own = self._pick("STRIPE_WEBHOOK_SECRET", "RAZORPAY_WEBHOOK_SECRET", "SESSION_KEY", "INTERNAL_SIGNING_KEY")
        chosen = self._pick("ALLOWED_ORIGINS", "TRUSTED_PROXIES", "HOST")
        script = {} if "RAZORPAY_KEY_ID" in self.given else {"RAZORPAY_CHECKOUT_JS": self.razorpay.script}
        return urls | own | chosen | script | {"OPERATOR_TOKEN_FILE": str(self.token_file)}

    def _internal_key(self) -> dict[str, str]:
        return {"INTERNAL_PUBLIC_KEY": Signer.from_seed(self.secrets["INTERNAL_SIGNING_KEY"]).public_key()}

    def _billing(self) -> dict[str, str]:
        own = self._pick("STRIPE_SECRET_KEY", "RAZORPAY_KEY_ID", "RAZORPAY_KEY_SECRET")
        # With somebody's own keys it is the real provider, and nothing needs to be said.
        stripe = {} if "STRIPE_SECRET_KEY" in self.given else {"STRIPE_API_BASE": self.stripe.url}
        razorpay = {} if "RAZORPAY_KEY_ID" in self.given else {"RAZORPAY_API_BASE": self.razorpay.url}
        catalog = {"CATALOG": self.given.get("CATALOG", str(ROOT / "catalog.yaml"))}
        return self._internal_key() | own | catalog | stripe | razorpay

    def _provisioner(self) -> dict[str, str]:
        own = self._pick("PROVISIONER_SEALING_KEYS", "MAIL_KEYS")
        return (
            self._internal_key()
            | own
            | {
                "BLUEPRINTS": self.given.get("BLUEPRINTS", str(ROOT / "blueprints")),
                "LOCAL_DATA": str(self.folder / "installs"),
                "BASE_DOMAIN": self.given.get("BASE_DOMAIN", "sandbox.localhost"),
            }
        )

    def _notifier(self) -> dict[str, str]:
        own = self._pick("NOTIFIER_SEALING_KEYS", "MAIL_KEYS")
        mail = {name: value for name, value in self.given.items() if name.startswith("SMTP_")} or {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.mailbox.smtp_port),
            "SMTP_TLS": "none",
            "SMTP_FROM": "Keyturn sandbox <shop@sandbox.example>",
        }
        operator = {"OPERATOR_EMAIL": self.given.get("OPERATOR_EMAIL", "operator@sandbox.example")}
        return self._internal_key() | own | mail | operator

    async def start(self, service: str, **more: str) -> None:
        """Start one service, with `more` settings."""
        await self.host.start(service, self.environment(service) | more)

    async def _stop_services(self) -> None:
        await asyncio.gather(*(self.host.stop(name) for name in SERVICES))

    async def ready(self, *services: str) -> None:
        """Waits until the named services (default: all) say that they are ready."""
        async with new_client() as client, asyncio.timeout(READY_SECONDS):
            for name in services or SERVICES:
                while not await _answers(client, f"http://127.0.0.1:{self.ports[name]}/readyz"):
                    if name in self.host.died():
                        raise RuntimeError(f"{name} ended before it was ready; its log is in {self.folder}")
                    await asyncio.sleep(0.05)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await client.get(url)).is_success
    return False


def given(environment: Mapping[str, str], dotenv: Path) -> dict[str, str]:
    """The settings that somebody chose: `.env`, and over it the environment; an empty one counts as not given."""
    chosen: dict[str, Any] = {**dotenv_values(dotenv), **environment}
    return {name: value for name, value in chosen.items() if value}


async def until_told() -> None:
    """Waits for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    await stop.wait()


async def _run() -> None:
    chosen = {"PORT": "8000"} | given(os.environ, ROOT / ".env")
    log.configure("sandbox", "console", chosen.get("LOG_LEVEL", "WARNING"))
    async with System(ROOT / ".sandbox", given=chosen) as system:
        print(f"ready: {system.public_url}\n{system.addresses()}", flush=True)
        await until_told()


if __name__ == "__main__":
    uvloop.run(_run())
