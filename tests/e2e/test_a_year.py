"""A year of one customer, through all services: a trial, a card, an empty one, suspension, another plan, the end."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sandbox.shopper import Bought
from support.months import MONTHLY, go_to, proof, subscription
from support.pages import ROOT
from support.waiting import wait_until
from support.ways import OVER_RABBITMQ
from support.whole import Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]
DECLINED = "pm_card_visa_chargeDeclinedInsufficientFunds"

SAMPLE = yaml.safe_load((ROOT / "catalog.yaml").read_text())
STUDIO = {
    "name": "A studio",
    "blueprint": "sandbox-app-sized",
    "plans": {
        name: {
            "name": name.title(),
            "limits": {"memory": memory},
            "prices": [{"cycle": "monthly", "currency": "EUR", "amount": amount, **more}],
        }
        for name, memory, amount, more in (
            ("small", "256M", 900, {"trial_days": 14, "setup_fee": 500}),
            ("large", "1G", 2900, {}),
        )
    },
}
CATALOG = yaml.safe_dump(SAMPLE | {"products": SAMPLE["products"] | {"studio": STUDIO}}, sort_keys=False)


async def test_a_year_of_one_customer_through_all_services(system: Whole) -> None:
    await system.tell("/api/catalog", content=CATALOG)
    bought = await system.order(product="studio", planId="small", **MONTHLY)
    url = await system.activate(bought)
    assert (bought.answer["amount"], bought.checkout_id) == (0, "")
    await system.wait_for(bought, "subscription.renewed")
    assert (await subscription(system, bought))["status"] == "trialing"
    await _gives_card(system, bought)

    # The trial ends, and two months go by.
    for number in range(2, 5):
        await go_to(system, bought, days=-6)
        await system.wait_for(bought, *["subscription.renewal_due"] * (number - 1))
        assert (await subscription(system, bought))["chargesAt"]
        if number == 4:
            system.system.stripe.use_saved(await _customer(system, bought), DECLINED)
            break
        await go_to(system, bought, minutes=2)
        await system.wait_for(bought, *["subscription.renewed"] * number, *["invoice.paid"] * (number - 1))

    # The card has no money any more.
    await go_to(system, bought, minutes=2)
    await system.wait_for(bought, "subscription.past_due", "subscription.charge_failed")
    assert await system.shopper.logs_in(url, bought.email, system.password)
    await go_to(system, bought, days=1, hours=23, minutes=30)
    await system.wait_for(bought, "subscription.warned")
    await go_to(system, bought, days=3, minutes=5)
    await system.wait_for(bought, "subscription.suspended", "install.suspended", *["subscription.charge_failed"] * 2)
    assert not system.instances(bought)
    assert not await system.shopper.logs_in(url, bought.email, system.password)
    await _gives_card(system, bought)
    await system.wait_for(bought, *["subscription.renewed"] * 4, "install.resumed")
    await wait_until(lambda: system.shopper.logs_in(url, bought.email, system.password), 20)

    # It grows.
    assert _memory(system, bought) == "256M"
    charged = await _takes(system, bought, "large")
    await system.wait_for(bought, "install.plan_changed", "subscription.plan_changed")
    assert _memory(system, bought) == "1G"
    assert await system.shopper.logs_in(url, bought.email, system.password)

    # It is cancelled, used up, and deleted.
    path, headers = f"/api/install/{bought.purchase_id}", await proof(system, bought)
    for act, cancels in (("cancel", True), ("keep", False), ("cancel", True)):
        said = (await system.client.post(f"{path}/{act}", json={}, headers=headers)).json()
        assert (said["status"], said["cancelAtPeriodEnd"]) == ("active", cancels)
    await go_to(system, bought, minutes=-5)
    await system.settled()
    assert await system.shopper.logs_in(url, bought.email, system.password)
    await go_to(system, bought, minutes=2)
    await system.wait_for(bought, "subscription.ended")
    await wait_until(lambda: not system.instances(bought), 20)
    assert system.data_of(bought).exists()
    system.move(days=31)
    deleted = (await system.wait_for(bought, "install.deleted"))[-1]
    gone = {(one["resource"], one["outcome"]) for one in deleted["data"]["proof"]}
    assert gone == {("app", "deleted"), ("health", "not_found")}
    assert not system.data_of(bought).exists()
    await system.settled()
    assert (await system.ask(f"/api/installs/{bought.purchase_id}"))["status"] == "deleted"

    await _nothing_too_much(system, bought, [1400, 900, 900, charged])
    await system.tell("/api/catalog", content=(ROOT / "catalog.yaml").read_text())


async def _nothing_too_much(system: Whole, bought: Bought, paid: list[int]) -> None:
    """Told, mailed, billed and taken once each."""
    journey = await system.journey(bought)
    once = ("past_due", "warned", "suspended", "plan_changed", "kept", "ended")
    told = dict.fromkeys(once, 1) | {"renewed": 4, "renewal_due": 3, "charge_failed": 2, "cancelled": 2}
    assert {name: journey.count(f"subscription.{name}") for name in told} == told
    states = ("ready", "activated", "suspended", "resumed", "plan_changed", "deleted")
    assert [journey.count(f"install.{state}") for state in states] == [1] * len(states)
    assert (journey.count("purchase.paid"), journey.count("invoice.overdue")) == (1, 1)

    mails = system.letters(bought)
    assert {mail.deliveries for mail in mails} == {1}
    assert [mail.subject for mail in mails] == [
        "Shop is ready: choose your password",
        "Shop goes on after the trial: €14.00",
        "Shop renews: €9.00",
        "Shop renews: €9.00",
        "Your card for Shop was declined",
        "Shop is about to be suspended",
        "Your card for Shop was declined",
        "Shop is suspended",
        "Shop is back",
        "Shop has another plan now",
    ]
    receipts = system.system.mailbox.to(bought.email)
    assert len([mail for mail in receipts if mail.subject.startswith("Receipt ")]) == len(paid)

    path, headers = f"/api/install/{bought.purchase_id}/invoices", await proof(system, bought)
    invoices = (await system.client.get(path, headers=headers)).json()["items"]
    assert [(one["status"], one["total"]) for one in reversed(invoices)] == [("paid", amount) for amount in paid]
    books = [one.amount for one in system.system.stripe.books() if one.reference == bought.purchase_id]
    assert sorted(books) == sorted(paid)


async def _gives_card(system: Whole, bought: Bought) -> None:
    """From the status page, on Stripe's."""
    path, sql = (
        f"/api/install/{bought.purchase_id}/card",
        "SELECT max(method_id) FROM mandates WHERE purchase_id::text = $1",
    )
    before = await system.traces.one("billing", sql, bought.purchase_id)
    page = (await system.client.post(path, headers=await proof(system, bought))).json()["url"]
    system.system.stripe.give_card(page.rpartition("/")[2])

    async def saved() -> bool:
        return bool(await system.traces.one("billing", sql, bought.purchase_id) != before)

    await wait_until(saved, 20)


async def _customer(system: Whole, bought: Bought) -> str:
    sql = "SELECT customer_id FROM mandates WHERE purchase_id = $1::text::uuid"
    return str(await system.traces.one("billing", sql, bought.purchase_id))


async def _takes(system: Whole, bought: Bought, plan: str) -> int:
    """The other plan, and what was paid for it."""
    path, headers = f"/api/install/{bought.purchase_id}/plan", await proof(system, bought)
    quote = (await system.client.post(f"{path}/quote", json={"planId": plan}, headers=headers)).json()
    accepted = await system.client.post(path, json={"quoteId": quote["quoteId"]}, headers=headers)
    opened = accepted.json()["checkout"]
    assert opened["amount"] == quote["charge"]
    system.shopper.pay(replace(bought, provider="stripe", checkout_id=opened["sessionId"]))
    return int(quote["charge"])


def _memory(system: Whole, bought: Bought) -> str:
    """That its program was started with."""
    (pid,) = system.instances(bought)
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(one.decode().removeprefix("MEMORY=") for one in environment if one.startswith(b"MEMORY="))
