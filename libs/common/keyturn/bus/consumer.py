"""Consuming from RabbitMQ: manual acknowledgement, after the handler; registered anew on every new connection."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue

from keyturn.bus.link import Link, library_errors
from keyturn.bus.message import Deliver, Delivery, Settle
from keyturn.bus.receiving import from_wire
from keyturn.bus.topology import EVENTS_EXCHANGE, events_queue
from keyturn.errors import Unavailable
from keyturn.log import get_logger

log = get_logger()

RETURN_SECONDS = 1.0  # a returned message is at the front of the queue again at once: without a pause, a hot loop
CHANGE_SECONDS = 10.0


class RabbitConsumer:
    """See `keyturn.bus.message.Consumer`."""

    def __init__(
        self, link: Link, service: str, user: str, *, keys: Sequence[str], deliver: Deliver, prefetch: int
    ) -> None:
        self._link = link
        self._service = service
        self._user = user
        self._keys = keys
        self._deliver = deliver
        self._prefetch = prefetch
        self._wanted = True
        self._changing = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._queue: AbstractQueue | None = None
        self._tag: str | None = None
        self._running: set[asyncio.Task[object]] = set()

    async def restore(self, connection: AbstractConnection) -> None:
        """Bind and consume on this new connection. The queue is opened passively: we may not declare it."""
        async with self._changing:
            self._tag = None
            channel = connection.channel(publisher_confirms=False)
            await channel.initialize()
            channel.close_callbacks.add(lambda *_: self._link.drop(connection, "the consuming channel closed"))
            underlay = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(
                lambda _: self._link.drop(connection, "the broker cancelled the consumer")
            )
            await channel.set_qos(prefetch_count=self._prefetch)
            queue = await channel.declare_queue(events_queue(self._service), durable=True, passive=True)
            for key in self._keys:
                await queue.bind(EVENTS_EXCHANGE, routing_key=key)
            self._connection, self._queue = connection, queue
            if self._wanted:
                await self._consume()

    async def pause(self) -> None:
        async with self._changing:
            self._wanted = False
            if self._tag is not None:
                await self._change(self._cancel)

    async def resume(self) -> None:
        async with self._changing:
            self._wanted = True
            if self._tag is None and self._link.is_up:
                await self._change(self._consume)

    async def stop(self) -> None:
        await self.pause()
        while self._running:
            await asyncio.wait(self._running)

    async def check(self, connection: AbstractConnection) -> None:
        """Raises `Unavailable` unless the broker lists a consumer where one is wanted.

        On a channel of its own: one that has declared the queue before would answer from memory.
        """
        if not self._wanted:
            return
        async with connection.channel(publisher_confirms=False) as channel:
            queue = await channel.declare_queue(events_queue(self._service), durable=True, passive=True)
            if self._tag is None or not queue.declaration_result.consumer_count:
                raise Unavailable(f"nothing consumes {queue.name}")

    async def _consume(self) -> None:
        assert self._queue is not None
        self._tag = await self._queue.consume(self._on_message)

    async def _cancel(self) -> None:
        assert self._queue is not None
        assert self._tag is not None
        tag, self._tag = self._tag, None
        await self._queue.cancel(tag)

    async def _change(self, change: Callable[[], Awaitable[None]]) -> None:
        """A connection lost meanwhile is no failure: `restore` does on the next one what is wanted then."""
        try:
            with library_errors():
                async with asyncio.timeout(CHANGE_SECONDS):
                    await change()
        except ConnectionError as error:
            if self._connection is not None:
                self._link.drop(self._connection, f"changing the consumer failed: {error}")

    async def _on_message(self, incoming: AbstractIncomingMessage) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._handle(incoming)
        finally:
            self._running.discard(task)

    async def _handle(self, incoming: AbstractIncomingMessage) -> None:
        try:
            settle: Settle = await self._deliver(
                Delivery(from_wire(incoming, self._service, self._user), bool(incoming.redelivered))
            )
        except Exception:
            log.exception("delivery failed", event_id=incoming.message_id, wire=incoming.type)
            await asyncio.sleep(RETURN_SECONDS)
            settle = "return"
        try:
            with library_errors():
                await (incoming.ack() if settle == "ack" else incoming.nack(requeue=True))
        except ConnectionError as error:
            # The effect is committed; the message comes again and the inbox knows it.
            log.info("settlement lost", event_id=incoming.message_id, reason=str(error))
