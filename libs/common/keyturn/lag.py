"""How late the event loop is: every request, handler and heartbeat of the process waits for as long."""

import asyncio
from time import perf_counter

from prometheus_client import Histogram

EVERY = 0.05  # seconds between two looks

_LAG = Histogram(
    "keyturn_loop_lag_seconds",
    "How late the event loop runs what is due",
    ["service"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)


async def watch(service: str) -> None:
    """For ever."""
    lag = _LAG.labels(service)
    while True:
        due = perf_counter() + EVERY
        await asyncio.sleep(EVERY)
        lag.observe(max(perf_counter() - due, 0.0))
