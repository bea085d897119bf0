"""Both transports behind one face, for the contract suite."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from keyturn.bus import Bus, Delivery, Message, Settle
from keyturn.events import uuid7

SUBSCRIPTIONS = {
    "gateway": ["#"],
    "billing": ["payment.captured.v1", "payment.failed.v1"],
    "provisioner": ["entitlement.changed.v1"],
    "notifier": ["payment.failed.v1"],
}


@dataclass
class Transport:
    """`make` gives a connected bus for a service; `interrupt` cuts a service's connections."""

    name: str
    make: Callable[[str], Awaitable[Bus]]
    interrupt: Callable[[str], Awaitable[None]]
    buses: list[Bus] = field(default_factory=list)

    async def bus(self, service: str) -> Bus:
        bus = await self.make(service)
        self.buses.append(bus)
        return bus


@dataclass
class Inbox:
    """A handler that notes what it gets and says what it is told to."""

    settle: Settle = "ack"
    got: list[Delivery] = field(default_factory=list)

    async def __call__(self, delivery: Delivery) -> Settle:
        self.got.append(delivery)
        return self.settle

    @property
    def numbers(self) -> list[int]:
        return [json.loads(delivery.message.body)["n"] for delivery in self.got]


def message(n: int = 0, key: str = "payment.captured.v1", source: str = "gateway", **changes: object) -> Message:
    values: dict[str, object] = {
        "id": str(uuid7()),
        "type": key,
        "subject": f"stripe:pi_{n}",
        "source": source,
        "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "body": json.dumps({"n": n}).encode(),
        "headers": {"traceparent": "00-1-2-01"},
        "routing_key": key,
    }
    return Message(**(values | changes))  # type: ignore[arg-type]


async def publish_all(bus: Bus, messages: list[Message]) -> None:
    await asyncio.gather(*(bus.publish(m) for m in messages))
