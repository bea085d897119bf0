"""A subscription that Stripe collects by itself: bought, renewed, not paid, suspended, paid again, cancelled."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from sandbox.shopper import Bought
from support.pages import ROOT
from support.waiting import wait_until
from support.ways import OVER_RABBITMQ
from support.whole import Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]
SAMPLE = yaml.safe_load((ROOT / "catalog.yaml").read_text())
PRICE = {"cycle": "monthly", "currency": "EUR", "amount": 3000, "setup_fee": 500, "collection": "provider"}
KIOSK = {
    "name": "A kiosk",
    "blueprint": "sandbox-app",
    "policy": {"suspension_warning_days": 0},
    "plans": {"kiosk": {"name": "Kiosk", "prices": [PRICE]}},
}
CATALOG = yaml.safe_dump(SAMPLE | {"products": SAMPLE["products"] | {"kiosk": KIOSK}}, sort_keys=False)


async def _go_beyond_the_end(system: Whole, bought: Bought) -> None:
    """Stripe bills when what is paid is used up, and charges an hour later."""
    found = (await system.ask(f"/api/journeys/{bought.purchase_id}"))["subscription"]
    end = datetime.fromisoformat(found["periodUntil"])
    system.system.clock.move(end + timedelta(minutes=1) - system.system.clock.now())
    account = system.system.stripe.account
    await wait_until(lambda: any(one["status"] == "draft" for one in account.all("invoice")), 10)
    system.move(minutes=61)


async def test_what_stripe_collects_is_renewed_suspended_and_taken_up_as_stripe_says(system: Whole) -> None:
    await system.tell("/api/catalog", content=CATALOG)
    bought, url = await system.own(product="kiosk")
    await system.wait_for(bought, "subscription.renewed")
    stripe = system.system.stripe

    def there() -> dict[str, Any]:
        (found,) = [one for one in stripe.account.all("subscription") if bought.purchase_id in one["metadata"].values()]
        return found

    await _go_beyond_the_end(system, bought)
    await system.wait_for(bought, *["subscription.renewed"] * 2)

    stripe.use_card(there()["id"], "declined")
    await _go_beyond_the_end(system, bought)
    await system.wait_for(bought, "subscription.past_due")
    assert await system.shopper.logs_in(url, bought.email, system.password)
    system.move(days=3, minutes=5)
    await system.wait_for(bought, "subscription.suspended", "install.suspended")
    stripe.use_card(there()["id"], "good")
    await system.wait_for(bought, *["subscription.renewed"] * 3, "install.resumed")
    await wait_until(lambda: system.shopper.logs_in(url, bought.email, system.password), 20)

    journey = await system.journey(bought)
    assert journey.count("purchase.paid") == 1
    assert "subscription.renewal_due" not in journey
    amounts = [entry.amount for entry in stripe.books() if entry.reference == bought.purchase_id]
    assert amounts == [3500, 3000, 3000]
    sql = "SELECT count(*) FROM periods WHERE purchase_id = $1::text::uuid"
    assert await system.traces.one("billing", sql, bought.purchase_id) == 3

    path = f"/api/install/{bought.purchase_id}"  # months later, with a new proof
    proven = (await system.client.post(f"{path}/access", json={"email": bought.email})).json()
    headers = {"authorization": f"Bearer {proven['accessToken']}"}
    said = await system.client.post(f"{path}/cancel", json={}, headers=headers)
    assert said.json()["cancelAtPeriodEnd"] is True
    await wait_until(lambda: there()["cancel_at_period_end"], 20)
    await system.tell("/api/catalog", content=(ROOT / "catalog.yaml").read_text())
