"""What the tests of outbox, inbox and work share: events, a database with one table of effects, and a bus that can be
told to refuse."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, Column, Identity, Integer, Table, Text

from keyturn.bus import Message
from keyturn.bus.memory import MemoryBroker, MemoryBus
from keyturn.bus.message import Sift
from keyturn.database import Database, new_metadata
from keyturn.events import OperatorActed, PurchaseExpired

METADATA = new_metadata()
EFFECTS = Table(
    "effects",
    METADATA,
    Column("what", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("position", BigInteger, Identity(always=True)),  # in which order: where a row lies says nothing of that
)


def expired(subject: str = "", **fields: Any) -> PurchaseExpired:
    return PurchaseExpired(subject=subject or str(uuid4()), time=datetime.now(UTC), **fields)


def acted(subject: str, number: int) -> OperatorActed:
    return OperatorActed(
        subject=subject, time=datetime.now(UTC), actor="a", role="admin", action="x", target="t", after={"n": number}
    )


async def one(database: Database, sql: str, *parameters: object) -> Any:
    """The first value of a query."""
    async with database.transaction("look") as tx:
        rows = await tx.run(sql, *parameters)
    return rows[0][0] if rows else None


async def publish(database: Database, *events: Any) -> None:
    async with database.transaction("publish") as tx:
        for event in events:
            tx.publish(event)


@dataclass
class Wire:
    """A bus that records what it publishes, and fails as it is told to."""

    sent: list[Message] = field(default_factory=list)
    fails: Callable[[Message], BaseException | None] = lambda _message: None
    delay: float = 0.0
    bus: MemoryBus = field(default_factory=lambda: MemoryBroker().bus("billing"))
    in_flight: int = 0
    most: int = 0

    async def connect(self) -> None: ...

    async def close(self) -> None: ...

    async def ping(self) -> None: ...

    async def consume(self, *args: Any, **kwargs: Any) -> Any:
        return await self.bus.consume(*args, **kwargs)

    async def sift_dead(self, sift: Sift) -> None: ...

    async def publish_all(self, messages: Sequence[Message]) -> Sequence[Any]:
        return await asyncio.gather(*map(self.publish, messages), return_exceptions=True)

    async def publish(self, message: Message) -> None:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            if error := self.fails(message):
                raise error
            self.sent.append(message)
        finally:
            self.in_flight -= 1

    def subjects(self) -> list[str]:
        return [message.subject for message in self.sent]
