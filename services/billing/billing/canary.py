"""The sign-up canary: buys a free plan as a customer would, waits until its install is ready, and has it deleted.

The catalogue names what it buys: a product of the kind `canary`, which nobody else sees or gets.
"""

from datetime import timedelta
from typing import ClassVar, Literal
from uuid import UUID

from billing.buying import CheckoutRequest
from billing.checkout import open_purchase
from billing.deps import BillingDeps
from billing.domain import purchase_id_in
from billing.entitlements import end_early
from billing.rehearsing import Enough, Part
from billing.repository.offers import canary_product
from billing.repository.purchases import get_purchase, lock_purchase
from billing.repository.runs import PART, Done, Found, Run, failed_parts, mark_part, marks_of
from keyturn.database import Transaction
from keyturn.errors import GiveUp, Wait
from keyturn.events import CanaryFailed, InstallDeleted, InstallFailed, InstallReady, uuid7

NAME = "canary"
PATIENCE = timedelta(minutes=10)  # until it is ready, and as long again until it is deleted
READY, DELETED, FAILED = "ready", "deleted", "failed"


class CanaryOrder(CheckoutRequest):
    hidden: ClassVar[bool] = True


async def to_buy(tx: Transaction, after: Found | None, limit: int) -> list[Found]:  # noqa: ARG001 - one alone
    """Nothing, where the catalogue has no such product."""
    return [Found(str(uuid7()), ())] if after is None and await canary_product(tx) else []


async def buy(work: Part, deps: BillingDeps) -> None:
    """Comes back when something was heard of it, and when its time is over."""
    purchase_id = UUID(work.key)
    async with work.transaction("read") as tx:
        product, known = await canary_product(tx), await get_purchase(tx, purchase_id)
        work.did = await marks_of(tx, work.run_id, work.customer)
    if product is None or not deps.settings.canary_email:
        return
    if work.dry_run:
        work.did.append(f"buy {product}")
        raise Enough
    if known is None:
        await open_purchase(deps, _order(purchase_id, product, deps))
    marks, waited = {mark.partition(" ")[0] for mark in work.did}, deps.clock.now() - work.created
    if DELETED in marks and READY in marks:
        return
    if READY in marks or FAILED in marks or waited >= PATIENCE:
        async with work.transaction("end") as tx:
            if purchase := await lock_purchase(tx, purchase_id):
                await end_early(tx, purchase, NAME)
    if FAILED in marks:
        raise GiveUp(next(mark for mark in work.did if mark.startswith(FAILED)))
    if READY not in marks and waited >= PATIENCE:
        raise GiveUp(f"not ready after {PATIENCE.seconds // 60} minutes")
    if waited >= 2 * PATIENCE:
        raise GiveUp(f"not deleted after {2 * PATIENCE.seconds // 60} minutes")
    until = work.created + (2 * PATIENCE if READY in marks else PATIENCE)
    raise Wait("not_ready", "the canary is on its way", until=until)


def _order(purchase_id: UUID, product: str, deps: BillingDeps) -> CanaryOrder:
    url, email = deps.settings.public_url, deps.settings.canary_email
    who = {"email": email, "name": "Canary", "store_name": f"canary {str(purchase_id)[-8:]}"}
    order = {"purchase_id": purchase_id, "product": product, "success_url": url, "cancel_url": url}
    return CanaryOrder.model_validate(order | who)


async def heard(event: InstallReady | InstallFailed | InstallDeleted, tx: Transaction) -> None:
    """Where it is about the one that is under way: how long it took."""
    mark, key = _mark(event), purchase_id_in(event.subject)
    if key and (run_id := await mark_part(tx, NAME, str(key), mark, event.time)):
        tx.schedule(PART, f"{run_id}/{key}", {"name": NAME, "dry_run": False}, subject=str(key))


def _mark(event: InstallReady | InstallFailed | InstallDeleted) -> str:
    if isinstance(event, InstallFailed):
        return f"{FAILED} at {event.step or event.action}: {event.cause}: {event.message}"
    return READY if isinstance(event, InstallReady) else DELETED


async def tell(tx: Transaction, run: Run) -> None:
    for part in await failed_parts(tx, run.id, 1):
        cause, step = part.error or "", await _step(tx, part)
        tx.publish(CanaryFailed(subject=part.customer, time=tx.now, run_id=str(run.id), cause=cause, step=step))


async def _step(tx: Transaction, part: Done) -> Literal["checkout", "install", "deletion"]:
    """At which it stands."""
    if any(mark.startswith(READY) for mark in part.did):
        return "deletion"
    return "install" if await get_purchase(tx, UUID(part.customer)) else "checkout"
