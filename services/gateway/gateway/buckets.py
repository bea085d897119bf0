"""Token buckets in memory: for what must cost no write, such as counting forged requests."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

MOST_CLIENTS = 10_000  # the longest idle are forgotten first


@dataclass(frozen=True)
class Limit:
    """`burst` at once, and `per_minute` in the long run."""

    burst: int
    per_minute: float

    @property
    def per_second(self) -> float:
        return self.per_minute / 60

    def wait(self, tokens: float) -> int:
        """Whole seconds until there is a token again."""
        return max(1, ceil((1 - tokens) / self.per_second))


class Buckets:
    """One bucket for each client, in this process only."""

    def __init__(self, limit: Limit, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> int:
        """0 where there was a token to take; otherwise the seconds to wait."""
        now = self._seconds()
        tokens, since = self._clients.pop(client, (float(self._limit.burst), now))
        tokens = min(self._limit.burst, tokens + (now - since) * self._limit.per_second)
        granted = tokens >= 1
        self._clients[client] = (tokens - granted, now)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return 0 if granted else self._limit.wait(tokens)
