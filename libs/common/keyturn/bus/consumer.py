"""Consuming from RabbitMQ: manual acknowledgement, after the handler; registered anew on every new connection.

What comes is taken from the channel underneath: aio-pika makes a second task, and a second message, of each.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel as Underlay
from aiormq.abc import DeliveredMessage

from keyturn.bus.link import Link, library_errors
from keyturn.bus.message import Deliver, Delivery, Message, Settle
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
        self._channel: Underlay | None = None
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
            self._connection, self._channel = connection, underlay
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
            if self._tag is None and self._channel is not None:  # on one that is lost, the next `restore` does it
                await self._change(self._consume)

    async def stop(self) -> None:
        await self.pause()
        while self._running:
            await asyncio.wait(self._running)

    async def check(self, connection: AbstractConnection) -> None:
        """Raises `Unavailable` unless the broker lists a consumer where one is wanted.

        Asked on the channel below the library's, which answers from memory what it has declared before. None is opened
        for it: with aio-pika 10.2 each one leaves a callback at its connection for ever, even once it is closed.
        """
        if not self._wanted:
            return
        name = events_queue(self._service)
        if self._channel is None or self._connection is not connection:
            raise Unavailable(f"nothing consumes {name} yet")
        answer = await self._channel.queue_declare(name, passive=True)
        if self._tag is None or not answer.consumer_count:
            raise Unavailable(f"nothing consumes {name}")

    async def _consume(self) -> None:
        assert self._channel is not None
        self._tag = (await self._channel.basic_consume(events_queue(self._service), self._on_message)).consumer_tag

    async def _cancel(self) -> None:
        assert self._channel is not None
        assert self._tag is not None
        tag, self._tag = self._tag, None
        await self._channel.basic_cancel(tag)

    async def _change(self, change: Callable[[], Awaitable[None]]) -> None:
        """A connection lost meanwhile is no failure: `restore` does on the next one what is wanted then."""
        try:
            with library_errors():
                async with asyncio.timeout(CHANGE_SECONDS):
                    await change()
        except ConnectionError as error:
            if self._connection is not None:
                self._link.drop(self._connection, f"changing the consumer failed: {error}")

    async def _on_message(self, incoming: DeliveredMessage) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._handle(incoming)
        finally:
            self._running.discard(task)

    async def _handle(self, incoming: DeliveredMessage) -> None:
        message = self._message(incoming)
        try:
            settle: Settle = await self._deliver(Delivery(message, bool(incoming.redelivered)))
        except Exception:
            log.exception("delivery failed", event_id=message.id, wire=message.type)
            await asyncio.sleep(RETURN_SECONDS)
            settle = "return"
        try:
            with library_errors():
                await self._settle(incoming, settle)
        except ConnectionError as error:
            # The effect is committed; the message comes again and the inbox knows it.
            log.info("settlement lost", event_id=message.id, reason=str(error))

    def _message(self, incoming: DeliveredMessage) -> Message:
        how = {"exchange": incoming.exchange, "key": incoming.routing_key}
        return from_wire(incoming.header.properties, incoming.body, **how, service=self._service, user=self._user)

    async def _settle(self, incoming: DeliveredMessage, settle: Settle) -> None:
        """Waits for nothing to be written: should the connection be lost, the message comes again in any case."""
        channel, tag = incoming.channel, incoming.delivery_tag
        assert tag is not None
        if settle == "ack":
            await channel.basic_ack(tag, wait=False)
        else:
            await channel.basic_nack(tag, requeue=True, wait=False)
