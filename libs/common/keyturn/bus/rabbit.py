"""The bus over RabbitMQ, through aio-pika. Why it is ours: docs/decisions/0003-own-bus-over-aio-pika.md."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from aio_pika.abc import AbstractConnection
from yarl import URL

from keyturn.bus import decoding
from keyturn.bus.consumer import RabbitConsumer
from keyturn.bus.link import Link, library_errors
from keyturn.bus.message import PREFETCH, Bus, Deliver, Message, NotPublished, Sift
from keyturn.bus.publisher import CONFIRM_SECONDS, Publisher
from keyturn.bus.sifting import sift_queue
from keyturn.bus.topology import dead_queue
from keyturn.errors import Unavailable

PING_SECONDS = 5.0
SILENT_SECONDS = 33.0  # as long as the library takes to give up a silent peer
CLOSE_SECONDS = 10.0
SIFT_SECONDS = 60.0


class RabbitBus(Bus):
    """See `keyturn.bus.message.Bus`.

    Two connections: an alarm of the broker blocks the one that publishes, acknowledgements on it included.
    """

    def __init__(self, url: str, *, service: str, replica: str, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        address = URL(url)
        if "no_verify_ssl" in address.query:
            raise ValueError("BUS_URL turns the check of the broker's certificate off: give its authority as cafile")
        user = address.user or "guest"
        self._service = service
        self._user = user
        self._publishing = Link(address, f"{service}/publisher/{replica}", _nothing)
        self._consuming = Link(address, f"{service}/consumer/{replica}", self._restore)
        self._publisher = Publisher(self._publishing, service, user, confirm_seconds)
        self._consumers: list[RabbitConsumer] = []
        self._asking: asyncio.Task[None] | None = None
        decoding.install()
        for name in ("aiormq", "aio_pika"):  # at DEBUG they print whole frames, bodies included
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.INFO))

    async def connect(self) -> None:
        await asyncio.gather(self._publishing.open(), self._consuming.open())

    async def close(self) -> None:
        """Consumers first: closing the connection under a handler would cut it off."""
        for consumer in self._consumers:
            await consumer.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._publisher.idle()
        self._publisher.close()
        if self._asking:
            self._asking.cancel()
        await asyncio.gather(self._publishing.close(), self._consuming.close())

    async def ping(self) -> None:
        if not (self._publishing.is_up and self._consuming.is_up):
            raise Unavailable("not connected to the broker")
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name=f"ping {self._service}")
            self._asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            with library_errors():
                async with asyncio.timeout(PING_SECONDS):
                    # Whoever asks may give up. A question cancelled half-way can cost the connection, and with it all
                    # who consume on it: it ends with its answer, or with the connection.
                    await asyncio.shield(self._asking)
        except ConnectionError as error:
            raise Unavailable(f"the broker does not answer: {error}") from error

    async def _ask(self) -> None:
        connection = await self._consuming.connection()
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                for consumer in self._consumers:
                    await consumer.check(connection)
        except TimeoutError:
            self._consuming.drop(connection, "a question was not answered")
            raise

    async def publish_all(self, messages: Sequence[Message]) -> list[NotPublished | None]:
        return await self._publisher.publish_all(messages)

    async def sift_dead(self, sift: Sift) -> None:
        if not self._consuming.is_up:
            raise Unavailable("not connected to the broker")
        try:
            with library_errors():
                async with asyncio.timeout(SIFT_SECONDS):
                    connection = await self._consuming.connection()
                    await sift_queue(connection, dead_queue(self._service), self._service, self._user, sift)
        except ConnectionError as error:
            raise Unavailable(f"dead letters: {error}") from error

    async def consume(self, keys: Sequence[str], deliver: Deliver, prefetch: int = PREFETCH) -> RabbitConsumer:
        consumer = RabbitConsumer(
            self._consuming, self._service, self._user, keys=keys, deliver=deliver, prefetch=prefetch
        )
        self._consumers.append(consumer)
        if self._consuming.is_up:
            await self._start(consumer)
        return consumer

    async def _start(self, consumer: RabbitConsumer) -> None:
        """Should it fail, the next connection restores it with the others."""
        connection = await self._consuming.connection()
        try:
            with library_errors():
                async with asyncio.timeout(PING_SECONDS):
                    await consumer.restore(connection)
        except ConnectionError as error:
            self._consuming.drop(connection, f"consuming failed: {error}")

    async def _restore(self, connection: AbstractConnection) -> None:
        for consumer in self._consumers:
            await consumer.restore(connection)


async def _nothing(_: AbstractConnection) -> None:
    """A publisher declares nothing: the topology is the operator's."""
