"""Customers who do not give up: whatever answers wrongly or not at all is asked again, as a person would."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from sandbox.shopper import Bought
from support.whole import Whole

PATIENCE = 200.0  # the test's own time-out is shorter


class Customer:
    """One purchase from the order to the login, through any number of failures."""

    patience = PATIENCE

    def __init__(self, system: Whole, provider: str) -> None:
        self._system, self._provider = system, provider
        self.email, self.key = system.email(), secrets.token_hex(8)

    async def buy(self) -> Bought:
        bought = await self.order()
        self._system.shopper.pay(bought)
        return bought

    async def order(self) -> Bought:
        currency = {"stripe": "EUR", "razorpay": "INR"}[self._provider]
        order = {"key": self.key, "name": "Somebody", "storeName": "Shop", "currency": currency}
        bought: Bought = await self._again(lambda: self._system.shopper.order(self.email, **order))
        return bought

    async def take_over(self, bought: Bought) -> None:
        link = self._system.shopper.setup_link(bought)
        assert link, "the setup mail holds no link"
        await self._again(lambda: self._system.shopper.set_password(link, self._system.password))

    async def _again(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await ask()
            except httpx.TransportError:
                pass
            except httpx.HTTPStatusError as refused:
                if refused.response.status_code == 410:  # used: an earlier try of ours succeeded, its answer was lost
                    return None
                if refused.response.status_code == 409:
                    self._held()
                elif refused.response.status_code < 500:
                    raise
            await asyncio.sleep(0.1)  # a person at a browser

    def _held(self) -> None:
        """The link is in the hands of a try that died."""
        self._system.move(seconds=30)
