"""The consumer: takes what the bus delivers, has it handled in one transaction, and acknowledges after the commit.

A failed handler becomes work, and is acknowledged as well: nothing is tried again by way of the broker. Only while
the database is away are deliveries returned, and the consumer pauses until it answers.
"""

import asyncio
from dataclasses import replace
from time import perf_counter

from keyturn import failpoints
from keyturn.bus import Bus, Delivery, Settle
from keyturn.bus import Consumer as BusConsumer
from keyturn.bus.message import storable
from keyturn.bus.topology import binding_keys
from keyturn.database import Database
from keyturn.errors import GiveUp, TooSlow, Unavailable
from keyturn.events import BY_WIRE
from keyturn.inbox import Handler, Handlers, Inbox, Received
from keyturn.log import correlated, get_logger
from keyturn.metrics import HANDLED
from keyturn.retry import cause_of
from keyturn.tracing import trace, trace_id

__all__ = ["Consumer", "Handler", "Handlers"]

PREFETCH = 16
PATIENCE = 3.0  # seconds that a delivery is kept in hand while the database is away
PING_EVERY = 0.5

log = get_logger()


class Consumer:
    def __init__(self, database: Database, bus: Bus, handlers: Handlers, *, prefetch: int = PREFETCH) -> None:
        self._database = database
        self._bus = bus
        self._handlers = handlers
        self._prefetch = prefetch
        self._inbox = Inbox(database, handlers)
        self._service = database.service
        self._consumer: BusConsumer | None = None
        self._suspects = asyncio.Lock()
        self._answers = asyncio.Event()  # set while the database is believed to answer
        self._answers.set()
        self._recovery: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        keys = binding_keys(self._handlers)
        if keys:
            self._consumer = await self._bus.consume(keys, self.deliver, self._prefetch)

    def alive(self) -> bool:
        return not self._handlers or self._consumer is not None

    async def stop(self) -> None:
        """Take nothing more, and finish what is in hand."""
        self._stopping = True
        if self._recovery:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])
        if self._consumer:
            await self._consumer.stop()

    async def deliver(self, delivery: Delivery) -> Settle:
        """What the bus is to do with the message: acknowledged unless the database is away."""
        delivery = replace(delivery, message=storable(delivery.message))
        while True:
            try:
                await self._take(delivery)
                await failpoints.hit(f"{self._service}.consumer.before_ack")
            except Unavailable:
                self._pause()
                if not await self._database_answers():
                    return "return"
            else:
                return "ack"

    async def _take(self, delivery: Delivery) -> None:
        message = delivery.message
        with (
            trace(message.headers.get("traceparent")) as header,
            correlated(
                service=self._service,
                event_id=message.id,
                wire=message.type,
                subject=message.subject,
                trace_id=trace_id(header),
            ),
        ):
            began = perf_counter()
            outcome = await self._outcome(delivery)
            wire = message.type if message.type in BY_WIRE else "unknown"  # what strangers send must not become labels
            HANDLED.labels(self._service, wire, outcome).observe(perf_counter() - began)

    async def _outcome(self, delivery: Delivery) -> str:
        """`handled`, `duplicate`, or the name of what it raised."""
        try:
            received = self._inbox.accept(delivery.message.body, delivery.message.source)
            if not delivery.redelivered:
                return await self._handle(received)
            # It may be the one that killed the process: count its starts, and give it no neighbours.
            async with self._suspects:
                await self._inbox.begin(received)
                return await self._handle(received)
        except Exception as error:
            if isinstance(error, Unavailable) and not isinstance(error, TooSlow):
                raise
            await self._inbox.park(delivery.message, error)
            return self._told(error)

    async def _handle(self, received: Received) -> str:
        await failpoints.hit(f"{self._service}.consumer.received")
        return "handled" if await self._inbox.handle(received) else "duplicate"

    def _told(self, error: Exception) -> str:
        cause = cause_of(error)
        tell = log.error if isinstance(error, GiveUp) else log.warning
        tell("event_not_handled", error=cause.error, place=cause.place, message=cause.message)
        return cause.error

    def _pause(self) -> None:
        self._answers.clear()
        if not self._stopping and (self._recovery is None or self._recovery.done()):
            self._recovery = asyncio.create_task(self._recover(), name="consumer-recovery")

    async def _recover(self) -> None:
        """Consume nothing until the database answers again."""
        assert self._consumer is not None
        log.warning("consumer_waits_for_database")
        await self._consumer.pause()
        while not await self._ping():  # noqa: ASYNC110 - only asking tells whether it answers
            await asyncio.sleep(PING_EVERY)
        self._answers.set()
        await self._consumer.resume()
        log.info("consumer_goes_on")

    async def _ping(self) -> bool:
        try:
            await self._database.ping()
        except Unavailable:
            return False
        return True

    async def _database_answers(self) -> bool:
        """Wait a short while for it with the delivery in hand."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._answers.wait()
        except TimeoutError:
            return False
        return True
