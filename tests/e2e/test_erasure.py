"""A customer signs in by mail, takes along what is kept about them, asks to be forgotten, and is: in all four databases
and in the broker."""

import re
import secrets
from functools import partial
from typing import Any

import httpx
import pytest

from sandbox.postgres import SERVICES
from support.leftovers import places
from support.waiting import wait_until
from support.ways import IN_MEMORY
from support.whole import PATIENCE, Whole

pytestmark = [pytest.mark.servers, IN_MEMORY]
KEPT: dict[str, set[str]] = {**{service: set() for service in SERVICES}, "billing": {"invoices"}}  # for the law
MONTHLY = {"planId": "sample-starter", "billingCycle": "monthly"}


async def _signs_in(system: Whole, email: str) -> None:
    asked = await system.client.post("/api/account/link", json={"email": email})
    assert asked.status_code == 202
    found: list[str] = []

    def come() -> bool:
        found[:] = [link for mail in system.system.mailbox.to(email) for link in re.findall(r"/enter/(\S+)", mail.text)]
        return bool(found)

    await wait_until(come, PATIENCE)
    assert (await system.client.post("/api/account/session", json={"token": found[-1]})).status_code == 201


async def test_a_customer_is_forgotten_everywhere_but_in_the_books(system: Whole) -> None:
    word = f"zebulon{secrets.token_hex(4)}"
    wanted = {"name": f"Zebulon {word}", "storeName": f"{word} & Sons", "subdomain": word, **MONTHLY}
    bought = await system.shopper.order(f"{word}@customers.example", currency="EUR", **wanted)
    system.system.mailbox.refuse(bought.email, f"452 4.2.2 {bought.email} is full", times=1)
    system.shopper.pay(bought)
    await system.activate(bought)
    other = await system.shopper.order(bought.email, currency="EUR", **(wanted | {"subdomain": f"{word}-2"}))
    for action, event in (("suspend", "suspended"), ("resume", "resumed")):
        await system.tell(f"/api/installs/{bought.purchase_id}/{action}")
        await system.wait_for(bought, f"install.{event}")
    await system.settled()

    await _signs_in(system, bought.email)
    mine = (await system.client.get("/api/account")).json()
    assert [one["id"] for one in mine["purchases"]["items"]] == [other.purchase_id, bought.purchase_id]
    taken = (await system.client.get("/api/account/export")).json()
    for service in SERVICES:
        assert word in str([one[service] for one in taken["purchases"]]), service
    assert bought.access_token not in str(taken)
    assert (await system.client.post("/api/account/erasure")).status_code == 202
    system.client.cookies.clear()

    (wish,) = [one for one in (await system.ask("/api/customers?erasure=wanted"))["items"] if word in one["email"]]
    path = f"/api/customers/{wish['id']}"
    with pytest.raises(httpx.HTTPStatusError, match="customer_not_done"):
        await system.tell(f"{path}/erase")
    await system.tell(f"{path}/erase", endEverything=True)

    async def complete() -> Any:
        system.move(minutes=1)  # what waits looks again
        return (await system.ask(path))["erasure"]["complete"]

    await wait_until(complete, PATIENCE)
    await system.settled()
    assert not system.instances(bought)
    for service in SERVICES:
        assert await places(partial(system.traces.rows, service), [word, "Zebulon"]) == KEPT[service], service
        if system.broker and system.vhost:
            dead = system.broker.bodies(system.vhost, f"{service}.dead")
            assert word.encode() not in b"".join(dead)
    shown = await system.ask(path)
    assert [payment["amount"] for payment in shown["payments"]] == [900]
    await _a_late_webhook_brings_nothing_back(system, bought, word)


async def _a_late_webhook_brings_nothing_back(system: Whole, bought: Any, word: str) -> None:
    bank, money = system.bank(bought)
    dispute = bank.dispute(money)
    await system.wait_for(bought, "purchase.disputed")
    bank.close_dispute(dispute["id"], "won")
    await system.wait_for(bought, *["purchase.disputed"] * 2)
    await system.settled()
    for service in SERVICES:
        assert await places(partial(system.traces.rows, service), [word, "Zebulon"]) == KEPT[service], service
