"""Forgetting a customer: an operator's act, once nothing of theirs runs; then work, here and in the other services.

The address becomes one that reaches nobody, so that what is kept (amounts, dates, payments) stays whole.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from billing.charging import forget_saved
from billing.checkout_ends import end_purchase
from billing.deps import BillingDeps
from billing.entitlements import settle
from billing.errors import customer_has_credit, customer_not_done, customer_unknown
from billing.owing import CLOSE_CHECKOUTS
from billing.periods import end
from billing.repository import erasing as stored
from billing.repository.credits import balances_of
from billing.repository.customers import purchases_of_customer
from billing.repository.invoices import seller
from billing.repository.purchases import lock_purchase
from billing.repository.subscriptions import subscription_of
from billing.trials import digest_of
from keyturn import erasing
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.events import Contact, CustomerDataErased, CustomerErased, CustomerErasureWanted
from keyturn.internal import Caller
from keyturn.work import Work, WorkKind

SERVICES = ("gateway", "billing", "provisioner", "notifier")
FORGET_BUYERS = "forget_buyers"
LONGEST_YEAR = timedelta(days=366)
MOST = 100  # things that can be ended at once
ENDED_HERE = frozenset({"pending", "running"})  # the others somebody has to decide


async def erase(deps: BillingDeps, caller: Caller, customer_id: UUID, reason: str, *, end_everything: bool) -> None:
    """`end_everything`: what runs is ended now. A repetition changes nothing. Raises `customer_not_done`."""
    async with deps.database.transaction("erase_customer") as tx:
        customer = await stored.lock_customer(tx, customer_id)
        if customer is None:
            raise customer_unknown()
        if customer.erased_at:
            return
        found = await stored.standing(tx, customer_id, MOST)
        in_the_way = [one for one in found if not end_everything or one.what not in ENDED_HERE or len(found) == MOST]
        if in_the_way:
            raise customer_not_done([{"purchaseId": str(one.purchase_id), "what": one.what} for one in in_the_way])
        ended = sorted({one.purchase_id for one in found})
        for purchase_id in ended:
            await _end(tx, purchase_id)
        if left := {currency: left for currency, left in (await balances_of(tx, customer_id)).items() if left}:
            raise customer_has_credit(left)
        if digest := digest_of(deps.settings.address_key, customer.email):
            await stored.keep_trial(tx, customer_id, digest)
        customer.email, customer.erased_at = nobody(customer_id), tx.now
        customer.name = customer.locale = customer.timezone = None
        number = await stored.forget_purchases(tx, customer_id)
        tx.schedule(erasing.ERASE, str(customer_id))
        tx.schedule(FORGET_BUYERS, str(customer_id))
        after = {"purchases": number, "ended": [str(one) for one in ended]}
        acted(tx, caller, "customer.erase", str(customer_id), reason=reason, after=after)


async def ask_for_erasure(deps: BillingDeps, customer_id: UUID) -> None:
    """The customer's own wish: operators are told, and do it. A repetition changes nothing."""
    async with deps.database.transaction("erasure_wanted") as tx:
        customer = await stored.lock_customer(tx, customer_id)
        if customer is None:
            raise customer_unknown()
        if customer.erasure_wanted_at or customer.erased_at:
            return
        customer.erasure_wanted_at = tx.now
        (newest,) = await purchases_of_customer(tx, customer_id, limit=1)
        tx.publish(CustomerErasureWanted(subject=str(newest.id), time=tx.now, customer_id=str(customer_id)))


async def progress(tx: Transaction, customer_id: UUID) -> dict[str, Any]:
    """Which service has erased what it kept of how many purchases, and whether all have."""
    total, told = await stored.reports(tx, customer_id)
    done = {row.service: row for row in told}
    services = {
        name: {
            "purchases": done[name].purchases if name in done else 0,
            "last": done[name].last if name in done else None,
        }
        for name in SERVICES
    }
    complete = all(one["purchases"] == total for one in services.values())
    return {"purchases": total, "services": services, "complete": complete}


async def on_data_erased(event: CustomerDataErased, tx: Transaction) -> None:
    await stored.report(tx, UUID(event.subject), event.service)


async def run(work: Work, deps: BillingDeps) -> None:
    while await _tell(work):
        pass
    await erasing.run(work, deps, clear)


async def clear(work: Work, _: BillingDeps, purchases: Any) -> None:
    for purchase_id in purchases:
        contact = Contact(email=nobody(purchase_id)).model_dump_json()
        async with work.transaction("cleared") as tx:
            await forget_saved(tx, purchase_id)
            await stored.clear(tx, purchase_id, contact)


async def forget_buyers(work: Work, _: BillingDeps) -> None:
    """Of the invoices that the law does not want kept any more; and again when that comes to the next one."""
    customer_id = UUID(work.key)
    async with work.transaction("buyers", finish=True) as tx:
        kept = LONGEST_YEAR * (await seller(tx)).keep_invoices_years
        following = await stored.forget_buyers(tx, customer_id, nobody(customer_id), tx.now - kept)
        if following:
            tx.schedule(FORGET_BUYERS, work.key, due=following + kept)


def nobody(of: UUID) -> str:
    """An address that reaches nobody, of a customer or of one purchase."""
    return f"erased-{of}@customers.invalid"


async def _tell(work: Work) -> bool:
    async with work.transaction("told") as tx:
        told = await stored.to_tell(tx, UUID(work.key), erasing.AT_ONCE)
        for purchase_id in told:
            tx.publish(CustomerErased(subject=str(purchase_id), time=tx.now, customer_id=work.key))
    return bool(told)


async def _end(tx: Transaction, purchase_id: UUID) -> None:
    purchase = await lock_purchase(tx, purchase_id)
    assert purchase is not None
    purchase.erased_at = tx.now
    if purchase.state == "pending":
        await end_purchase(tx, purchase, "expired")
        tx.schedule(CLOSE_CHECKOUTS, str(purchase_id), subject=str(purchase_id))
        return
    subscription = await subscription_of(tx, purchase_id)
    if subscription and not subscription.is_over:
        await end(tx, purchase, subscription, "cancelled")
    await settle(tx, purchase)


WORK = {
    erasing.ERASE: WorkKind(run, retry=erasing.PATIENT, slots=1),
    FORGET_BUYERS: WorkKind(forget_buyers, retry=erasing.PATIENT),
}
