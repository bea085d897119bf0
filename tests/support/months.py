"""A purchase in the whole system, as months go by."""

from datetime import datetime, timedelta
from typing import Any

from sandbox.shopper import Bought
from support.whole import Whole

MONTHLY = {"billingCycle": "monthly", "timezone": "Europe/Berlin"}


async def subscription(system: Whole, bought: Bought) -> dict[str, Any]:
    return dict((await system.ask(f"/api/journeys/{bought.purchase_id}"))["subscription"])


async def go_to(system: Whole, bought: Bought, **after_the_end: float) -> None:
    """To a moment before or after the end of what is paid."""
    end = datetime.fromisoformat((await subscription(system, bought))["periodUntil"])
    system.system.clock.move(end + timedelta(**after_the_end) - system.system.clock.now())


async def proof(system: Whole, bought: Bought) -> dict[str, str]:
    """That it is theirs: the one of the order is months old."""
    path = f"/api/install/{bought.purchase_id}/access"
    proven = (await system.client.post(path, json={"email": bought.email})).json()
    return {"authorization": f"Bearer {proven['accessToken']}"}
