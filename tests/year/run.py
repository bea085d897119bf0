"""A year of many customers in billing: its own database, a provider in memory, and a clock that goes day by day."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx

from keyturn.clock import MovableClock
from keyturn.events import InstallPlanChanged, InstallReady
from support.billing import World, world
from support.fake_provider import FakeProvider
from support.subscriptions import run as billing_run
from year.ledger import Ledger, keep
from year.lives import Life, lives

DAYS = 366 + 31  # who comes last has a whole year, too
AT_ONCE = 8
A_DAY = timedelta(days=1)
MIDDLE = 12 * A_DAY  # of a period


@dataclass
class Year:
    billing: World
    say: Callable[[str], None]
    customers: dict[str, Life] = field(default_factory=dict)  # by purchase

    async def go(self, count: int) -> Ledger:
        coming = lives(count)
        for day in range(DAYS):
            await _each([self._comes(life) for life in coming if life.begins == day])
            await self._a_day()
            if day % 30 == 0:
                self.say(f"day {day}: {len(self.customers)} customers")
        await self._refunds()
        return await keep(self.billing)

    async def _a_day(self) -> None:
        self.billing.clock.move(A_DAY)
        await self._cards()
        await billing_run(self.billing)
        asked = await self.billing.rows(
            "SELECT r.purchase_id, r.number, r.opened_at FROM renewals r WHERE r.state = 'open'"
        )
        now = self.billing.clock.now()
        await _each([self._may_pay(str(one["purchase_id"]), one["number"], now - one["opened_at"]) for one in asked])
        content = await self.billing.rows(
            "SELECT purchase_id, number, starts_at FROM subscriptions WHERE state = 'active' AND NOT cancel_at_period_end"
        )
        await _each([self._may_leave(str(one["purchase_id"]), one["number"]) for one in content])
        half = [one for one in content if MIDDLE <= now - one["starts_at"] < MIDDLE + A_DAY]
        await _each([self._may_change(str(one["purchase_id"]), one["number"]) for one in half])

    async def _cards(self) -> None:
        """Whoever pays late by a link has no money on the card when it is charged."""
        asked = await self.billing.rows(
            "SELECT r.purchase_id, r.number, m.method_id FROM renewals r JOIN mandates m USING (purchase_id)"
            " WHERE r.state = 'open'"
        )
        empty = [one for one in asked if self.customers[str(one["purchase_id"])].is_short_of_money(one["number"])]
        self.billing.stripe.declining = {one["method_id"]: "insufficient_funds" for one in empty}

    async def _comes(self, life: Life) -> None:
        opened = await self.billing.buy(**life.order)
        purchase = str(opened["purchase_id"])
        self.customers[purchase] = life
        if checkout := opened.get("session_id") or opened.get("order_id"):
            await self._pay(checkout)
        now = self.billing.clock.now()
        ready = InstallReady(subject=purchase, time=now, job_id="1", action="provision", setup=True)
        await self.billing.hear(ready)

    async def _may_pay(self, purchase: str, number: int, since: timedelta) -> None:
        patience = self.customers[purchase].patience(number)
        if patience is not None and since >= timedelta(days=patience):
            answer = (await self.billing.ask("POST", f"/internal/purchases/{purchase}/checkout")).json()
            await self._pay(answer.get("session_id") or answer["order_id"])

    async def _may_leave(self, purchase: str, number: int) -> None:
        if number >= self.customers[purchase].leaves:
            await self._operator(f"/internal/subscriptions/{purchase}/cancel", {"when": "period_end"})

    async def _may_change(self, purchase: str, number: int) -> None:
        plan = self.customers[purchase].other_plan(number)
        if plan is None:
            return
        path = f"/internal/subscriptions/{purchase}/plan"
        quote = checked(await self.billing.ask("POST", f"{path}/quote", "customer", json={"plan_id": plan}))
        accepted = checked(await self.billing.ask("POST", path, "customer", json={"quote_id": quote["quote_id"]}))
        if checkout := accepted.get("checkout"):
            await self._pay(checkout.get("session_id") or checkout["order_id"])
        now = self.billing.clock.now()
        await self.billing.hear(
            InstallPlanChanged(subject=purchase, time=now, job_id="2", action="change_plan", plan=plan)
        )

    async def _refunds(self) -> None:
        for purchase, life in self.customers.items():
            if life.refunded:
                await self._operator(f"/internal/payments/{await self._first(purchase)}/refund", {})
        await self.billing.work()

    async def _first(self, purchase: str) -> str:
        sql = "SELECT id FROM payments WHERE purchase_id = CAST(:id AS uuid) AND amount > 0 ORDER BY id LIMIT 1"
        return str((await self.billing.rows(sql, id=purchase))[0]["id"])

    async def _pay(self, checkout: str) -> None:
        provider = self._provider(checkout)
        await self.billing.hear(provider.told(provider.pay(checkout)))

    def _provider(self, checkout: str) -> FakeProvider:
        return next(one for one in (self.billing.stripe, self.billing.razorpay) if checkout in one.orders)

    async def _operator(self, path: str, sent: dict[str, Any]) -> None:
        checked(await self.billing.ask("POST", path, "admin", json={"reason": "the year", **sent}))


def checked(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code < 300, answer.text
    return dict(answer.json())


async def _each(doing: Iterable[Awaitable[None]]) -> None:
    """A few at a time."""
    waiting: Sequence[Awaitable[None]] = list(doing)
    for start in range(0, len(waiting), AT_ONCE):
        await asyncio.gather(*waiting[start : start + AT_ONCE])


async def live(url: str, count: int, say: Callable[[str], None]) -> Ledger:
    began = time.monotonic()
    async with world(url, MovableClock()) as billing:
        billing.stripe.saves = True  # cards; who pays through Razorpay pays by link
        ledger = await Year(billing, say).go(count)
    ledger.seconds = time.monotonic() - began
    return ledger
