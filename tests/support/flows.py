"""What can happen to a purchase, one flow after the other; and customers who go through one of them again and again."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from sandbox.shopper import LINK, Bought
from support.customers import PATIENCE, Customer
from support.waiting import wait_until
from support.whole import Whole

AT_ONCE = 6  # customers


class Owner(Customer):
    """A customer to whom everything happens. `told`: how often the journey must have told of each event by now."""

    def __init__(self, system: Whole, provider: str) -> None:
        super().__init__(system, provider)
        self.bought: Bought
        self.owns = False
        self.told: Counter[str] = Counter()

    async def purchase(self) -> None:
        self.bought = await self.buy()
        await self._hear("purchase.opened", "purchase.paid", "install.ready", "setup_link.issued")
        await self._hear("message.sent", "message.sent")  # a receipt, the link

    async def get_a_new_link(self) -> None:
        """From an operator, who gets it again where the answer was lost: the newest one holds."""
        await self._ask(f"/api/installs/{self.bought.purchase_id}/reissue")
        await self._hear("setup_link.issued", "message.sent")

    async def set_up(self) -> None:
        await wait_until(lambda: self._again(self._try_links), PATIENCE)
        await self._hear("install.activated")
        self.owns = True

    async def _try_links(self) -> bool:
        """Whether one of those in the mailbox works, or did before its answer was lost. The newest may still be on its
        way."""
        links = [link for mail in self._system.system.mailbox.to(self.email) for link in LINK.findall(mail.text)]
        return any([await self._works(link) for link in links])

    async def _works(self, link: str) -> bool:
        try:
            await self._system.shopper.set_password(link, self._system.password)
        except httpx.HTTPStatusError as refused:
            code = refused.response.json()["code"]
            if code not in {"setup_link_used", "setup_link_replaced"}:
                raise
            return bool(code == "setup_link_used")
        return True

    async def be_suspended(self) -> None:
        """By an operator, and resumed."""
        for action, event in (("suspend", "suspended"), ("resume", "resumed")):
            await self._ask(f"/api/installs/{self.bought.purchase_id}/{action}")
            await self._hear(f"install.{event}", "message.sent")

    async def dispute(self) -> None:
        """With the bank, which decides for the shop."""
        bank, money = self._system.bank(self.bought)
        dispute = bank.dispute(money)
        await self._hear("purchase.disputed", "install.suspended", "message.sent")
        bank.close_dispute(dispute["id"], "won")
        await self._hear("purchase.disputed", "install.resumed", "message.sent")

    async def be_refunded(self) -> None:
        await self._ask(f"/api/purchases/{self.bought.purchase_id}/refund")
        await self._hear("purchase.refunded")
        self.owns = False

    async def be_deleted(self) -> None:
        await self._ask(f"/api/installs/{self.bought.purchase_id}/delete", now=True)
        await self._hear("install.deleted")

    async def _hear(self, *wires: str) -> None:
        self.told.update(wires)
        await self._system.wait_for(self.bought, *self.told.elements(), within=PATIENCE)

    async def _ask(self, path: str, **body: Any) -> None:
        """Refused at a later try: an earlier one succeeded, and its answer was lost."""
        tried = False

        async def once() -> Any:
            nonlocal tried
            try:
                return await self._system.tell(path, **body)
            except httpx.HTTPStatusError as refused:
                if not tried or refused.response.status_code >= 500:
                    raise
            finally:
                tried = True

        await self._again(once)


@dataclass(frozen=True)
class Flow:
    """`after`: what a customer has gone through before. `again`: he can go through this one any number of times.
    Without a step: what the services do of themselves."""

    name: str
    step: Callable[[Owner], Awaitable[None]] | None = None
    after: str = ""
    again: bool = False


FLOWS = {
    flow.name: flow
    for flow in (
        Flow("start"),
        Flow("purchase", Owner.purchase),
        Flow("reissue", Owner.get_a_new_link, after="purchase", again=True),
        Flow("setup", Owner.set_up, after="purchase"),
        Flow("suspend", Owner.be_suspended, after="setup", again=True),
        Flow("refund", Owner.be_refunded, after="setup"),
        Flow("delete", Owner.be_deleted, after="refund"),
        Flow("dispute", Owner.dispute, after="setup"),
        Flow("upkeep"),
    )
}


class Customers:
    """Kept by the flow that they went through last."""

    def __init__(self, system: Whole) -> None:
        self._system = system
        self._waiting: defaultdict[str, deque[Owner]] = defaultdict(deque)
        self.every: list[Owner] = []
        self.enough = False

    async def prepare(self, flow: Flow, number: int) -> None:
        """So many are ready for the flow."""
        missing = number - len(self._waiting[flow.after]) if flow.after else 0
        for start in range(0, missing, AT_ONCE):
            made = await asyncio.gather(*(self._new(flow.after) for _ in range(min(AT_ONCE, missing - start))))
            self._waiting[flow.after].extend(made)

    async def drive(self, flow: Flow) -> None:
        """Several at once, until there are enough."""
        self.enough = False
        if flow.step:
            await asyncio.gather(*(self._one_after_the_other(flow) for _ in range(AT_ONCE)))

    async def once(self, flow: Flow) -> None:
        """Two: every other one pays through the other provider."""
        await asyncio.gather(*(self._through(flow) for _ in range(2)))

    async def _one_after_the_other(self, flow: Flow) -> None:
        while not self.enough:
            await self._through(flow)

    async def _through(self, flow: Flow) -> None:
        waiting = self._waiting[flow.after]
        customer = waiting.popleft() if waiting else await self._new(flow.after)
        assert flow.step
        await flow.step(customer)
        self._waiting[flow.after if flow.again else flow.name].append(customer)

    async def _new(self, after: str) -> Owner:
        """One who has gone through all up to there."""
        flow = FLOWS.get(after)
        if flow is None:
            self.every.append(Owner(self._system, ("stripe", "razorpay")[len(self.every) % 2]))
            return self.every[-1]
        customer = await self._new(flow.after)
        assert flow.step
        await flow.step(customer)
        return customer
