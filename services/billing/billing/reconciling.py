"""The daily comparison with the providers, of all that may be missing on either side: payments that no webhook told of,
payments that a webhook told of and the provider does not know, refunds and disputes, and how the subscriptions stand
that a provider collects by itself.

What is asked every few minutes anyway is asked once more, also where a pause had grown long or its work is dead.
"""

from datetime import timedelta
from uuid import UUID

from billing.collecting import differences
from billing.deps import BillingDeps
from billing.mirroring import bring_in_line
from billing.providers import REVERSALS, Reversal
from billing.reconcile import look_at_purchase
from billing.rehearsing import Part
from billing.repository.collecting import collected_of, unknown_keys
from billing.repository.payments import get_payment
from billing.repository.reconciling import SOURCES
from billing.repository.reversals import unknown
from billing.repository.runs import Found
from billing.repository.subscriptions import subscription_of
from billing.sweeping import GRACE, look_at, look_at_dispute, look_at_refund
from keyturn.database import Transaction
from keyturn.errors import GiveUp

BACK = timedelta(days=3)  # a weekend, so that a day on which a run failed is compared by the next


async def to_compare(tx: Transaction, after: Found | None, limit: int) -> list[Found]:
    """One list after the other."""
    at = after.place[0] if after else 0
    inside = after.place[1:] if after else None
    for number, source in enumerate(SOURCES[at:], at):
        found = await source(tx, tx.now - BACK, inside, limit)
        if found:
            return [Found(one.key, (number, *one.place)) for one in found]
        inside = None
    return []


async def compare(work: Part, deps: BillingDeps) -> None:
    what, _, _ = work.customer.partition(" ")
    if what == "purchase":
        await look_at_purchase(work, deps)
    elif what == "refund":
        await look_at_refund(work, deps)
    elif what == "dispute":
        await look_at_dispute(work, deps)
    elif what == "collected":
        await _collected(work, deps)
    elif what == "payment":
        await _known_there(work, deps)
    else:
        await _read_list(work, deps)


async def _known_there(work: Part, deps: BillingDeps) -> None:
    """Whoever holds a webhook secret can tell of money that nobody paid: the provider has the last word."""
    async with work.transaction("read") as tx:
        payment = await get_payment(tx, UUID(work.key))
    if payment is None or not payment.refs:
        return
    found = await deps.provider(payment.provider).find(payment.refs)
    if found is None or found.payment_key != payment.payment_key:
        raise GiveUp(f"{payment.provider} knows of no such payment")


async def _collected(work: Part, deps: BillingDeps) -> None:
    """What differs stands in the report, with what was done about it: what the provider says is followed, what we have
    ended is ended there."""
    purchase_id = UUID(work.key)
    async with work.transaction("read") as tx:
        known, subscription = await collected_of(tx, purchase_id), await subscription_of(tx, purchase_id)
    if known is None or subscription is None:
        return
    found = await deps.provider(known.provider).subscription_now(known.provider_id)
    async with work.transaction("read") as tx:
        new = await unknown_keys(tx, known.provider, (payment.payment_key for payment in found.payments))
    work.did += differences(subscription, known, found, missed=bool(new))
    await bring_in_line(work, deps, purchase_id, found=found, finish=True)


async def _read_list(work: Part, deps: BillingDeps) -> None:
    """What was made in these days and is not known here."""
    name, _, kind = work.key.partition(":")
    if name not in deps.providers:
        return
    now = deps.clock.now()
    async for ids in deps.providers[name].made(_reversal(kind), now - BACK, now - GRACE):
        async with work.transaction("swept") as tx:
            new = await unknown(tx, name, _reversal(kind), ids) if ids else []
            await look_at(tx, _reversal(kind), [(name, id_) for id_ in new])


def _reversal(kind: str) -> Reversal:
    return next(one for one in REVERSALS if one == kind)
