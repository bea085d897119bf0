"""Facts between services: publish with a confirm, consume with a manual acknowledgement. Two transports, one contract:
RabbitMQ (`amqp://`, `amqps://`), and `memory://` for one process."""

from urllib.parse import urlsplit

from keyturn.bus.message import (
    MAX_BODY,
    PREFETCH,
    Blocked,
    Bus,
    Consumer,
    Deliver,
    Delivery,
    Message,
    NotPublished,
    Refused,
    Settle,
    Unknown,
)


def connect_bus(url: str, *, service: str, replica: str) -> Bus:
    """The bus at this address; nothing is connected before `connect()`.

    All `memory://NAME` of one process are the same bus. `replica` tells the copies of a service apart in management.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        from keyturn.bus.memory import shared_broker  # noqa: PLC0415 - load the transport that is used, not both

        return shared_broker(url).bus(service)
    if scheme in {"amqp", "amqps"}:
        from keyturn.bus.rabbit import RabbitBus  # noqa: PLC0415

        return RabbitBus(url, service=service, replica=replica)
    raise ValueError(f"BUS_URL starts with {scheme}://, not amqp://, amqps:// or memory://")


__all__ = [
    "MAX_BODY",
    "PREFETCH",
    "Blocked",
    "Bus",
    "Consumer",
    "Deliver",
    "Delivery",
    "Message",
    "NotPublished",
    "Refused",
    "Settle",
    "Unknown",
    "connect_bus",
]
