"""A message as RabbitMQ hands it over, in our terms."""

from pamqp.commands import Basic

from keyturn.bus.decoding import EPOCH
from keyturn.bus.message import Message


def from_wire(
    properties: Basic.Properties, body: bytes, *, exchange: str | None, key: str | None, service: str, user: str
) -> Message:
    """Whatever came: what is wrong with it is for the handling to judge, and nothing of it may raise here."""
    return Message(
        id=properties.message_id or "",
        type=properties.message_type or "",
        subject=properties.correlation_id or "",
        source=_publisher(properties, service, user),
        time=properties.timestamp or EPOCH,
        body=body,
        headers={name: value for name, value in (properties.headers or {}).items() if isinstance(value, str)},
        exchange=exchange or "",
        routing_key=key or "",
    )


def _publisher(properties: Basic.Properties, service: str, user: str) -> str:
    """Who published it, as the broker has checked. Where all services share one user, as they say themselves."""
    shared = user != service
    if shared and properties.user_id == user:
        return properties.app_id or ""
    return properties.user_id or ""
