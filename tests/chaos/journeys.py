"""Customers of every kind, each with a plan that follows from the seed."""

import asyncio
import random
from dataclasses import dataclass

import httpx

from chaos.world import World
from sandbox.shopper import Bought
from support.customers import Customer

# How often, of a hundred.
PLOTS = {
    "straight": 40,
    "declined first": 10,
    "refunded": 12,
    "disputed": 10,  # and won
    "operator": 10,  # suspends and resumes
    "target weak": 10,  # answers 503 for a while
    "target refuses": 8,  # until it is mended, and the operator tries again
}
UNTOLD = 1200.0  # seconds: of a refund or dispute whose webhook is lost we hear when we ask next
KEPT = 0.1  # of those who could stay; the others are suspended in the end, so that not all programs run at once


@dataclass(frozen=True)
class Plan:
    number: int
    plot: str
    provider: str
    kept: bool
    seed: int

    @property
    def email(self) -> str:
        return f"customer-{self.number}-{self.seed}@customers.example"

    @property
    def key(self) -> str:
        return f"order-{self.seed}-{self.number}"

    def __str__(self) -> str:
        return f"{self.number} ({self.plot}, {self.provider})"


def plans(seed: int, number: int) -> list[Plan]:
    chance = random.Random(f"journeys {seed}")
    plots = chance.choices(list(PLOTS), list(PLOTS.values()), k=number)
    return [Plan(n, plot, ("stripe", "razorpay")[n % 2], chance.random() < KEPT, seed) for n, plot in enumerate(plots)]


class Journey(Customer):
    """From the order to where its plan ends. `bought` once it is ordered, `doing` for who wonders where it hangs."""

    def __init__(self, world: World, plan: Plan) -> None:
        super().__init__(world.whole, plan.provider)
        self.plan, self.email, self.key = plan, plan.email, plan.key
        self.bought: Bought | None = None
        self.doing = "orders"
        self._world = world

    @property
    def ends(self) -> str:
        """The state of the install when all is over."""
        if self.plan.plot == "refunded":
            return "ended"
        return "active" if self.plan.kept else "suspended"

    @property
    def suspensions(self) -> int:
        """How often the customer is told that the install is suspended, at most."""
        return (self.plan.plot in {"disputed", "operator", "refunded"}) + (self.ends == "suspended")

    async def travel(self) -> None:
        bought = self.bought = await self.order()
        target = self._world.neighbour
        if self.plan.plot == "target weak":
            target.weak[bought.purchase_id] = 3
        elif self.plan.plot == "target refuses":
            target.broken.add(("first", bought.purchase_id))
        if self.plan.plot == "declined first":
            self._decline(bought)
        self._system.shopper.pay(bought)
        if self.plan.plot == "target refuses":
            await self._until("install.failed")
            target.broken.discard(("first", bought.purchase_id))
            await self._operator("retry")
        await self._until("install.ready", "setup_link.issued")
        await self._mail()
        self.doing = "sets the password"
        await self.take_over(bought)
        await self._until("install.activated")
        await self._after()
        if self.ends == "suspended":
            await self._operator("suspend")
            await self._until("install.suspended")

    async def _after(self) -> None:
        assert self.bought
        if self.plan.plot == "refunded":
            bank, money = self._system.bank(self.bought)
            bank.refund(money)
            await self._until("purchase.refunded", within=UNTOLD)
        elif self.plan.plot == "disputed":
            bank, money = self._system.bank(self.bought)
            dispute = bank.dispute(money)
            await self._until("install.suspended", within=UNTOLD)
            bank.close_dispute(dispute["id"], "won")
            await self._until("install.resumed", within=UNTOLD)
        elif self.plan.plot == "operator":
            await self._operator("suspend")
            await self._until("install.suspended")
            await self._operator("resume")
            await self._until("install.resumed")

    def _decline(self, bought: Bought) -> None:
        if bought.provider == "stripe":
            self._system.system.stripe.pay(bought.checkout_id, "declined")
        else:
            self._system.system.razorpay.pay(bought.checkout_id, "failed")

    async def _until(self, *wires: str, within: float | None = None) -> None:
        assert self.bought
        self.doing = f"waits for {', '.join(wires)}"
        await self._system.wait_for(self.bought, *wires, within=within or self.patience)

    async def _mail(self) -> None:
        assert self.bought
        self.doing = "waits for the mail"
        async with asyncio.timeout(self.patience):
            while not self._system.shopper.setup_link(self.bought):  # noqa: ASYNC110 - a mailbox tells nobody
                await asyncio.sleep(0.2)

    async def _operator(self, action: str) -> None:
        assert self.bought
        self.doing = f"operator: {action}"
        url = f"/api/installs/{self.bought.purchase_id}/{action}"

        async def tell() -> None:
            try:
                await self._system.tell(url)
            except httpx.HTTPStatusError as refused:
                if "nothing_to_retry" not in str(refused):  # an earlier try of ours succeeded, its answer was lost
                    raise

        await self._again(tell)

    def _held(self) -> None:
        """Somebody's try that died holds it for half a minute: time goes its way here."""
