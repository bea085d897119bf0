"""Another card, given on a page of the provider that takes no money.

What was given is asked for when the provider tells of it, and once more when the page's time is over: a webhook may be
lost.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from billing.acts import locked
from billing.charging import SAVE_MANDATE
from billing.checkout import Opening, open_again
from billing.deps import BillingDeps
from billing.errors import provider_refused, provider_unavailable, subscription_over
from billing.providers import CardOrder, OpenedCard
from billing.repository.collecting import collected_of
from billing.repository.mandates import mandate_of
from keyturn.database import Transaction
from keyturn.errors import Failure, GiveUp

LIFE = timedelta(hours=1)
GRACE = timedelta(minutes=10)


async def open_card_page(deps: BillingDeps, purchase_id: UUID, return_url: str) -> OpenedCard | Opening:
    """Where the provider has no such page, the checkout for what is owed."""
    async with deps.database.transaction("read_card") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        if subscription.is_over:
            raise subscription_over()
        mandate = await mandate_of(tx, purchase_id)
        collected = await collected_of(tx, purchase_id) if subscription.collection == "provider" else None
        order = CardOrder(
            purchase_id=purchase_id,
            currency=purchase.currency,
            email=purchase.contact["email"],
            locale=purchase.contact["locale"],
            customer_id=mandate.customer_id if mandate else None,
            return_url=return_url,
            expires_at=tx.now + LIFE,
            subscription_id=collected.provider_id if collected else None,
        )
    name = str(purchase.provider)
    provider = deps.providers.get(name)
    if provider is None:
        raise provider_unavailable(name)
    try:
        opened = await provider.open_card_page(order)
    except GiveUp as refused:
        raise provider_refused(name) from refused
    except Failure as failed:
        raise provider_unavailable(name) from failed
    if opened is None:
        return await open_again(deps, purchase_id)
    if opened.id:
        async with deps.database.transaction("open_card_page") as tx:
            ask_for_card(tx, purchase_id, name, {"session": opened.id}, after=LIFE + GRACE)
    return opened


def ask_for_card(
    tx: Transaction, purchase_id: UUID, provider: str, refs: Mapping[str, str], *, after: timedelta = timedelta()
) -> None:
    payload: dict[str, Any] = {"purchase_id": str(purchase_id), "provider": provider, "refs": dict(refs)}
    due, key = tx.now + after, f"{provider}:{refs['session']}"
    tx.schedule(SAVE_MANDATE, key, payload, due=due, subject=str(purchase_id))
