"""The bus within one process: what RabbitMQ does, as far as a handler or a publisher can tell, without a broker.

It forgets everything when the process ends.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from keyturn.bus.message import (
    DEATH_REASON,
    PREFETCH,
    Blocked,
    Bus,
    Deliver,
    Delivery,
    Message,
    NotPublished,
    Refused,
    Settle,
    Sift,
    Unknown,
    check,
)
from keyturn.bus.topology import (
    DELIVERY_LIMIT,
    EVENTS_EXCHANGE,
    QUEUES_EXCHANGE,
    dead_queue,
    events_queue,
    published_by,
)
from keyturn.errors import Unavailable
from keyturn.log import get_logger

log = get_logger()

LIMIT = 100_000
SHOWN = 1_000  # dead and unrouted messages kept for looking at
RETURN_SECONDS = 1.0

# For tests: what becomes of a message on its way to one service: how often it is delivered, each after how many
# seconds. (0.0,) is what should be, (0.0, 0.0) is twice, (0.5,) late, () never.
Fate = Callable[[str, Message], Sequence[float]]


def as_it_should_be(_service: str, _message: Message) -> Sequence[float]:
    return (0.0,)


class MemoryBroker:
    """Shared by the services of one process, as a broker is."""

    def __init__(self, *, limit: int = LIMIT, fate: Fate = as_it_should_be) -> None:
        self.limit = limit
        self.fate = fate
        self.dead: dict[str, deque[Message]] = {}
        self.unrouted: deque[Message] = deque(maxlen=SHOWN)
        self._queues: dict[str, _Queue] = {}
        self._bindings: dict[str, set[str]] = {}

    def bus(self, service: str) -> "MemoryBus":
        self._queue(service)
        return MemoryBus(self, service)

    async def interrupt(self, service: str) -> None:
        """As a lost connection: running handlers are cancelled, and their messages come again."""
        await self._queue(service).interrupt()

    def _queue(self, service: str) -> "_Queue":
        self.dead.setdefault(service, deque(maxlen=SHOWN))
        return self._queues.setdefault(service, _Queue(self, service))

    def _bind(self, service: str, keys: Sequence[str]) -> None:
        self._bindings.setdefault(service, set()).update(keys)

    def _route(self, message: Message) -> None:
        if message.exchange == QUEUES_EXCHANGE:
            self._route_to_queue(message)
            return
        wanting = [s for s, keys in self._bindings.items() if any(matches(key, message.routing_key) for key in keys)]
        if not wanting:
            self.unrouted.append(message)
        full = [service for service in wanting if not self._queues[service].offer(message)]
        if full:
            raise Blocked(f"the queue of {full[0]} is full")

    def _route_to_queue(self, message: Message) -> None:
        for service, queue in self._queues.items():
            if message.routing_key == dead_queue(service):
                self.dead[service].append(message)
                return
            if message.routing_key == events_queue(service):
                if not queue.offer(message):
                    raise Blocked(f"the queue of {service} is full")
                return
        self.unrouted.append(message)


@cache
def shared_broker(_url: str) -> MemoryBroker:
    """The one broker of this process at this address."""
    return MemoryBroker()


class MemoryBus(Bus):
    """One service's end. See `keyturn.bus.message.Bus`."""

    def __init__(self, broker: MemoryBroker, service: str) -> None:
        self._broker = broker
        self._service = service
        self._publishes = {key.rpartition(".v")[0] for key in published_by(service)}
        self._consumers: list[MemoryConsumer] = []
        self._connected = False

    async def connect(self) -> None:
        self._connected = True

    async def close(self) -> None:
        self._connected = False
        for consumer in self._consumers:
            await consumer.stop()
        self._consumers.clear()

    async def ping(self) -> None:
        if not self._connected:
            raise Unavailable("the bus is closed")

    async def publish_all(self, messages: Sequence[Message]) -> list[NotPublished | None]:
        outcomes = [self._publish(message) for message in messages]
        # A confirm is never there at once; without this a busy publisher would starve the handlers.
        await asyncio.sleep(0)
        return outcomes

    def _publish(self, message: Message) -> NotPublished | None:
        try:
            if not self._connected:
                raise Unknown("the bus is closed")
            check(message)
            if message.source != self._service:
                raise Refused(f"{self._service} cannot publish as {message.source}")
            self._check_right(message)
            self._broker._route(_over_the_wire(message))  # noqa: SLF001 - the two ends of one transport
        except NotPublished as error:
            return error
        return None

    def _check_right(self, message: Message) -> None:
        """What RabbitMQ's topic permissions check."""
        allowed = {
            EVENTS_EXCHANGE: message.routing_key.rpartition(".v")[0] in self._publishes,
            QUEUES_EXCHANGE: message.routing_key in {events_queue(self._service), dead_queue(self._service)},
        }
        if not allowed.get(message.exchange, False):
            raise Refused(f"{self._service} may not publish {message.routing_key} to {message.exchange}")

    async def sift_dead(self, sift: Sift) -> None:
        await self.ping()
        dead = self._broker.dead[self._service]
        shown = list(dead)
        for message, may_go in zip(shown, await sift(shown) if shown else (), strict=True):
            if may_go and message in dead:
                dead.remove(message)

    async def consume(self, keys: Sequence[str], deliver: Deliver, prefetch: int = PREFETCH) -> "MemoryConsumer":
        self._broker._bind(self._service, keys)  # noqa: SLF001
        consumer = MemoryConsumer(self._broker._queue(self._service), deliver, prefetch)  # noqa: SLF001
        self._consumers.append(consumer)
        await consumer.resume()
        return consumer


class MemoryConsumer:
    """See `keyturn.bus.message.Consumer`."""

    def __init__(self, queue: "_Queue", deliver: Deliver, prefetch: int) -> None:
        self._queue = queue
        self._deliver = deliver
        self._prefetch = prefetch
        self._running: set[asyncio.Task[None]] = set()

    @property
    def free(self) -> int:
        """How many more messages it takes now."""
        return self._prefetch - len(self._running)

    async def pause(self) -> None:
        self._queue.consumers.discard(self)

    async def resume(self) -> None:
        self._queue.consumers.add(self)
        self._queue.dispatch()

    async def stop(self) -> None:
        await self.pause()
        while self._running:
            await asyncio.wait(self._running)

    def take(self, waiting: "_Waiting") -> None:
        task = asyncio.create_task(self._handle(waiting))
        self._running.add(task)
        task.add_done_callback(lambda done: self._settled(done, waiting))

    async def interrupt(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _handle(self, waiting: "_Waiting") -> None:
        try:
            settle: Settle = await self._deliver(Delivery(waiting.message, redelivered=waiting.deliveries > 1))
        except Exception:
            log.exception("delivery failed", event_id=waiting.message.id, wire=waiting.message.type)
            await asyncio.sleep(RETURN_SECONDS)
            settle = "return"
        waiting.done = settle == "ack"

    def _settled(self, task: "asyncio.Task[None]", waiting: "_Waiting") -> None:
        self._running.discard(task)
        if not waiting.done:
            self._queue.take_back(waiting)
        if not task.cancelled():  # else the process may be ending
            self._queue.dispatch()


class _Waiting:
    """A message in a queue, and how often it has left it."""

    def __init__(self, message: Message, number: int) -> None:
        self.message = message
        self.number = number
        self.deliveries = 0
        self.done = False


class _Queue:
    """A service's queue: bounded, in order, a returned message at the front, its consumers taking turns."""

    def __init__(self, broker: MemoryBroker, service: str) -> None:
        self._broker = broker
        self._service = service
        self._waiting: deque[_Waiting] = deque()
        self._number = 0
        self.consumers: set[MemoryConsumer] = set()

    def offer(self, message: Message) -> bool:
        """False when the queue is full."""
        if len(self._waiting) >= self._broker.limit:
            return False
        for seconds in self._broker.fate(self._service, message):
            if seconds:
                asyncio.get_running_loop().call_later(seconds, self._put, message)
            else:
                self._put(message)
        return True

    def _put(self, message: Message) -> None:
        self._number += 1
        self._waiting.append(_Waiting(message, self._number))
        self.dispatch()

    def take_back(self, waiting: _Waiting) -> None:
        if waiting.deliveries > DELIVERY_LIMIT:
            headers = {**waiting.message.headers, DEATH_REASON: "delivery_limit"}
            self._broker.dead[self._service].append(replace(waiting.message, headers=headers))
            return
        later = (place for place, other in enumerate(self._waiting) if other.number > waiting.number)
        self._waiting.insert(next(later, len(self._waiting)), waiting)

    def dispatch(self) -> None:
        while self._waiting:
            consumer = max(self.consumers, key=lambda c: c.free, default=None)
            if consumer is None or consumer.free <= 0:
                return
            waiting = self._waiting.popleft()
            waiting.deliveries += 1
            consumer.take(waiting)

    async def interrupt(self) -> None:
        for consumer in self.consumers:
            await consumer.interrupt()
        self.dispatch()


def matches(pattern: str, key: str) -> bool:
    """Topic matching: `*` is one word, `#` any number of words."""
    return _words_match(pattern.split("."), key.split("."))


def _words_match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(_words_match(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and first in {"*", words[0]} and _words_match(rest, words[1:])


def _over_the_wire(message: Message) -> Message:
    """To bytes and back, so that nothing gets across that would not get across a broker."""
    parts = (message.id, message.type, message.subject, message.source, message.exchange, message.routing_key)
    wire = json.dumps([*parts, int(message.time.timestamp()), dict(message.headers)]).encode()
    id_, type_, subject, source, exchange, key, seconds, headers = json.loads(wire)
    time = datetime.fromtimestamp(seconds, UTC)
    body = bytes(bytearray(message.body))
    return Message(id_, type_, subject, source, time, body, headers, exchange, key)
