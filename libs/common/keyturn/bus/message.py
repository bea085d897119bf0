"""What the bus carries, and what it promises: the port that both transports keep."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

from keyturn.bus.topology import EVENTS_EXCHANGE
from keyturn.errors import KeyturnError

MAX_BODY = 256 * 1024
MAX_HEADERS = 8 * 1024  # they travel in one frame, which the broker caps
MAX_KEY = 255

CAUSE = "keyturn-cause"  # the header of a copy that the library put into a dead queue: there is a row for it
DEATH_REASON = "x-first-death-reason"  # the broker's header on what it moved there itself

PREFETCH = 20  # handlers at once in one process; above the database's pool it only moves the queue into memory


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way. `id` is the event's id, equal on every copy; `subject` travels as the correlation id.

    `source` of a message that was delivered is who really published it, as the broker vouches, whatever the body says.
    `time` is exact to the second on the wire; the body has it in full.
    """

    id: str
    type: str
    subject: str
    source: str
    time: datetime
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    exchange: str = EVENTS_EXCHANGE
    routing_key: str = ""


def storable(message: Message) -> Message:
    """With properties that a database and a log take, whoever made them up. The bytes stay as they are."""
    return replace(
        message,
        id=_plain(message.id),
        type=_plain(message.type),
        subject=_plain(message.subject),
        source=_plain(message.source),
        headers={name: _plain(value) for name, value in message.headers.items()},
    )


def _plain(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message in a handler's hands. `redelivered` is a hint: it was, or may have been, delivered before."""

    message: Message
    redelivered: bool


Settle = Literal["ack", "return"]  # done with it, or back to the front of the queue
Sift = Callable[[Sequence[Message]], Awaitable[Sequence[bool]]]  # for each message: may it go?
Deliver = Callable[[Delivery], Awaitable[Settle]]


class NotPublished(KeyturnError):
    """Root of what `publish` raises."""


class Refused(NotPublished):
    """This message, as it is, will never be taken: too large, unroutable or forbidden."""


class Blocked(NotPublished):
    """Not now: a queue is at its limit, or the broker has run short of memory or disk. Back off, keep the order."""


class Unknown(NotPublished):
    """No confirm came: it may or may not have been published. Send it again, under the same id."""


class Consumer(Protocol):
    async def pause(self) -> None:
        """Take no more; what is in hand goes on."""

    async def resume(self) -> None: ...

    async def stop(self) -> None:
        """Take no more, and wait for what is in hand."""


class Bus(Protocol):
    """One service's end of the bus."""

    async def connect(self) -> None:
        """Returns after the first try, successful or not: it goes on trying by itself, and `ping` tells."""

    async def close(self) -> None:
        """Stop the consumers as `stop` does, wait for publishes under way, disconnect."""

    async def ping(self) -> None:
        """Raises `Unavailable` unless it is connected, and consumes what it was asked to."""

    async def publish_all(self, messages: Sequence[Message]) -> Sequence[NotPublished | None]:
        """Publish these, whose ids differ, in this order and behind what was asked for earlier. Returns what became of
        each: None is confirmed, and safe with the broker. What is `Refused` alone may be `Unknown` among others, and
        they with it."""
        ...

    async def publish(self, message: Message) -> None:
        """One. Raises what became of it, unless it is confirmed."""
        (error,) = await self.publish_all([message])
        if error:
            raise error

    async def consume(self, keys: Sequence[str], deliver: Deliver, prefetch: int = PREFETCH) -> Consumer:
        """Bind the service's queue to these keys and hand over what comes, up to `prefetch` messages at a time.

        `deliver` says what becomes of the message; where it raises (it should not), the message is returned after a
        pause. It is cancelled when the connection is lost: the message then comes again.
        """
        ...

    async def sift_dead(self, sift: Sift) -> None:
        """Show `sift` what lies in the service's dead queue, in batches, and remove what it says; the rest stays
        there, in its order. Raises `Unavailable`."""


def check(message: Message) -> None:
    """What no transport takes, so that both refuse it alike. Raises `Refused`."""
    if len(message.body) > MAX_BODY:
        raise Refused(f"body of {len(message.body)} bytes, more than {MAX_BODY}")
    if not 0 < len(message.routing_key.encode()) <= MAX_KEY:
        raise Refused(f"routing key is empty or longer than {MAX_KEY} bytes")
    size = 0
    for name, value in message.headers.items():
        if not isinstance(value, str):
            raise Refused(f"header {name} is {type(value).__name__}, not str")
        size += len(name.encode()) + len(value.encode())
    if size > MAX_HEADERS:
        raise Refused(f"headers of {size} bytes, more than {MAX_HEADERS}")
