"""A customer with everything that a customer can have is taken along, forgotten, and looked for in every column."""

import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import yaml

from sandbox.postgres import SERVICES
from sandbox.shopper import Bought
from support import personal
from support.leftovers import columns
from support.pages import ROOT
from support.waiting import wait_until
from support.whole import PATIENCE, Begin, Whole

pytestmark = pytest.mark.servers
SAMPLE = yaml.safe_load((ROOT / "catalog.yaml").read_text())
KIOSK = {
    "name": "A kiosk",
    "blueprint": "sandbox-app",
    "plans": {
        "kiosk": {
            "name": "Kiosk",
            "prices": [{"cycle": "monthly", "currency": "EUR", "amount": 3000, "collection": "provider"}],
        }
    },
}
CATALOG = yaml.safe_dump(SAMPLE | {"products": SAMPLE["products"] | {"kiosk": KIOSK}}, sort_keys=False)
NOT_YET = {"erasures", "erasure_reports"}  # empty until somebody is forgotten
# Empty where installs are programs of this machine: each has tests of its own on a real server, nginx and zone.
ELSEWHERE = {"placements", "sites", "certificates", "certificate_uses"}


@dataclass(frozen=True)
class Somebody:
    """Whatever they tell of themselves is a word that nobody else says."""

    word: str

    @property
    def email(self) -> str:
        return f"Zebulon.{self.word}@customers.example"

    @property
    def order(self) -> dict[str, Any]:
        return {
            "name": f"Zebulon {self.word}",
            "company": f"{self.word} Holding",
            "country": "DE",
            "taxId": f"DE{self.word}",
            "storeName": f"{self.word} & Sons",
            "timezone": "Europe/Berlin",
            "parameters": {"phone": self.phone},
        }

    @property
    def phone(self) -> str:
        return f"+49 30 {int(self.word[-7:], 16):09}"

    @property
    def words(self) -> list[str]:
        return [self.word, "Zebulon", self.phone, "+919999999999"]  # the last is from Razorpay's page


@pytest.fixture
async def system(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    """With nobody else in it, so that all there is about customers is about this one."""
    file = tmp_path_factory.mktemp("catalog") / "catalog.yaml"
    file.write_text(CATALOG)
    async with begin("memory", CATALOG=str(file)) as running:
        yield running


async def test_all_that_is_kept_is_exported_and_all_but_the_invoices_buyer_is_erased(system: Whole) -> None:
    who = Somebody(f"q{secrets.token_hex(6)}")
    bought = await _live_a_full_life(system, who)
    customer = await system.traces.one("billing", "SELECT id FROM customers")
    export = await _taken_along(system, who, str(customer))
    await _assert_whole(system, export)
    for said in (who.email, who.phone, *(one for one in who.order.values() if isinstance(one, str))):
        assert said.lower() in json.dumps(export, ensure_ascii=False).lower(), said

    await _no_credit_is_left(system, who)
    await system.tell(f"/api/customers/{customer}/erase", endEverything=True)

    async def complete() -> bool:
        system.move(minutes=1)  # what waits looks again
        return bool((await system.ask(f"/api/customers/{customer}"))["erasure"]["complete"])

    await wait_until(complete, 2 * PATIENCE)
    await system.settled()
    found: set[str] = set()
    for service in SERVICES:
        at = await columns(partial(system.traces.rows, service), who.words)
        found |= {f"{service}.{column}" for column in at}
    assert found == personal.kept()
    assert not any(system.data_of(one).exists() for one in bought)
    await _assert_no_second_trial(system, who)


async def _live_a_full_life(system: Whole, who: Somebody) -> list[Bought]:
    own = {"subdomain": who.word, "domain": f"{who.word}.example", "couponCode": "WELCOME10"}
    monthly = {"planId": "sample-starter", "billingCycle": "monthly"}
    bought = await _orders(system, who, **monthly, **own)
    system.system.stripe.pay(bought.checkout_id, "declined")
    system.shopper.pay(bought)
    await system.activate(bought)
    await system.wait_for(bought, "subscription.renewed")
    await _changes_plan(system, bought)
    await system.tell("/api/credits", email=who.email, currency="EUR", amount=500)
    await _next_month(system, bought)
    await _money_goes_back(system, bought)
    await _a_mail_bounces(system, bought)

    kiosk = await _orders(system, who, product="kiosk")
    system.shopper.pay(kiosk)
    await system.wait_for(kiosk, "subscription.renewed")
    trial = await _orders(system, who, planId="wordpress-blog", billingCycle="monthly")
    assert trial.answer["trialDays"] == 14
    rupees = await _orders(system, who, provider="razorpay", currency="INR")
    system.shopper.pay(rupees)
    for one in (trial, rupees):
        await system.wait_for(one, "install.ready")
    pending = await _orders(system, who)
    await system.settled()
    return [bought, kiosk, trial, rupees, pending]


async def _orders(system: Whole, who: Somebody, **order: Any) -> Bought:
    return await system.shopper.order(who.email, **{"currency": "EUR"} | who.order | order)


async def _changes_plan(system: Whole, bought: Bought) -> None:
    path = f"/api/install/{bought.purchase_id}/plan"
    quote = (await system.client.post(f"{path}/quote", json={"planId": "sample-pro"}, headers=bought.headers)).json()
    body = {"quoteId": quote["quoteId"]}
    opened = (await system.client.post(path, json=body, headers=bought.headers)).json()["checkout"]
    system.shopper.pay(replace(bought, checkout_id=opened["sessionId"]))
    await system.wait_for(bought, "subscription.plan_changed")


async def _next_month(system: Whole, bought: Bought) -> None:
    """Charged to the card that was saved."""
    end = (await system.ask(f"/api/journeys/{bought.purchase_id}"))["subscription"]["periodUntil"]
    for after in (timedelta(days=-6), timedelta(minutes=2)):
        system.system.clock.move(datetime.fromisoformat(end) + after - system.system.clock.now())
        await system.settled()
    await system.wait_for(bought, *["subscription.renewed"] * 2)


async def _money_goes_back(system: Whole, bought: Bought) -> None:
    await system.tell(f"/api/purchases/{bought.purchase_id}/refund", amount=100)
    await system.wait_for(bought, "purchase.refunded")
    bank, money = system.bank(bought)
    dispute = bank.dispute(money)
    await system.wait_for(bought, "install.suspended")
    bank.close_dispute(dispute["id"], "won")
    await system.wait_for(bought, "install.resumed")


async def _a_mail_bounces(system: Whole, bought: Bought) -> None:
    await system.settled()
    system.system.mailbox.refuse(bought.email, f"550 5.1.1 <{bought.email}> is unknown here", times=1)
    await system.tell(f"/api/installs/{bought.purchase_id}/suspend")
    await system.wait_for(bought, "install.suspended", "message.failed")
    await system.tell(f"/api/installs/{bought.purchase_id}/resume")
    await system.wait_for(bought, *["install.resumed"] * 2)


async def _taken_along(system: Whole, who: Somebody, customer: str) -> dict[str, Any]:
    """Signed in, about to do so again elsewhere, and having asked to be forgotten."""
    await system.settled()
    link = (await _mailed_links(system, who, 1))[0]
    assert (await system.client.post("/api/account/session", json={"token": link})).status_code == 201
    await _mailed_links(system, who, 2)
    assert (await system.client.post("/api/account/erasure")).status_code == 202
    await system.settled()
    export: dict[str, Any] = (await system.client.get("/api/account/export")).json()
    system.client.cookies.clear()
    by_operator = await system.ask(f"/api/customers/{customer}/export")
    assert [one["id"] for one in by_operator["purchases"]] == [one["id"] for one in export["purchases"]]
    return export


async def _mailed_links(system: Whole, who: Somebody, number: int) -> list[str]:
    assert (await system.client.post("/api/account/link", json={"email": who.email.upper()})).status_code == 202
    found: list[str] = []

    def come() -> bool:
        mails = system.system.mailbox.to(who.email)
        found[:] = [link for mail in mails for link in re.findall(r"/enter/(\S+)", mail.text)]
        return len(found) >= number

    await wait_until(come, PATIENCE)
    return found


async def _assert_whole(system: Whole, export: dict[str, Any]) -> None:
    """There is nobody else: what the export has of a table is all that is in it."""
    for service in SERVICES:
        exported = {table: len(rows) for table, rows in export.get(service, {}).items()}
        for purchase in export["purchases"]:
            for table, rows in purchase[service].items():
                exported[table] = exported.get(table, 0) + len(rows)
        about_nobody = {"journey_events": " WHERE purchase_id IS NOT NULL"}  # an operator's acts on something else
        stored = {
            table: await system.traces.one(service, f'SELECT count(*) FROM "{table}"{about_nobody.get(table, "")}')
            for table in personal.exported(service)
        }
        assert exported == stored, service
        assert {table for table, count in stored.items() if not count} <= NOT_YET | ELSEWHERE, service


async def _no_credit_is_left(system: Whole, who: Somebody) -> None:
    """What the refund gave back of it."""
    if await system.traces.one("billing", "SELECT sum(balance) FROM credit_balances"):
        await system.tell("/api/credits/forfeit", email=who.email, currency="EUR")


async def _assert_no_second_trial(system: Whole, who: Somebody) -> None:
    again = await _orders(system, who, planId="wordpress-blog", billingCycle="monthly")
    assert again.answer.get("trialDays") is None
    assert again.answer["amount"] == 900
