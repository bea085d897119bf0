"""Forgetting a customer: what the journeys and the providers' webhooks say of them, and their sessions. What happened
to the purchase, and when, stays; so do the provider's ids, by which what comes later is known for theirs."""

import json
from collections.abc import Sequence
from uuid import UUID

from gateway.deps import GatewayDeps
from gateway.facts import forgotten
from gateway.repository import erasing as stored
from gateway.repository import journeys
from keyturn import erasing
from keyturn.work import Work

EVENTS = 1_000


async def erase(work: Work, _: GatewayDeps, purchases: Sequence[UUID]) -> None:
    """The webhooks first, as long as it is known what they say; there is no shorter way to them than through all."""
    names = set[bytes]()
    for purchase_id in purchases:
        names |= await _names(work, purchase_id)
    after: UUID | None = UUID(int=0)
    while after:
        async with work.transaction("webhooks") as tx:
            after = await stored.empty_webhooks(tx, after, names)
    for purchase_id in purchases:
        await _forget_journey(work, purchase_id)
    async with work.transaction("signed_out") as tx:
        await stored.sign_out(tx, UUID(work.key))


async def _names(work: Work, purchase_id: UUID) -> set[bytes]:
    """As they stand in a payload: our id; and in quotes, since others may end alike, the provider's ids and the
    address."""
    async with work.transaction("read") as tx:
        refs, addresses = await stored.refs_of(tx, purchase_id), await stored.addresses_of(tx, purchase_id)
    whole = {*refs, *addresses, *(address.lower() for address in addresses)}
    quoted = {json.dumps(text, ensure_ascii=ascii_).encode() for text in whole for ascii_ in (True, False)}
    return {str(purchase_id).encode(), *quoted}


async def _forget_journey(work: Work, purchase_id: UUID) -> None:
    """The facts first: what arrives from then on says nothing either."""
    async with work.transaction("journey") as tx:
        facts = await journeys.lock(tx, purchase_id, create=False)
        if facts is None:
            return
        await stored.keep_facts(tx, purchase_id, forgotten(facts, work.key))
    last: int | None = 0
    while last is not None:
        async with work.transaction("journey") as tx:
            last = await stored.empty_events(tx, purchase_id, last, EVENTS)


WORK = {erasing.ERASE: erasing.work_kind(erase)}
