"""The whole system for end-to-end tests: the real services, on the tests' PostgreSQL, in two ways.

`memory`: all four in this process, joined by the bus in memory. `rabbitmq`: each a process of its own, on a virtual host
with the real topology and rights. The stand-ins for the outside world are in this process both times.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx

from keyturn.http import new_client
from sandbox.delivery import Webhooks
from sandbox.mailbox import Mail
from sandbox.postgres import SERVICES
from sandbox.shopper import Bought, Shopper, checked
from sandbox.standin import StandIn
from sandbox.system import System
from support import programs
from support.broker import RabbitMQ, VirtualHost
from support.databases import Databases
from support.forks import Forks, Nursery
from support.traces import Traces
from support.waiting import wait_until

Way = Literal["memory", "rabbitmq"]
ABOUT_INVOICES = ("Receipt ", "Credit note ")
JSON = dict[str, Any]
PATIENCE = 40.0  # seconds for a whole journey, on a busy machine and with services killed on the way


@dataclass
class Whole:
    """What a test holds: the system, a customer, an operator, and what an outsider can count."""

    system: System
    client: httpx.AsyncClient
    shopper: Shopper
    way: Way
    broker: RabbitMQ | None = None
    vhost: VirtualHost | None = None
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def __post_init__(self) -> None:
        self.traces = Traces(self.system.databases, self.system.clock)

    @property
    def operator(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.system.token_file.read_text().strip()}"}

    @property
    def processes(self) -> Forks:
        assert isinstance(self.system.host, Forks)
        return self.system.host

    def provider(self, bought: Bought) -> StandIn:
        return self.system.stripe if bought.provider == "stripe" else self.system.razorpay

    def webhooks(self, bought: Bought) -> Webhooks:
        """How the bought thing's provider tells of it."""
        return self.provider(bought).webhooks

    def bank(self, bought: Bought) -> tuple[Any, str]:
        """The provider, and what it calls the money that was paid."""
        if bought.provider == "stripe":
            return self.system.stripe, self.system.stripe.charge_of(bought.checkout_id)
        payments = self.system.razorpay.account.payments_of(bought.checkout_id)
        return self.system.razorpay, next(str(one["id"]) for one in payments if one["captured"])

    def move(self, **by: float) -> None:
        """Time passes for all services and providers: `move(days=31)`."""
        self.system.clock.move(timedelta(**by))

    def email(self) -> str:
        """A customer nobody has seen before."""
        return f"{secrets.token_hex(6)}@customers.example"

    async def order(self, provider: str = "stripe", **order: Any) -> Bought:
        currency = {"stripe": "EUR", "razorpay": "INR"}[provider]
        wanted = {"name": "Somebody", "storeName": "Shop", "currency": currency} | order
        return await self.shopper.order(self.email(), **wanted)

    async def buy(self, provider: str = "stripe", **order: Any) -> Bought:
        """Ordered and paid; the webhook is on its way."""
        bought = await self.order(provider, **order)
        self.shopper.pay(bought)
        return bought

    async def own(self, provider: str = "stripe", **order: Any) -> tuple[Bought, str]:
        """Bought and taken over, with the instance's address."""
        bought = await self.buy(provider, **order)
        return bought, await self.activate(bought)

    async def wait_for(self, bought: Bought, *wires: str, within: float = PATIENCE) -> list[JSON]:
        """The journey, once it has events of all these wire names (without the version); one named twice, two."""
        missing = Counter(wires)
        seen: list[JSON] = []
        try:
            async with asyncio.timeout(within):
                while True:
                    with contextlib.suppress(httpx.TransportError, httpx.HTTPStatusError):
                        after = seen[-1]["id"] if seen else 0
                        async for event in self.shopper.watch(bought.purchase_id, self.operator, after):
                            seen.append(event)
                            missing -= Counter([_name(event)])
                            if not missing:
                                return seen
                    await asyncio.sleep(0.05)  # the gateway is away: this very test may have stopped it
        except TimeoutError:
            raise AssertionError(
                f"no {list(missing.elements())} within {within} s, only {[_name(event) for event in seen]}"
            ) from None

    async def journey(self, bought: Bought) -> list[str]:
        """The wire names of the journey so far, in order of arrival."""
        return [_name(event) for event in (await self.ask(f"/api/journeys/{bought.purchase_id}"))["events"]]

    async def ask(self, path: str) -> JSON:
        """As an operator."""
        return dict(checked(await self.client.get(path, headers=self.operator)).json())

    async def tell(self, path: str, **body: Any) -> JSON:
        """An operator acts."""
        reason = {"reason": "a test"}
        return dict(checked(await self.client.post(path, json=reason | body, headers=self.operator)).json())

    async def activate(self, bought: Bought) -> str:
        """From paid to inside: reads the mail, sets the password, logs in. Returns the instance's address."""
        done = await self.shopper.set_password(await self.link(bought), self.password)
        await self.wait_for(bought, "install.activated")
        assert await self.shopper.logs_in(done["url"], bought.email, self.password)
        return str(done["url"])

    async def link(self, bought: Bought, *, other_than: str | None = None) -> str:
        """The setup link, once its mail has come; or a newer one."""
        found: list[str] = []

        def come() -> bool:
            found[:] = [link for link in [self.shopper.setup_link(bought)] if link and link != other_than]
            return bool(found)

        await wait_until(come, PATIENCE)
        return found[0]

    def instances(self, bought: Bought) -> list[int]:
        """The process ids of this install's programs, counted from outside: by what they were started with."""
        return programs.started_with(f"ADMIN_EMAIL={bought.email}")

    def data_of(self, bought: Bought) -> Path:
        """The folder in which this install's programs keep what is theirs."""
        return self.system.folder / "installs" / bought.purchase_id

    def mails(self, bought: Bought, subject: str = "") -> list[str]:
        """The subjects of the customer's mails with these words in them, but for those about invoices."""
        found = [mail.subject for mail in self.letters(bought)]
        return [mail for mail in found if subject.lower() in mail.lower()]

    def letters(self, bought: Bought) -> list[Mail]:
        """The customer's mails, but for those about invoices: of these there is one for each payment and refund."""
        return [mail for mail in self.system.mailbox.to(bought.email) if not mail.subject.startswith(ABOUT_INVOICES)]

    async def assert_exactly_once(self, bought: Bought, *, mails: int = 1) -> None:
        """One payment, one activation, one instance, one setup mail: counted from outside and in the journey."""
        books = [e for b in (self.system.stripe, self.system.razorpay) for e in b.books()]
        assert len([e for e in books if e.reference == bought.purchase_id]) == 1
        wires = await self.journey(bought)
        for wire in ("purchase.paid", "install.ready", "install.activated"):
            assert wires.count(wire) == 1, (wire, wires)
        assert len(self.instances(bought)) == 1
        got = self.letters(bought)
        assert [mail.deliveries for mail in got] == [1] * mails, [mail.subject for mail in got]

    async def settled(self, within: float = PATIENCE) -> None:
        """Until every webhook and event has arrived everywhere and no work is due: then it is time to count."""
        await wait_until(lambda: not self.system.stripe.webhooks.pending(), within)
        await wait_until(lambda: not self.system.razorpay.webhooks.pending(), within)
        await wait_until(self.traces.settled, within)

    @contextlib.asynccontextmanager
    async def without(self, *services: str) -> AsyncIterator[None]:
        """These services are stopped, in order, and started again at the end."""
        try:
            for name in services:
                await self.system.host.stop(name)
            yield
        finally:
            for name in services:
                await self.system.start(name)
            await self.system.ready(*services)

    async def cut_off(self, service: str) -> None:
        """Its connections to the broker break, whoever it is sending to or hearing from."""
        if self.broker and self.vhost:
            await asyncio.to_thread(self.broker.disconnect, self.vhost, service)
        else:
            await self.system.host.interrupt(service)  # type: ignore[attr-defined]


def _name(event: JSON) -> str:
    return str(event["type"]).removesuffix(".v1")


async def from_anywhere(request: httpx.Request) -> None:
    """Each request comes from another address, as the gateway's proxy tells it: limits are for one client."""
    request.headers["x-forwarded-for"] = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


class Begin(Protocol):
    """`async with begin("rabbitmq", CATALOG=...) as system`: a system for one test alone, with these settings."""

    def __call__(self, way: Way, /, **settings: str) -> contextlib.AbstractAsyncContextManager[Whole]: ...


@contextlib.asynccontextmanager
async def whole(
    way: Way,
    folder: Path,
    databases: Databases,
    broker: RabbitMQ | None = None,
    nursery: Nursery | None = None,
    **settings: str,
) -> AsyncIterator[Whole]:
    """Starts it all, with these settings besides the usual, and stops and removes it afterwards."""
    given = {f"{name.upper()}_DATABASE_URL": await databases.create(name) for name in SERVICES}
    made = list(given.values())
    vhost = broker.create() if broker and way == "rabbitmq" else None
    host = Forks(nursery, folder / "logs") if vhost and nursery else None
    if vhost:
        given |= {f"{name.upper()}_BUS_URL": vhost.url(name) for name in SERVICES}
    given |= {"TRUSTED_PROXIES": "127.0.0.1", "LOG_LEVEL": "INFO", **settings}
    try:
        async with System(folder, given=given, host=host) as system, new_client(base_url=system.url) as client:
            client.event_hooks["request"].append(from_anywhere)
            shopper = Shopper(client, system.stripe, system.razorpay, system.mailbox)
            running = Whole(system, client, shopper, way, broker, vhost)
            try:
                yield running
            finally:
                await running.traces.close()
    finally:
        for url in made:
            await databases.drop(url)
        if vhost and broker:
            broker.delete(vhost)
