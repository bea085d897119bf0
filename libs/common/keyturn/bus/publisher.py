"""Publishing to RabbitMQ: pipelined on one channel, every message confirmed, every outcome told apart."""

import asyncio
from collections.abc import Sequence

from aio_pika.abc import AbstractConnection

from keyturn.bus.lane import Lane, Sent, outcome
from keyturn.bus.link import Link, cancelled_by_us
from keyturn.bus.message import Blocked, Message, NotPublished, Refused, Unknown, check

CONFIRM_SECONDS = 10.0


class Publisher:
    """`publish_all` of one service. `user` is the broker's user: the broker vouches for it to whoever receives."""

    def __init__(self, link: Link, service: str, user: str, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        self._link = link
        self._service = service
        self._user = user
        self._confirm_seconds = confirm_seconds
        self._lane: Lane | None = None
        self._opening: asyncio.Task[Lane] | None = None
        self._turn = asyncio.Lock()  # who comes first is sent first
        self._failure: NotPublished | None = None  # the last one: of a lane, or before there was one

    async def publish_all(self, messages: Sequence[Message]) -> list[NotPublished | None]:
        refused = {message.id: error for message in messages if (error := self._refusal(message))}
        sent = await self._send([message for message in messages if message.id not in refused])
        if isinstance(sent, NotPublished):
            return [refused.get(message.id, sent) for message in messages]
        outcomes = map(outcome, sent)
        return [refused[message.id] if message.id in refused else next(outcomes) for message in messages]

    def _refusal(self, message: Message) -> Refused | None:
        try:
            check(message)
        except Refused as error:
            return error
        if message.source != self._service:
            return Refused(f"{self._service} cannot publish as {message.source}")
        return None

    async def _send(self, messages: Sequence[Message]) -> list[Sent] | NotPublished:
        """Each with its outcome, or why none was sent."""
        if not messages:
            return []
        before = self._failure
        try:
            async with self._turn:
                lane, sent = await self._write(messages, before)
        except NotPublished as error:
            self._failure = error
            return error
        _, late = await asyncio.wait(sent, timeout=self._confirm_seconds)
        if late:
            lane.give_up(Unknown("no confirm came"))
        return sent

    async def _write(self, messages: Sequence[Message], before: NotPublished | None) -> tuple[Lane, list[Sent]]:
        too_late: type[NotPublished] = Unknown
        try:
            async with asyncio.timeout(self._confirm_seconds):
                connection = await self._link.connection()
                too_late = Blocked
                await _alarm_over(connection)
                too_late = Unknown
                lane = await self._open_lane()
                self._overtake_nothing(before)
                return lane, await lane.send(messages)
        except TimeoutError as error:
            self._retire()
            raise too_late("the broker takes nothing") from error
        except NotPublished:
            raise
        except (Exception, asyncio.CancelledError) as error:
            self._retire()
            if isinstance(error, asyncio.CancelledError) and cancelled_by_us():
                raise
            raise Unknown(f"the connection was lost: {type(error).__name__}") from error

    def _overtake_nothing(self, before: NotPublished | None) -> None:
        """What failed since this was asked for was asked for earlier."""
        if self._failure is not None and self._failure is not before:
            raise self._failure

    def _retire(self) -> None:
        if self._lane is not None:
            self._lane.give_up(Unknown("the channel was given up"))

    async def _open_lane(self) -> Lane:
        if self._lane is None or self._lane.given_up:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._new_lane())
                self._opening.add_done_callback(lambda done: done.cancelled() or done.exception())
            # Shielded: whoever waits for it may give up, and the next one still wants it.
            self._lane = await asyncio.shield(self._opening)
        return self._lane

    async def _new_lane(self) -> Lane:
        return await Lane.open(await self._link.connection(), self._user, self._lost)

    def _lost(self) -> None:
        self._failure = Unknown("the channel of what was asked for earlier was lost")

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        async with self._turn:
            if self._lane is not None:
                await self._lane.idle()

    def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()


async def _alarm_over(connection: AbstractConnection) -> None:
    """The broker says when it is short of memory or disk: what is sent then would lie in the socket."""
    if connection.transport is not None:
        await connection.transport.ready()
