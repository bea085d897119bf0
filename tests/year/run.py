"""A year of many customers in billing: its own database, a provider in memory, and a clock that goes day by day."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx

from billing.changing import accept, quote
from billing.checkout import open_again
from billing.handlers import WORK
from keyturn.clock import MovableClock
from keyturn.events import InstallPlanChanged, InstallReady
from keyturn.internal import Caller
from support.billing import World, world
from support.fake_provider import FakeProvider
from support.subscriptions import run as billing_run
from year.ledger import Ledger, keep
from year.lives import Life, lives
from year.repeating import what_repeating_changes

DAYS = 366 + 31  # who comes last has a whole year, too
OUTAGE = range(154, 156)  # on these days billing is away
AT_ONCE = 10  # customers; and a database's connections
A_DAY = timedelta(days=1)
MIDDLE = 12 * A_DAY  # of a period
# The provider in memory may be asked for any number of charges at once.
KINDS = {name: replace(kind, slots=None) for name, kind in WORK.items()}

CUSTOMER = Caller(actor="a customer", role="customer")
ASKED = """
SELECT r.purchase_id, number, opened_at, method_id FROM renewals r LEFT JOIN mandates USING (purchase_id)
WHERE r.state = 'open'
"""
CONTENT = """
SELECT purchase_id, number, starts_at > $2 AS half FROM subscriptions
WHERE state = 'active' AND NOT cancel_at_period_end AND (number >= $1 OR starts_at > $2 AND starts_at <= $3)
"""
FIRST = "SELECT id FROM payments WHERE purchase_id = $1 AND amount > 0 ORDER BY id LIMIT 1"


@dataclass
class Year:
    billing: World
    say: Callable[[str], None]
    customers: dict[UUID, Life] = field(default_factory=dict)  # by purchase
    lost: int = 0  # payments while billing was away, of which no webhook ever told

    async def go(self, count: int) -> Ledger:
        coming = lives(count)
        for day in range(DAYS):
            await _each(self._comes(life) for life in coming if life.begins == day)
            if day == OUTAGE.start:
                await self._billing_is_away()
            if day == OUTAGE.stop:
                await self.billing.reconcile()
            self.billing.clock.move(A_DAY)
            if day not in OUTAGE:
                await self._a_day()
            if day % 30 == 0:
                self.say(f"day {day}: {len(self.customers)} customers")
        await self._refunds()
        ledger = await keep(self.billing)
        ledger.lost = self.lost
        ledger.wrong += [
            f"run once more, the runs change {what}" for what in await what_repeating_changes(self.billing)
        ]
        return ledger

    async def _a_day(self) -> None:
        await self._cards()
        await billing_run(self.billing)
        now = self.billing.clock.now()
        asked = await self._rows(ASKED)
        await _each(self._pays(one) for one in asked if self._life(one).has_paid(one.number, now - one.opened_at))
        for one in await self._rows(CONTENT, self._first_to_leave, now - MIDDLE - A_DAY, now - MIDDLE):
            if one.number >= self._life(one).leaves:
                await self._operator(f"/internal/subscriptions/{one.purchase_id}/cancel", {"when": "period_end"})
            elif one.half and (plan := self._life(one).other_plan(one.number)):
                await self._changes(one.purchase_id, plan)

    async def _cards(self) -> None:
        """Whoever pays late by a link has no money on the card when it is charged."""
        empty = [one for one in await self._rows(ASKED) if self._life(one).is_short_of_money(one.number)]
        self.billing.stripe.declining = {one.method_id: "insufficient_funds" for one in empty}

    async def _comes(self, life: Life) -> None:
        opened = await self.billing.buy(**life.order)
        purchase = UUID(opened["purchase_id"])
        self.customers[purchase] = life
        if checkout := opened.get("session_id") or opened.get("order_id"):
            await self._pay(checkout)
        now = self.billing.clock.now()
        await self.billing.hear(
            InstallReady(subject=str(purchase), time=now, job_id="1", action="provision", setup=True)
        )

    async def _pays(self, asked: Any, *, told: bool = True) -> None:
        """By the link in the mail. What the provider took may be known already: then nothing is owed."""
        checkout = (await open_again(self.billing.deps, asked.purchase_id)).checkout
        if checkout:
            await self._pay(str(checkout.provider_id), told=told)

    async def _billing_is_away(self) -> None:
        """Those who would pay in these days have their page open, and pay there. The provider tells in vain."""
        soon = self.billing.clock.now() + len(OUTAGE) * A_DAY
        asked = await self._rows(ASKED)
        paying = [one for one in asked if self._life(one).has_paid(one.number, soon - one.opened_at)]
        await _each(self._pays(one, told=False) for one in paying)
        self.lost = len(paying)

    async def _changes(self, purchase: UUID, plan: str) -> None:
        quoted, _ = await quote(self.billing.deps, purchase, plan)
        _, opened = await accept(self.billing.deps, CUSTOMER, purchase, quoted.id)
        if opened and opened.checkout:
            await self._pay(str(opened.checkout.provider_id))
        said = {"subject": str(purchase), "time": self.billing.clock.now(), "job_id": "2", "plan": plan}
        await self.billing.hear(InstallPlanChanged(**said, action="change_plan"))

    async def _refunds(self) -> None:
        for purchase, life in self.customers.items():
            if life.refunded:
                ((first,),) = await self._rows(FIRST, purchase)
                await self._operator(f"/internal/payments/{first}/refund", {})
        await self.billing.work()

    async def _pay(self, checkout: str, *, told: bool = True) -> None:
        provider = self._provider(checkout)
        payment = provider.pay(checkout)
        if told:
            await self.billing.hear(provider.told(payment))

    def _provider(self, checkout: str) -> FakeProvider:
        return next(one for one in (self.billing.stripe, self.billing.razorpay) if checkout in one.orders)

    def _life(self, row: Any) -> Life:
        return self.customers[row.purchase_id]

    @property
    def _first_to_leave(self) -> int:
        return min((life.leaves for life in self.customers.values()), default=0)

    async def _operator(self, path: str, sent: dict[str, Any]) -> None:
        checked(await self.billing.ask("POST", path, "admin", json={"reason": "the year", **sent}))

    async def _rows(self, sql: str, *values: object) -> Any:
        return await self.billing.database.run("year", sql, *values)


def checked(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code < 300, answer.text
    return dict(answer.json())


async def _each(doing: Iterable[Awaitable[None]]) -> None:
    """A few at a time."""
    waiting = list(doing)
    for start in range(0, len(waiting), AT_ONCE):
        await asyncio.gather(*waiting[start : start + AT_ONCE])


async def live(url: str, count: int, say: Callable[[str], None]) -> Ledger:
    began = time.monotonic()
    async with world(url, MovableClock()) as billing:
        billing.kinds, billing.slots = KINDS, AT_ONCE * 3
        billing.stripe.saves = True  # cards; who pays through Razorpay pays by link
        ledger = await Year(billing, say).go(count)
    ledger.seconds = time.monotonic() - began
    return ledger
