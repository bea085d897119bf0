"""The webhook sender of both stand-ins: signed, retried with back-off, and on demand as unreliable as the internet."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx

from keyturn.clock import Clock

# (body, secrets, event id) -> headers; called anew for each try, since a signature may hold the time
Sign = Callable[[bytes, Sequence[str], str], dict[str, str]]
Order = Literal["as_sent", "reversed", "shuffled"] | Sequence[str]  # or the event types, first to last
KEPT_IN_LOG = 20_000


@dataclass(frozen=True)
class Rules:
    """How one provider delivers. Back-off is in real seconds, and short; giving up goes by the sandbox's clock."""

    timeout: float  # an answer that takes longer is a failure
    give_up: timedelta
    disables: bool  # giving up switches the endpoint off, until it is enabled by hand
    secret_of_event: bool  # a retry is signed with the secret of the time when the event was made
    first: float = 0.2
    cap: float = 30.0


@dataclass
class Endpoint:
    url: str
    secrets: list[str]
    enabled: bool = True


@dataclass
class Weather:
    """What goes wrong by itself: the share of events lost or doubled, `copies` of each at once, seconds of delay.

    Each copy has a random delay of its own, so a delay reorders too.
    """

    losses: float = 0.0
    duplicates: float = 0.0
    copies: int = 1
    delay: float = 0.0


@dataclass
class Delivery:
    """One event on its way to one endpoint."""

    id: int
    event_id: str
    type: str
    body: bytes = field(repr=False)
    url: str
    secrets: list[str] = field(repr=False)
    created: datetime
    state: Literal["held", "pending", "delivered", "failed", "lost"] = "pending"
    attempts: list[dict[str, Any]] = field(default_factory=list)  # at, status, error, seconds

    def shown(self) -> dict[str, Any]:
        """For the delivery log: everything but the secrets."""
        kept = {"id": self.id, "event": self.event_id, "type": self.type, "url": self.url, "state": self.state}
        return kept | {"created": self.created.isoformat(), "attempts": self.attempts, "body": self.body.decode()}


class Webhooks:
    """Sends every event to every enabled endpoint and keeps a log of it."""

    def __init__(self, sign: Sign, rules: Rules, clock: Clock, *, seed: int = 0) -> None:
        self.endpoints: list[Endpoint] = []
        self.weather = Weather()
        self.log: deque[Delivery] = deque(maxlen=KEPT_IN_LOG)
        self._sign = sign
        self._rules = rules
        self._clock = clock
        self._random = random.Random(seed)
        self._ids = itertools.count(1)
        self._holding = False
        self._slots = asyncio.Semaphore(50)
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    def send(self, event_id: str, type_: str, body: bytes) -> None:
        """Returns at once; the event goes out in the background."""
        for endpoint in self.endpoints:
            if endpoint.enabled:
                for _ in range(self._copies()):
                    self._post(event_id, type_, body, endpoint)

    def _copies(self) -> int:
        return self.weather.copies + (self._random.random() < self.weather.duplicates)

    def _post(self, event_id: str, type_: str, body: bytes, endpoint: Endpoint) -> None:
        secrets, now = list(endpoint.secrets), self._clock.now()
        delivery = Delivery(next(self._ids), event_id, type_, body, endpoint.url, secrets, now)
        self.log.append(delivery)
        if self._holding:
            delivery.state = "held"
        elif self._random.random() < self.weather.losses:
            delivery.state = "lost"
        else:
            self._spawn(delivery, delay=self._random.uniform(0, self.weather.delay))

    def _spawn(self, delivery: Delivery, *, delay: float = 0.0) -> None:
        task = asyncio.create_task(self._deliver(delivery, delay))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Delivery, delay: float) -> None:
        await asyncio.sleep(delay)
        wait = self._rules.first
        while not await self._try(delivery):
            if self._clock.now() - delivery.created >= self._rules.give_up:
                self._give_up(delivery)
                return
            await asyncio.sleep(wait)
            wait = min(wait * 2, self._rules.cap)

    def _give_up(self, delivery: Delivery) -> None:
        delivery.state = "failed"
        if self._rules.disables:
            for endpoint in self.endpoints:
                endpoint.enabled = endpoint.enabled and endpoint.url != delivery.url

    async def _try(self, delivery: Delivery) -> bool:
        """One attempt; True when nothing is left to do."""
        endpoint = next((e for e in self.endpoints if e.url == delivery.url), None)
        if endpoint is None or not endpoint.enabled:
            delivery.state = "failed"
            return True
        secrets = delivery.secrets if self._rules.secret_of_event else endpoint.secrets
        headers = {"content-type": "application/json"} | self._sign(delivery.body, secrets, delivery.event_id)
        began, status, error = time.monotonic(), None, None
        async with self._slots:
            try:
                async with asyncio.timeout(self._rules.timeout):
                    status = (await self._http().post(delivery.url, content=delivery.body, headers=headers)).status_code
            except (httpx.HTTPError, TimeoutError) as failure:
                error = type(failure).__name__
        seconds = round(time.monotonic() - began, 3)
        attempt = {"at": self._clock.now().isoformat(), "status": status, "error": error, "seconds": seconds}
        delivery.attempts.append(attempt)
        if status is not None and 200 <= status < 300:
            delivery.state = "delivered"
        return delivery.state == "delivered"

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:  # no redirects: any answer but a 2xx is a failure to a provider
            self._client = httpx.AsyncClient(trust_env=False, timeout=self._rules.timeout)
        return self._client

    def hold(self) -> None:
        """From now on events wait until `release`."""
        self._holding = True

    async def release(self, order: Order = "as_sent") -> None:
        """Sends what was held, one after the other, in the given order; what fails is retried as usual."""
        self._holding = False
        for delivery in self._ordered([d for d in self.log if d.state == "held"], order):
            delivery.state = "pending"
            if not await self._try(delivery):
                self._spawn(delivery, delay=self._rules.first)

    def _ordered(self, held: list[Delivery], order: Order) -> list[Delivery]:
        if order == "reversed":
            return held[::-1]
        if order == "shuffled":
            return self._random.sample(held, len(held))
        if not isinstance(order, str):
            named = list(order)
            held.sort(key=lambda d: named.index(d.type) if d.type in named else len(named))
        return held

    def resend(self, delivery_id: int) -> bool:
        """Sends it once more, whatever became of it; False when there is no such delivery."""
        delivery = next((d for d in self.log if d.id == delivery_id), None)
        if delivery is None:
            return False
        delivery.state, delivery.created = "pending", self._clock.now()
        self._spawn(delivery)
        return True

    def enable(self) -> None:
        """Switches every endpoint on again. What was missed is not sent by itself."""
        for endpoint in self.endpoints:
            endpoint.enabled = True

    def succeeded(self, event_id: str) -> bool:
        """Whether every endpoint that the event was sent to took it."""
        states = [d.state for d in self.log if d.event_id == event_id]
        return bool(states) and all(state == "delivered" for state in states)

    def pending(self, event_id: str | None = None) -> int:
        """How many deliveries are under way, of one event or of all."""
        return sum(d.state == "pending" and event_id in {None, d.event_id} for d in self.log)

    async def settled(self, seconds: float = 10.0) -> None:
        """Until nothing is under way; TimeoutError otherwise."""
        async with asyncio.timeout(seconds):
            while self.pending():  # noqa: ASYNC110 - for tests and the demo, which have nothing else to do
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._client:
            await self._client.aclose()
            self._client = None

    def dump(self) -> list[dict[str, Any]]:
        """The latest deliveries, for the data folder."""
        return [d.shown() | {"secrets": d.secrets} for d in list(self.log)[-200:]]

    def load(self, dumped: list[dict[str, Any]]) -> None:
        """Takes up a dump again: what was under way is tried again."""
        for row in dumped:
            event, type_, url, secrets = row["event"], row["type"], row["url"], row["secrets"]
            created = datetime.fromisoformat(row["created"])
            delivery = Delivery(next(self._ids), event, type_, row["body"].encode(), url, secrets, created)
            delivery.state, delivery.attempts = row["state"], row["attempts"]
            self.log.append(delivery)
            if delivery.state == "pending":
                self._spawn(delivery)
