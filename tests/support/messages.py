"""Events as the bus brings them."""

from keyturn.bus import Message
from keyturn.events import Event


def message_of(event: Event, source: str | None = None) -> Message:
    """As its publisher sent it, or `source` where anybody may."""
    by = source or event.publisher
    return Message(
        id=str(event.id),
        type=event.wire,
        subject=event.subject,
        source=by,
        time=event.time,
        body=event.to_bytes(by),
        headers={},
        routing_key=event.wire,
    )
