"""Publishing to RabbitMQ: pipelined on one channel, every message confirmed, every outcome told apart."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from aio_pika.abc import AbstractChannel, AbstractConnection, DeliveryMode
from aio_pika.exceptions import ChannelClosed, DeliveryError, PublishError
from aiormq import Channel as Underlay
from pamqp.commands import Basic

from keyturn.bus.link import Link, cancelled_by_us, library_errors
from keyturn.bus.message import Blocked, Message, NotPublished, Refused, Unknown, check
from keyturn.events import CONTENT_TYPE

PIPELINED = 200  # in flight at once: six times the speed of one by one; more gains nothing
CONFIRM_SECONDS = 10.0


class Publisher:
    """`publish` of one service. `user` is the broker's user: the broker vouches for it to whoever receives."""

    def __init__(self, link: Link, service: str, user: str, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        self._link = link
        self._service = service
        self._user = user
        self._confirm_seconds = confirm_seconds
        self._lane: _Lane | None = None
        self._opening: asyncio.Task[_Lane] | None = None
        self._slots = asyncio.Semaphore(PIPELINED)
        self._under_way: dict[str, asyncio.Future[None]] = {}
        # Ids of messages that were in flight together when the broker closed their channel over one of them. They are
        # sent alone from then on, so that the next time it is clear which one it was.
        self._suspects: set[str] = set()
        self._alone = asyncio.Lock()

    async def publish(self, message: Message) -> None:
        check(message)
        if message.source != self._service:
            raise Refused(f"{self._service} cannot publish as {message.source}")
        # The library matches what the broker returns by message id alone: of two copies in flight on one channel, the
        # wrong one would be reported as confirmed.
        while other := self._under_way.get(message.id):
            await asyncio.wait([other])
        done = self._under_way[message.id] = asyncio.get_running_loop().create_future()
        try:
            async with self._slots:
                await self._send_alone_or_not(message)
        finally:
            del self._under_way[message.id]
            done.set_result(None)

    async def _send_alone_or_not(self, message: Message) -> None:
        if not self._suspects:
            await self._send(message)
            return
        async with self._alone:
            await self._send(message)
            self._suspects.discard(message.id)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()

    async def _send(self, message: Message) -> None:
        lane: _Lane | None = None
        too_late: type[NotPublished] = Unknown
        try:
            async with asyncio.timeout(self._confirm_seconds):  # round everything: the library's covers only a part
                connection = await self._link.connection()
                too_late = Blocked
                await _alarm_over(connection)
                too_late = Unknown
                lane = await self._open_lane()
                with lane.carrying(message.id):
                    await lane.publish(message, self._user)
        except TimeoutError as error:
            self._retire(lane)
            raise too_late("no confirm came" if lane else "the broker takes nothing") from error
        except PublishError as error:
            raise Refused(f"no queue takes {message.routing_key} from {message.exchange}") from error
        except DeliveryError as error:
            raise Blocked("a queue is at its limit") from error
        except ChannelClosed as error:
            self._retire(lane)
            self._judge(lane, error)
        except (Exception, asyncio.CancelledError) as error:
            self._retire(lane)
            if isinstance(error, asyncio.CancelledError) and cancelled_by_us():
                raise
            raise Unknown(f"the connection was lost: {type(error).__name__}") from error

    def _judge(self, lane: "_Lane | None", error: ChannelClosed) -> NoReturn:
        """The broker closed the channel over one message, and does not say which: the lone one, or one of several."""
        if lane is None or len(lane.last_seen) <= 1:
            self._suspects.clear()
            raise Refused(str(error)) from error
        self._suspects |= lane.last_seen
        raise Unknown("the broker closed the channel over this message or another") from error

    async def _open_lane(self) -> "_Lane":
        if self._lane is None or self._lane.closed:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._new_lane())
                self._opening.add_done_callback(lambda done: done.cancelled() or done.exception())
            # Shielded: when the first who waits for it gives up, the others still want it.
            self._lane = await asyncio.shield(self._opening)
        return self._lane

    async def _new_lane(self) -> "_Lane":
        connection = await self._link.connection()
        channel = connection.channel(on_return_raises=True)  # else a returned message looks like a published one
        await channel.initialize()
        underlay = await channel.get_underlay_channel()
        assert isinstance(underlay, Underlay)
        return _Lane(channel, underlay)

    def _retire(self, lane: "_Lane | None") -> None:
        """A message whose outcome is unknown may be sent again, but never on the channel that may still carry it."""
        if lane is not None and self._lane is lane:
            self._lane = None
        if lane is not None:
            lane.retire()


class _Lane:
    """A channel, and what is in flight on it.

    Publishing goes to the channel underneath: aio-pika waits for each message to be written before it takes the next.
    """

    def __init__(self, channel: AbstractChannel, underlay: Underlay) -> None:
        self._channel = channel
        self._underlay = underlay
        self._carried: set[str] = set()
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self.last_seen: frozenset[str] = frozenset()  # what was in flight when it was retired

    @property
    def closed(self) -> bool:
        return self._channel.is_closed

    @contextmanager
    def carrying(self, id_: str) -> Iterator[None]:
        self._carried.add(id_)
        try:
            yield
        except ChannelClosed:
            self.last_seen = self.last_seen or frozenset(self._carried)
            raise
        finally:
            self._carried.discard(id_)
            self._close_if_done()

    async def publish(self, message: Message, user: str) -> None:
        await self._underlay.basic_publish(
            message.body,
            exchange=message.exchange,
            routing_key=message.routing_key,
            properties=_properties(message, user),
            mandatory=True,
            wait=False,
        )

    def retire(self) -> None:
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._carried and self._closing is None:
            self._closing = asyncio.create_task(self._close())

    async def _close(self) -> None:
        with suppress(ConnectionError), library_errors():
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._channel.close()


async def _alarm_over(connection: AbstractConnection) -> None:
    """The broker says when it is short of memory or disk: what is sent then would lie in the socket."""
    if connection.transport is not None:
        await connection.transport.ready()


def _properties(message: Message, user: str) -> Basic.Properties:
    own = {"ce-id": message.id, "ce-type": message.type, "ce-source": f"/{message.source}"}
    return Basic.Properties(
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,  # not the library's default; dead letters keep it
        message_id=message.id,
        message_type=message.type,
        app_id=message.source,
        user_id=user,
        timestamp=message.time,
        correlation_id=message.subject,
        headers={**message.headers, **own},
    )
