"""The inbox: an event has its effect once, however often it is delivered.

An event that cannot be handled becomes work of kind `event` with its bytes: tried again, waiting, or dead. Its row has
an id derived from the event's, so that a second delivery after a crash finds the first one's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from keyturn.bus.message import Message
from keyturn.database import Database, Transaction
from keyturn.errors import GiveUp, Retry
from keyturn.events import BY_WIRE, Envelope, Event, Unreadable
from keyturn.parking import Parked, park, row_id, show_dead
from keyturn.retry import DEFAULT, RetryPolicy
from keyturn.work import Work, WorkKind

E = TypeVar("E", bound=Event | Envelope)
Handler = Callable[[E, Transaction], Awaitable[None]]
Handlers = Mapping[type[Event] | type[Envelope], Handler[Any]]

MOST_STARTS = 5  # a redelivered event begun more often than this may be what kills the process
FOR_EVER = RetryPolicy(attempts=2**31)

# The first statement of a handler's transaction: a concurrent copy waits here, and then finds the row handled.
_FIRST = """
INSERT INTO inbox (consumer, event_id, received, handled) VALUES ({consumer}, {event_id}, {now}, {now})
ON CONFLICT (consumer, event_id) DO UPDATE SET handled = excluded.handled WHERE inbox.handled IS NULL
"""
FIRST = _FIRST.format(consumer="$1", event_id="$2", now="$3") + "RETURNING 1"
BEGIN = """
INSERT INTO inbox (consumer, event_id, received, starts) VALUES ($1, $2, $3, 1)
ON CONFLICT (consumer, event_id) DO UPDATE SET starts = inbox.starts + 1
RETURNING starts
"""
RESOLVE = "UPDATE work SET state = 'resolved', finished = $2 WHERE id = $1 AND state = 'dead'"


@dataclass(frozen=True)
class Received:
    """An event that this service takes, and what handles it."""

    envelope: Envelope
    event: Event | Envelope
    handler: Handler[Any]
    redriven: bool  # an operator moved the copy back from the dead with the broker's own tools

    @property
    def label(self) -> str:
        """The name of the transaction that handles it."""
        return f"on_{self.envelope.type.replace('.', '_')}"


class Inbox:
    def __init__(self, database: Database, handlers: Handlers) -> None:
        self._database = database
        self._handlers = handlers
        self._service = database.service

    def accept(self, body: bytes, published_by: str) -> Received:
        """Raises `GiveUp` where the bytes are no event of ours, or somebody published it who may not."""
        try:
            envelope = Envelope.from_bytes(body)
        except Unreadable as error:
            raise GiveUp(f"unreadable: {error}") from None
        # A copy that an operator moved back from the dead comes from ourselves.
        if published_by not in {envelope.publisher, self._service}:
            raise GiveUp(f"{envelope.type} says it is from {envelope.publisher}, but {published_by} sent it")
        return self._received(envelope, redriven=published_by != envelope.publisher)

    def _received(self, envelope: Envelope, *, redriven: bool) -> Received:
        kind = BY_WIRE.get(envelope.type)
        if kind and kind.publisher not in {envelope.publisher, "*"}:
            raise GiveUp(f"{envelope.type} is published by {kind.publisher}, not by {envelope.publisher}")
        if kind and kind in self._handlers:
            return Received(envelope, _open(envelope, kind), self._handlers[kind], redriven)
        if Envelope in self._handlers:
            return Received(envelope, envelope, self._handlers[Envelope], redriven)
        raise GiveUp(f"nothing here handles {envelope.type}" if kind else f"unknown type {envelope.type}")

    async def handle(self, received: Received) -> bool:
        """Run the handler once, in one transaction with everything it says. False: it was handled before."""
        first = self._first(received.envelope.id)
        async with self._database.transaction(received.label, cause=received.event, first=first) as tx:
            if received.redriven:
                await tx.run(RESOLVE, row_id(str(received.envelope.id)), tx.now)
            if tx.first == "INSERT 0 0":
                return False
            await received.handler(received.event, tx)
            return True

    def _first(self, event_id: UUID) -> str:
        """With its values in it, none of which anybody else chooses, it takes no way of its own to the server."""
        now = self._database.clock.now().isoformat()
        return _FIRST.format(consumer=f"'{self._service}'", event_id=f"'{event_id}'", now=f"'{now}'")

    async def _effect(self, received: Received, tx: Transaction) -> None:
        if await tx.run(FIRST, self._service, received.envelope.id, tx.now):
            await received.handler(received.event, tx)

    async def begin(self, received: Received) -> None:
        """Commit that a redelivered event is begun. Raises `Retry` where that happened too often: as work it is tried
        at growing intervals, and dies if it is what kills the process; one that only stood beside that is handled."""
        async with self._database.transaction("begin") as tx:
            starts = (await tx.run(BEGIN, self._service, received.envelope.id, tx.now))[0].starts
        if starts > MOST_STARTS:
            raise Retry(f"begun {starts - 1} times without an answer: the process died in it or beside it")

    async def park(self, message: Message, error: Exception) -> None:
        """Commit what follows from a failure; then the delivery may be acknowledged."""
        async with self._database.transaction("park") as tx:
            await park(tx, self._service, message, error, self._retry)

    def work_kind(self) -> WorkKind[Any]:
        """How work of kind `event` is done: the same handling, from the bytes in the row."""
        return WorkKind(self._again, retry=self._retry, died=self._died)

    @property
    def _retry(self) -> RetryPolicy:
        """Whoever takes every event, known or not, never gives one up."""
        return FOR_EVER if Envelope in self._handlers else DEFAULT

    async def _again(self, work: Work, _deps: object) -> None:
        body = work.body or b""
        received = self.accept(body, str(work.payload["published_by"]))
        async with work.labelled(received.label, finish=True, cause=received.event) as tx:
            await self._effect(received, tx)

    async def _died(self, work: Work, error: BaseException, tx: Transaction) -> None:
        show_dead(tx, self._service, Parked(work.key, str(work.payload["wire"]), work.body or b""), error)


def _open(envelope: Envelope, kind: type[Event]) -> Event:
    try:
        return envelope.open(kind)
    except Unreadable as error:
        raise GiveUp(f"unreadable {envelope.type}: {error}") from None
