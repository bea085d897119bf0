"""The return page: the browser says that the customer paid; the provider is asked whether it is so."""

from uuid import UUID

from billing.deps import BillingDeps
from billing.domain import Checkout, Purchase
from billing.errors import purchase_unknown, return_not_verified
from billing.owing import owed, pays
from billing.providers import CheckoutRefs, ReturnProof
from billing.reconcile import captured, record_found
from billing.repository.purchases import checkouts_of, get_purchase
from keyturn.errors import Failure
from keyturn.log import get_logger

logger = get_logger()


async def take_return(deps: BillingDeps, purchase_id: UUID, proof: ReturnProof) -> Purchase:
    """Whoever fails here, the customer sees the state as it is known: the webhook or the reconciler brings the rest."""
    async with deps.database.transaction("read_return") as tx:
        purchase = await get_purchase(tx, purchase_id)
        checkouts = [checkout for checkout in await checkouts_of(tx, purchase_id) if checkout.provider_id]
        due = await owed(tx, purchase) if purchase else None
    if purchase is None:
        raise purchase_unknown()
    if not checkouts and proof != ReturnProof():  # the gateway gives access to whoever proves something
        raise return_not_verified()
    if checkouts:
        verified = [checkout for checkout in checkouts if _verified(deps, checkout, proof)]
        if not verified:
            raise return_not_verified()
        if pays(verified[-1], due):
            await _record(deps, verified[-1])
    async with deps.database.transaction("read_purchase") as tx:
        return await get_purchase(tx, purchase_id) or purchase


async def _record(deps: BillingDeps, checkout: Checkout) -> None:
    try:
        found = await captured(deps, checkout)
    except Failure as failure:
        logger.warning("return page could not ask", provider=checkout.provider, error=type(failure).__name__)
        return
    async with deps.database.transaction("record_return") as tx:
        await record_found(tx, checkout, found, "return_page")


def _verified(deps: BillingDeps, checkout: Checkout, proof: ReturnProof) -> bool:
    """A browser that brings nothing at all claims nothing, and may ask."""
    provider = deps.providers.get(checkout.provider)
    if provider is None:
        return False
    if proof == ReturnProof():
        return True
    refs = CheckoutRefs(checkout.purchase_id, checkout.attempt, str(checkout.provider_id))
    return provider.verify_return(refs, proof)
