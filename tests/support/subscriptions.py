"""Recurring purchases on billing's own: bought, made ready, and as time goes by."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from billing.providers import CapturedPayment
from keyturn.events import EntitlementChanged, InstallReady
from support.billing import World
from support.fake_provider import FakeProvider

PRICE = 900


class Subscriber:
    """One customer of a monthly plan, and what billing thinks of them."""

    def __init__(self, billing: World, opened: dict[str, Any]) -> None:
        self.billing = billing
        self.id: str = opened["purchase_id"]
        self.provider: FakeProvider = billing.razorpay if opened["provider"] == "razorpay" else billing.stripe
        self.checkout: str = opened.get("session_id") or opened.get("order_id") or opened.get("subscription_id", "")

    async def pays(self, checkout: str | None = None) -> CapturedPayment:
        """And the webhook tells of it."""
        payment = self.provider.pay(checkout or self.checkout)
        await self.billing.hear(self.provider.told(payment))
        return payment

    def ready(self, **changes: Any) -> InstallReady:
        now = self.billing.clock.now().replace(second=0, microsecond=0)  # so that periods end on a whole minute
        said = {"subject": self.id, "time": now, "job_id": "1", "action": "provision"}
        return InstallReady(**(said | {"setup": True} | changes))

    async def is_ready(self, **changes: Any) -> InstallReady:
        event = self.ready(**changes)
        await self.billing.hear(event)
        return event

    async def opens_checkout(self) -> str:
        """For what is owed, from the link in the mail."""
        answer = (await self.billing.ask("POST", f"/internal/purchases/{self.id}/checkout")).json()
        return str(answer.get("session_id") or answer.get("order_id") or "")

    async def time_passes(self, until: datetime | None = None, **by: float) -> None:
        """And what is then due is done."""
        now = self.billing.clock.now()
        self.billing.clock.move((until - now) if until else timedelta(**by))
        await run(self.billing)

    async def whole(self) -> dict[str, Any]:
        return dict((await self.billing.ask("GET", f"/internal/purchases/{self.id}", "viewer")).json())

    async def subscription(self) -> dict[str, Any]:
        return dict((await self.whole())["subscription"])

    async def state(self) -> str:
        return str((await self.subscription())["status"])

    async def ends_at(self) -> datetime:
        return datetime.fromisoformat((await self.subscription())["period_until"])

    async def periods(self) -> list[tuple[int, str, str]]:
        found = reversed((await self.whole())["periods"])
        return [(one["number"], one["from"][:16], one["until"][:16]) for one in found]

    async def payments(self) -> list[tuple[str, int | None]]:
        sql = "SELECT state, period FROM payments WHERE purchase_id = :id ORDER BY id"
        return [(row["state"], row["period"]) for row in await self.billing.rows(sql, id=UUID(self.id))]

    async def entitled(self) -> list[tuple[str, list[str]]]:
        told = await self.billing.published(EntitlementChanged, self.id)
        return [(one.wanted, one.reasons) for one in told]


async def run(billing: World) -> None:
    """The periodic run, and the work that it asks for."""
    async with billing.database.transaction("test") as tx:
        tx.schedule("billing_run", "every", due=tx.now)
    await billing.work()
    async with billing.database.transaction("test") as tx:  # the test decides when it runs again
        tx.cancel("billing_run", "every")


async def orders(billing: World, **changes: Any) -> Subscriber:
    return Subscriber(billing, await billing.buy(**({"plan_id": "sample-starter", "cycle": "monthly"} | changes)))


async def subscribes(billing: World, **changes: Any) -> Subscriber:
    """Ordered, paid and ready."""
    subscriber = await orders(billing, **changes)
    await subscriber.pays()
    await subscriber.is_ready()
    return subscriber
