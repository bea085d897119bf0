"""Asking providers for refunds and disputes, so that a lost webhook loses none of them.

A sweep reads each provider's lists of what was made since the last one. What they name and we do not know is looked at,
and what we know is looked at again, with growing pauses, while it may change. Each look is work of its own: one that
fails stops no other.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta

from billing.deps import BillingDeps
from billing.disputes import DisputeFact, book_dispute
from billing.placing import About, ask, payment_asked_for
from billing.providers import REVERSALS, PaymentProvider, Reversal
from billing.refunds import RefundFact, book_refund
from billing.repository.payments import payment_by_refs
from billing.repository.reversals import note_look, note_sweep, schedule_looks, swept_to, unknown
from keyturn.database import Transaction
from keyturn.errors import Wait
from keyturn.work import Work

LOOK_AT: Mapping[Reversal, str] = {"refund": "look_at_refund", "dispute": "look_at_dispute"}
GRACE = timedelta(minutes=2)  # the webhook is usually faster
OVERLAP = timedelta(minutes=10)  # the provider's clock and ours differ, and its lists lag behind
WINDOW = timedelta(days=7)  # read at a time, so that a long outage is made up for step by step
ASKED_PAUSE = timedelta(days=1)


async def sweep(work: Work, deps: BillingDeps) -> None:
    """Each list by itself: one that fails is read again from where it was read to, and stops no other."""
    lists = [_sweep(work, deps, provider, kind) for provider in deps.providers.values() for kind in REVERSALS]
    for result in await asyncio.gather(*lists, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _sweep(work: Work, deps: BillingDeps, provider: PaymentProvider, kind: Reversal) -> None:
    async with work.transaction("read") as tx:
        reached = await swept_to(tx, provider.name, kind)
    end = deps.clock.now() - GRACE
    if reached and reached > end:  # our clock was ahead
        reached = end - OVERLAP
    while reached and reached < end:
        until = min(end, reached + WINDOW)
        async for ids in provider.made(kind, reached - OVERLAP, until):
            if ids:
                async with work.transaction("swept") as tx:
                    new = await unknown(tx, provider.name, kind, ids)
                    await look_at(tx, kind, [(provider.name, id_) for id_ in new])
        async with work.transaction("swept") as tx:
            await note_sweep(tx, provider.name, kind, until)
        reached = until


async def look_at(tx: Transaction, kind: Reversal, found: Iterable[tuple[str, str]]) -> None:
    """Of each its provider and its id there."""
    await schedule_looks(tx, LOOK_AT[kind], [f"{provider}:{id_}" for provider, id_ in found])


async def look_at_refund(work: Work, deps: BillingDeps) -> None:
    provider, id_ = _looked_at(work, deps)
    found = await provider.refund_now(id_)
    if found.status == "asked":
        raise Wait("needs_customer", "no money has left yet", until=deps.clock.now() + ASKED_PAUSE)
    about = await _placed(work, provider, found.refs)
    fact = RefundFact(id_, found.amount, found.currency, failed=found.status == "failed")
    async with work.transaction("book", finish=True) as tx:
        if payment := await payment_asked_for(tx, provider.name, about, work.subject or work.kind):
            await book_refund(tx, payment, fact, "reconciler")
            await note_look(tx, provider.name, "refund", id_)


async def look_at_dispute(work: Work, deps: BillingDeps) -> None:
    provider, id_ = _looked_at(work, deps)
    asked_at = deps.clock.now()  # before the answer: what is told of a later time outlasts it
    found = await provider.dispute_now(id_)
    about = await _placed(work, provider, found.refs)
    fact = DisputeFact(id_, found.state, found.amount, found.currency, asked_at, found.reason, found.deducted)
    async with work.transaction("book", finish=True) as tx:
        if payment := await payment_asked_for(tx, provider.name, about, work.subject or work.kind):
            await book_dispute(tx, payment, fact, "reconciler")
            await note_look(tx, provider.name, "dispute", id_)


def _looked_at(work: Work, deps: BillingDeps) -> tuple[PaymentProvider, str]:
    name, _, id_ = work.key.partition(":")
    return deps.provider(name), id_


async def _placed(work: Work, provider: PaymentProvider, refs: Mapping[str, str]) -> About:
    async with work.transaction("read") as tx:
        known = await payment_by_refs(tx, provider.name, refs)
    about = About(refs, None)
    return about if known else await ask(work, provider, about)
