"""`make demo`: two customers buy, get an instance each, choose their passwords and are in; one is suspended and comes
back. A third subscribes, and the clock is moved: renewed, not paid, suspended, paid, resumed. Every event is printed as
it happens. Exit code 0 only if all of that was seen.
"""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from keyturn import log
from keyturn.http import new_client
from keyturn.settings import told
from sandbox.shopper import Bought, Shopper, checked
from sandbox.signals import forever, run
from sandbox.system import System

JOURNEY_SECONDS = 60.0
CUSTOMERS: tuple[dict[str, Any], ...] = (
    {"email": "ada@customers.example", "name": "Ada", "storeName": "Ada's shop", "currency": "EUR"},
    {"email": "ravi@customers.example", "name": "Ravi", "storeName": "Ravi's shop", "currency": "INR"},
)
SUBSCRIBER = {"email": "mira@customers.example", "name": "Mira", "storeName": "Mira's shop", "currency": "EUR"}
MONTHLY = {"planId": "sample-starter", "billingCycle": "monthly", "couponCode": "WELCOME10"}
DECLINED = "pm_card_visa_chargeDeclinedInsufficientFunds"
# It waits an hour for the provisioner's answer, and the clock is moved by weeks meanwhile.
WITHOUT_AUDIT = {"SCHEDULES": '{"audit": "off"}'}


@dataclass
class Journey:
    """What was seen of one purchase so far."""

    bought: Bought
    started: datetime
    password: str
    paid: dict[str, Any]  # as the provider has it
    url: str = ""
    last: int = 0
    times: dict[str, datetime] = field(default_factory=dict)

    def line(self, event: dict[str, Any]) -> str:
        """By its arrival: a provider tells its own times in whole seconds."""
        moment = datetime.fromisoformat(event["received"])
        since = moment - self.started
        elapsed = f"+{since.days} d" if since.days else f"+{since.total_seconds():.3f}"
        clock = f"{moment.astimezone():%H:%M:%S.%f}"[:-3]
        return f"{clock} {elapsed:>8} {event['publisher']:<11} {event['type']:<26} {event['subject']}"

    def summary(self) -> str:
        answer, paid = self.bought.answer, self.times["payment.captured.v1"]
        money = f"{answer['amount'] / 100:.2f} {answer['currency']}"
        ready, active = ((self.times[f"install.{what}.v1"] - paid).total_seconds() for what in ("ready", "activated"))
        return (
            f"{self.bought.purchase_id} {self.bought.provider:<8} {money:>11}  paid to ready {ready:.2f} s, "
            f"to activated {active:.2f} s, the login works at {self.url}"
        )


class Demo:
    def __init__(self, system: System, client: httpx.AsyncClient) -> None:
        self._system, self._client = system, client
        self._shopper = Shopper(client, system.stripe, system.razorpay, system.mailbox)
        self._operator = {"authorization": f"Bearer {system.token_file.read_text().strip()}"}

    async def run(self) -> None:
        journeys = [await self.buy(customer) for customer in CUSTOMERS]
        await self.suspend_and_resume(journeys[0])
        journeys.append(await self.subscribe())
        print()
        for journey in journeys:
            print(journey.summary())

    async def buy(self, customer: dict[str, Any]) -> Journey:
        """One customer, from the order until they are in."""
        started = self._system.clock.now()
        bought = await self._shopper.order(**customer)
        print(f"\n{customer['name']} orders through {bought.provider}, and pays")
        journey = Journey(bought, started, secrets.token_urlsafe(12), self._shopper.pay(bought))
        while (link := self._shopper.setup_link(bought)) is None:  # the receipt has a mail, too
            await self._follow(journey, "message.sent.v1")
        print(f"{customer['name']} opens the link in the mail, and chooses a password")
        journey.url = (await self._shopper.set_password(link, journey.password))["url"]
        await self._follow(journey, "install.activated.v1")
        await self._must_log_in(journey, can=True)
        return journey

    async def suspend_and_resume(self, journey: Journey) -> None:
        for action, event, can in (("suspend", "suspended", False), ("resume", "resumed", True)):
            print(f"\nan operator asks to {action} {journey.bought.purchase_id}")
            url = f"/api/installs/{journey.bought.purchase_id}/{action}"
            checked(await self._client.post(url, json={"reason": "to show it"}, headers=self._operator))
            await self._follow(journey, f"install.{event}.v1")
            await self._must_log_in(journey, can=can)

    async def subscribe(self) -> Journey:
        """A month with a coupon; the next is charged to the saved card, the third is not paid until it hurts."""
        journey = await self.buy(SUBSCRIBER | MONTHLY)
        if "subscription.renewed.v1" not in journey.times:
            await self._follow(journey, "subscription.renewed.v1")
        await self._go_to(journey, "a week before the month ends", until="subscription.renewal_due.v1", days=-6)
        await self._go_to(journey, "the month is over, the card is charged", until="subscription.renewed.v1", minutes=2)
        self._system.stripe.use_saved(journey.paid["customer"], DECLINED)
        await self._go_to(journey, "a week before the next one ends", until="subscription.renewal_due.v1", days=-6)
        await self._go_to(
            journey, "it is over, the card has no money", until="subscription.charge_failed.v1", minutes=2
        )
        await self._go_to(journey, "a day of grace is left", until="subscription.warned.v1", days=1, hours=23.5)
        await self._go_to(journey, "and that is over too", until="install.suspended.v1", days=3, minutes=5)
        await self._must_log_in(journey, can=False)
        print(f"\n{SUBSCRIBER['name']} opens the link in the mail, and pays")
        self._shopper.pay(await self._shopper.renew(journey.bought))
        await self._follow(journey, "install.resumed.v1")
        await self._must_log_in(journey, can=True)
        return journey

    async def _go_to(self, journey: Journey, when: str, *, until: str, **after_the_end: float) -> None:
        """Moves the clock of all services to a moment before or after the end of what is paid."""
        path = f"/api/journeys/{journey.bought.purchase_id}"
        told = checked(await self._client.get(path, headers=self._operator)).json()
        end = datetime.fromisoformat(told["subscription"]["periodUntil"])
        self._system.clock.move(end + timedelta(**after_the_end) - self._system.clock.now())
        print(f"\nthe clock goes on: {when}")
        await self._follow(journey, until)

    async def _follow(self, journey: Journey, until: str) -> None:
        """Prints the journey on, until an event of the type has come."""
        try:
            async with asyncio.timeout(JOURNEY_SECONDS):
                async for event in self._shopper.watch(journey.bought.purchase_id, self._operator, after=journey.last):
                    journey.last = event["id"]
                    journey.times.setdefault(event["type"], datetime.fromisoformat(event["received"]))
                    print(journey.line(event), flush=True)
                    if event["type"] == until:
                        return
        except TimeoutError:
            pass
        raise RuntimeError(f"no {until} for {journey.bought.purchase_id} within {JOURNEY_SECONDS:.0f} s")

    async def _must_log_in(self, journey: Journey, *, can: bool) -> None:
        email = journey.bought.email
        if await self._shopper.logs_in(journey.url, email, journey.password) is not can:
            raise RuntimeError(f"the password {'does not open' if can else 'still opens'} {journey.url}")
        if await self._shopper.logs_in(journey.url, email, "not the password"):
            raise RuntimeError(f"any password opens {journey.url}")


async def _run(*, keep: bool) -> int:
    log.configure("demo", "console", os.environ.get("LOG_LEVEL", "WARNING"))
    try:
        await _show(keep=keep)
    except Exception as error:  # noqa: BLE001 - whatever it is, the reader gets one line and the exit code
        print(f"\nthe demo failed: {told(error) or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


async def _show(*, keep: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="keyturn-demo-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 - at once; PostgreSQL's data lie below, and it runs as another user where we are root
        chosen = {name: os.environ[name] for name in ("PORT", "LOG_LEVEL") if keep and os.environ.get(name)}
        async with (
            System(Path(folder), given=WITHOUT_AUDIT | chosen, durable=False) as system,
            new_client(base_url=system.url) as client,
        ):
            await Demo(system, client).run()
            if keep:
                print(f"\nready: {system.url}\n{system.addresses()}", flush=True)
                await forever()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards, until Ctrl-C")
    return run(_run(keep=parser.parse_args().keep))


if __name__ == "__main__":
    raise SystemExit(main())
