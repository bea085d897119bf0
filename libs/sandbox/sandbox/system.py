"""All of Keyturn on one machine: a private PostgreSQL, stand-ins for the outside world, and the four services.

What the environment or `.env` names is used instead of the stand-in: real provider keys, a database, a broker, a mail
server. Everything that it makes lies in one data folder, so that a second start finds it again.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeVar

import httpx

from keyturn import log
from keyturn.clock import MovableClock
from keyturn.errors import Misconfigured
from keyturn.http import new_client
from keyturn.server import listen
from keyturn.settings import WRONG, told
from sandbox import broker, programs, secrets, selling
from sandbox.hosts import Host, InProcess, Processes
from sandbox.mailbox import Mailbox
from sandbox.ports import free_port
from sandbox.postgres import SERVICES, Postgres
from sandbox.razorpay import RazorpaySandbox
from sandbox.signals import forever, run
from sandbox.stripe import StripeSandbox
from sandbox.wiring import ROOT, Wiring, files, given, real_razorpay, real_stripe

READY_SECONDS = 60.0
T = TypeVar("T")


class System:
    """Start it with `async with System(folder) as system`. Raises `Misconfigured` for what somebody has to mend."""

    def __init__(
        self, folder: Path, *, given: Mapping[str, str] | None = None, host: Host | None = None, durable: bool = True
    ) -> None:
        self.folder = folder.absolute()
        self.given = dict(given or {})  # as in `.env`; <SERVICE>_BUS_URL where each service has a user of its own
        self.clock = MovableClock(self.folder / "clock")
        self.host = host or InProcess(self.clock)
        self.durable = durable
        self.ports = {name: free_port() for name in SERVICES} | {"gateway": int(self.given.get("PORT", free_port()))}
        self.databases: dict[str, str] = {}
        self._stripe: StripeSandbox | None = None
        self._razorpay: RazorpaySandbox | None = None
        self._mailbox: Mailbox | None = None
        self._wiring: Wiring | None = None
        self._stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """Where the gateway answers on this machine."""
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def token_file(self) -> Path:
        """The first operator's token."""
        return self.folder / "operator-token"

    @property
    def stripe(self) -> StripeSandbox:
        return _there(self._stripe)

    @property
    def razorpay(self) -> RazorpaySandbox:
        return _there(self._razorpay)

    @property
    def mailbox(self) -> Mailbox:
        return _there(self._mailbox)

    def addresses(self) -> str:
        """What a person at the keyboard wants to open next."""
        standins = {"stripe": self._stripe, "razorpay": self._razorpay}
        lines = [
            f"operator token: {self.token_file}",
            f"log in as operator: {sys.prefix}/bin/keyturn login --url {self.url} --token-file {self.token_file}",
        ]
        lines += [f"mailbox: {self._mailbox.url}"] if self._mailbox else []
        return "\n".join(lines + [f"{name}: {one.url}/deliveries" for name, one in standins.items() if one])

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._take_folder(stack)
            self._check_port()
            selling.check(*files(self.given))
            began = self.clock.now()
            await self._start_outside(stack)
            stack.push_async_callback(programs.stop_below, self.folder / "installs")
            stack.push_async_callback(self._stop_services)
            for name in SERVICES:
                await self.start(name)
            await self.ready()
            if isinstance(self.host, InProcess):
                await self.host.replay(began)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _take_folder(self, stack: contextlib.AsyncExitStack) -> None:
        """Freed by the kernel, however we end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        held = stack.enter_context((self.folder / "lock").open("w"))
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured(f"{self.folder} is in use: the sandbox is running already") from None

    def _check_port(self) -> None:
        """Before anything is started: nothing is worse to read than a taken port below four stack traces."""
        try:
            listen(self.given.get("HOST", "127.0.0.1"), self.ports["gateway"]).close()
        except Misconfigured as error:
            raise Misconfigured(f"{error}; choose another with PORT, in the environment or .env") from None

    async def _start_outside(self, stack: contextlib.AsyncExitStack) -> None:
        kept = secrets.load(self.folder)
        buses = await broker.addresses(self.given, kept)
        if isinstance(self.host, Processes) and any(url.startswith("memory:") for url in buses.values()):
            raise Misconfigured("services as processes need BUS_URL=amqp://...: memory:// joins those of one process")
        self._start_databases(stack)
        await self._start_standins(stack, kept | self.given)
        self._wiring = Wiring(
            self.folder, self.given, kept, self.ports, self.databases, buses,
            self._stripe, self._razorpay, self._mailbox,
        )  # fmt: skip

    def _start_databases(self, stack: contextlib.AsyncExitStack) -> None:
        self.databases = {name: self.given.get(f"{name.upper()}_DATABASE_URL", "") for name in SERVICES}
        if all(self.databases.values()):
            return
        postgres = Postgres.start(self.folder / "postgres", durable=self.durable)
        if not self.durable:
            stack.callback(shutil.rmtree, postgres.root, ignore_errors=True)
        stack.callback(postgres.stop)
        self.databases = postgres.create_databases() | {k: v for k, v in self.databases.items() if v}

    async def _start_standins(self, stack: contextlib.AsyncExitStack, keys: Mapping[str, str]) -> None:
        hooks = f"{self.url}/api/webhooks"
        if "SMTP_HOST" not in self.given:
            self._mailbox = await stack.enter_async_context(Mailbox(folder=self.folder / "mails"))
        if not real_stripe(self.given):
            stripe = StripeSandbox(
                secret_key=keys["STRIPE_SECRET_KEY"],
                webhook_url=f"{hooks}/stripe",
                webhook_secrets=keys["STRIPE_WEBHOOK_SECRET"].split(","),
                clock=self.clock,
                state_file=self.folder / "stripe.json",
            )
            self._stripe = await stack.enter_async_context(stripe)
        if not real_razorpay(self.given):
            razorpay = RazorpaySandbox(
                key_id=keys["RAZORPAY_KEY_ID"],
                key_secret=keys["RAZORPAY_KEY_SECRET"],
                webhook_url=f"{hooks}/razorpay",
                webhook_secrets=keys["RAZORPAY_WEBHOOK_SECRET"].split(","),
                clock=self.clock,
                state_file=self.folder / "razorpay.json",
            )
            self._razorpay = await stack.enter_async_context(razorpay)

    def environment(self, service: str) -> dict[str, str]:
        """What a service is told: settings, and no secret but its own."""
        return _there(self._wiring).environment(service)

    async def start(self, service: str, **more: str) -> None:
        """Start one service, with `more` settings."""
        await self.host.start(service, self.environment(service) | more)

    async def _stop_services(self) -> None:
        await asyncio.gather(*(self.host.stop(name) for name in SERVICES))

    async def ready(self, *services: str) -> None:
        """Waits until the named services (default: all) say that they are ready."""
        answer = ""
        async with new_client() as client:
            for name in services or SERVICES:
                try:
                    async with asyncio.timeout(READY_SECONDS):
                        while (
                            answer := await _asked(client, f"http://127.0.0.1:{self.ports[name]}/readyz")
                        ) != "ready":
                            if name in self.host.died():
                                raise RuntimeError(f"{name} ended before it was ready; its log is in {self.folder}")
                            await asyncio.sleep(0.05)
                except TimeoutError:
                    raise RuntimeError(f"{name} was not ready in time: {answer}") from None


async def _asked(client: httpx.AsyncClient, url: str) -> str:
    try:
        answer = await client.get(url)
    except httpx.TransportError as error:
        return type(error).__name__
    return "ready" if answer.is_success else answer.text


def _there(part: T | None) -> T:
    if part is None:
        raise RuntimeError("this part of the sandbox was not started: something real stands in its place")
    return part


async def _run(arguments: argparse.Namespace) -> int:
    chosen = {"PORT": "8000"} | given(os.environ, ROOT / ".env")
    if "SMTP_HOST" not in chosen:  # its mails go to our own mailbox
        chosen = {"CANARY_EMAIL": "canary@sandbox.example"} | chosen
    log.configure("sandbox", "console", chosen.get("LOG_LEVEL", "WARNING"))
    host = Processes(arguments.data / "logs") if arguments.processes else None
    try:
        async with System(arguments.data, given=chosen, host=host) as system:
            print(f"ready: {system.url}\n{system.addresses()}", flush=True)
            await forever()
    except asyncio.CancelledError:
        return 0  # told to end
    except (*WRONG, RuntimeError) as error:
        print(told(error), file=sys.stderr)
        return 2
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.system", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / ".sandbox", help="the folder for everything that is kept")
    parser.add_argument("--processes", action="store_true", help="each service as a process; needs BUS_URL=amqp://...")
    return run(_run(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
