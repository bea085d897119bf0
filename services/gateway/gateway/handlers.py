"""What the gateway hears and what it does: it keeps every event, and takes part in nothing. The tables at the end are
its contents."""

from collections.abc import Mapping
from datetime import timedelta

from gateway import erasing, journeys, signing_in
from gateway.deps import GatewayDeps
from gateway.repository import operators
from gateway.upkeep import delete_expired
from keyturn.database import Transaction
from keyturn.erasing import on_customer_erased
from keyturn.events import CustomerErased, Envelope, OperatorActed, Unreadable
from keyturn.handling import Handlers
from keyturn.work import WorkKind


async def on_any_event(envelope: Envelope, tx: Transaction) -> None:
    await journeys.record(envelope, tx)
    if envelope.type == OperatorActed.wire:
        await _audit(envelope, tx)
    if envelope.type == CustomerErased.wire:
        await _forget(envelope, tx)


async def _audit(envelope: Envelope, tx: Transaction) -> None:
    try:
        acted = envelope.open(OperatorActed)
    except Unreadable:
        return  # a later version's: the journey events keep it whole
    assert isinstance(acted, OperatorActed)
    await operators.add_audit(tx, envelope, acted)


async def _forget(envelope: Envelope, tx: Transaction) -> None:
    try:
        erased = envelope.open(CustomerErased)
    except Unreadable:
        return
    assert isinstance(erased, CustomerErased)
    await on_customer_erased(erased, tx)


HANDLERS: Handlers = {Envelope: on_any_event}

WORK: Mapping[str, WorkKind[GatewayDeps]] = {
    "delete_expired": WorkKind(delete_expired, every=timedelta(hours=1)),  # keys, buckets, links, sessions
    **erasing.WORK,  # a customer is forgotten
    **signing_in.WORK,  # the mailed link of whoever wants to sign in
}
