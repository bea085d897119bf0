"""A message as RabbitMQ hands it over, in our terms."""

from aio_pika.abc import AbstractIncomingMessage

from keyturn.bus.decoding import EPOCH
from keyturn.bus.message import Message


def from_wire(incoming: AbstractIncomingMessage, service: str, user: str) -> Message:
    """Whatever came: what is wrong with it is for the handling to judge, and nothing of it may raise here."""
    return Message(
        id=incoming.message_id or "",
        type=incoming.type or "",
        subject=incoming.correlation_id or "",
        source=_publisher(incoming, service, user),
        time=incoming.timestamp or EPOCH,
        body=incoming.body,
        headers={name: value for name, value in incoming.headers.items() if isinstance(value, str)},
        exchange=incoming.exchange or "",
        routing_key=incoming.routing_key or "",
    )


def _publisher(incoming: AbstractIncomingMessage, service: str, user: str) -> str:
    """Who published it, as the broker has checked. Where all services share one user, as they say themselves."""
    shared = user != service
    if shared and incoming.user_id == user:
        return incoming.app_id or ""
    return incoming.user_id or ""
