"""What the gateway does when it hears an event: it keeps every one of them, and takes part in nothing."""

from gateway import journeys
from gateway.repository import operators
from keyturn.database import Transaction
from keyturn.events import Envelope, OperatorActed, Unreadable


async def on_any_event(envelope: Envelope, tx: Transaction) -> None:
    await journeys.record(envelope, tx)
    if envelope.type == OperatorActed.wire:
        await _audit(envelope, tx)


async def _audit(envelope: Envelope, tx: Transaction) -> None:
    try:
        acted = envelope.open(OperatorActed)
    except Unreadable:
        return  # a later version's: the journey events keep it whole
    assert isinstance(acted, OperatorActed)
    await operators.add_audit(tx, envelope, acted)


HANDLERS = {Envelope: on_any_event}
