"""One channel to publish on, and what is in flight on it.

Messages are written below aio-pika and past aiormq's own publishing, which makes tasks, locks and two writes to a queue
of each. Several go out in one write here, and each has a future that the library's reader of confirms resolves.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial

from aio_pika.abc import AbstractChannel, AbstractConnection, DeliveryMode
from aio_pika.exceptions import ChannelClosed, DeliveryError, PublishError
from aiormq import Channel as Underlay
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from keyturn.bus.decoding import EPOCH
from keyturn.bus.link import library_errors
from keyturn.bus.message import Blocked, Message, NotPublished, Refused, Unknown
from keyturn.events import CONTENT_TYPE

CLOSE_SECONDS = 10.0

Sent = asyncio.Future[object]


class Lane:
    """A message whose outcome is unknown may be sent again, but never on the channel that may still carry it: with the
    first of them the lane is given up, and whatever else is in flight on it is unknown as well."""

    def __init__(self, channel: AbstractChannel, underlay: Underlay, user: str, lost: Callable[[], None]) -> None:
        self._channel = channel
        self._underlay = underlay
        self._user = user
        self._lost = lost
        self._in_flight: dict[str, Sent] = {}
        self._closing: asyncio.Task[None] | None = None
        self.given_up = False
        underlay.closing.add_done_callback(self._closed)

    @classmethod
    async def open(cls, connection: AbstractConnection, user: str, lost: Callable[[], None]) -> "Lane":
        channel = connection.channel(on_return_raises=True)  # else a returned message looks like a published one
        await channel.initialize()
        underlay = await channel.get_underlay_channel()
        assert isinstance(underlay, Underlay)
        return cls(channel, underlay, user, lost)

    async def send(self, messages: Sequence[Message]) -> list[Sent]:
        """In this order. Returns when they are on their way; `outcome` says what became of each, once it is done."""
        # The library matches what the broker returns by message id alone: of two copies in flight on one channel, the
        # wrong one would be reported as confirmed.
        while others := [self._in_flight[message.id] for message in messages if message.id in self._in_flight]:
            await asyncio.wait(others)
        if self.given_up:
            raise ConnectionError("the channel is closed")
        frames: list[bytes] = []
        sent = [self._add(message, frames) for message in messages]
        await self._underlay.write_queue.put(ChannelFrame(b"".join(frames), should_close=False))
        return sent

    def _add(self, message: Message, frames: list[bytes]) -> Sent:
        sent: Sent = asyncio.get_running_loop().create_future()
        try:
            frames.append(self._encoded(message))
        except (TypeError, ValueError) as error:
            sent.set_exception(Refused(f"{type(error).__name__}: {error}"))
            return sent
        self._underlay.delivery_tag += 1
        self._underlay.confirmations[self._underlay.delivery_tag] = sent
        self._underlay.message_id_delivery_tag[message.id] = self._underlay.delivery_tag
        self._in_flight[message.id] = sent
        sent.add_done_callback(partial(self._done, message.id))
        return sent

    def _encoded(self, message: Message) -> bytes:
        number, most = self._underlay.number, self._underlay.max_content_size
        header = ContentHeader(properties=_properties(message, self._user), body_size=len(message.body))
        parts = [message.body[start : start + most] for start in range(0, len(message.body), most)]
        bodies = [marshal(ContentBody(part), number) for part in parts]
        return b"".join([_method(message.exchange, message.routing_key, number), marshal(header, number), *bodies])

    def _done(self, id_: str, sent: Sent) -> None:
        sent.exception()  # whoever sent it may have been cancelled: nothing is wrong if nobody asks
        del self._in_flight[id_]
        self._underlay.message_id_delivery_tag.pop(id_, None)

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        while self._in_flight:
            await asyncio.wait(list(self._in_flight.values()))

    def give_up(self, error: NotPublished) -> None:
        """Close it, and let this be the outcome of all that is in flight."""
        self._fail(error)
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())

    def _closed(self, done: asyncio.Future[object]) -> None:
        """The broker closes a channel over one message, and does not say which: the lone one, or one of several."""
        reason = None if done.cancelled() else done.exception()
        if isinstance(reason, ChannelClosed) and len(self._in_flight) == 1:
            self._fail(Refused(str(reason)))
        elif isinstance(reason, ChannelClosed):
            self._fail(Unknown("the broker closed the channel over this message or another"))
        else:
            self._fail(Unknown(f"the connection was lost: {type(reason).__name__}"))

    def _fail(self, error: NotPublished) -> None:
        if not self.given_up:
            self.given_up = True
            self._lost()
        for sent in self._in_flight.values():
            if not sent.done():
                sent.set_exception(error)

    async def _close(self) -> None:
        with suppress(ConnectionError), library_errors():
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._channel.close()


def outcome(sent: Sent) -> NotPublished | None:
    match sent.exception():
        case None:
            return None
        case NotPublished() as error:
            return error
        case PublishError() as error:
            delivery = error.frame if isinstance(error.frame, Basic.Return) else Basic.Return()
            return Refused(f"no queue takes {delivery.routing_key} from {delivery.exchange}")
        case DeliveryError():
            return Blocked("a queue is at its limit")
        case error:
            return Unknown(f"the connection was lost: {type(error).__name__}")


@lru_cache(maxsize=1024)
def _method(exchange: str, key: str, number: int) -> bytes:
    return marshal(Basic.Publish(exchange=exchange, routing_key=key, mandatory=True), number)


def _properties(message: Message, user: str) -> Basic.Properties:
    own = {"ce-id": message.id, "ce-type": message.type, "ce-source": f"/{message.source}"}
    return Basic.Properties(
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,  # not the library's default; dead letters keep it
        message_id=message.id,
        message_type=message.type,
        app_id=message.source,
        user_id=user,
        timestamp=max(message.time, EPOCH),  # the wire has none before; the body has it in full
        correlation_id=message.subject,
        headers={**message.headers, **own},
    )
