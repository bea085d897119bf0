"""Memory of each service while the whole system sells: what it holds, and whether that grows.

`MINUTES=60 python -m benchmarks memory` for an hour; a minute by default. Customers order and pay all the time: in the
first minute as fast as they are served, then `RATE` a second. The slope is that of the second half: caches and pools
fill first.
"""

import asyncio
import os
import statistics
import time
from pathlib import Path

import httpx
import uvloop

from benchmarks import load, ready, table, usage
from benchmarks.brokers import RabbitMQ, virtual_host
from benchmarks.budgets import Row
from benchmarks.system import running
from sandbox.postgres import SERVICES, Postgres
from sandbox.system import System

MINUTES = float(os.environ.get("MINUTES", "1"))
EVERY, SAY_EVERY = 2.0, 60.0  # seconds between two looks, between two lines about them
PAID, CONNECTIONS = 20, 8
RUSH = 60.0  # seconds
RATE = float(os.environ.get("RATE", "5"))  # orders a second after them
HEADINGS = ("", "at first MB", "most MB", "at last MB", "MB/hour")

Seen = list[tuple[float, float]]  # hours since the beginning, MB


async def _buy(system: System, until: float) -> int:
    """Customers one after the other; how many."""
    bought, rushed = 0, time.monotonic() + RUSH
    async with httpx.AsyncClient(base_url=system.url) as client:
        while (began := time.monotonic()) < until:
            tried = await asyncio.gather(*(ready.paid(system, client) for _ in range(PAID)), return_exceptions=True)
            paid = [
                request for request in tried if not isinstance(request, BaseException)
            ]  # a busy machine refuses some
            await load.run(system.ports["gateway"], [request for _, request in paid], CONNECTIONS)
            bought += len(paid)
            if began > rushed:
                await asyncio.sleep(began + PAID / RATE - time.monotonic())
    return bought


async def _watch(system: System, until: float) -> dict[str, Seen]:
    seen: dict[str, Seen] = {name: [] for name in SERVICES}
    began = said = time.monotonic()
    while time.monotonic() < until:
        for name, found in seen.items():
            pid = system.host._running[name].pid  # noqa: SLF001
            found.append(((time.monotonic() - began) / 3600, usage.megabytes([pid])))
        if time.monotonic() - said > SAY_EVERY:
            said = time.monotonic()
            now = ", ".join(f"{name} {found[-1][1]:.1f}" for name, found in seen.items())
            print(f"after {(said - began) / 60:.0f} min, MB: {now}", flush=True)
        await asyncio.sleep(EVERY)
    return seen


def slope(seen: Seen) -> float:
    """MB an hour, by least squares."""
    return statistics.linear_regression(*zip(*seen, strict=True)).slope


async def _run(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    with virtual_host(broker) as vhost:
        async with running(scratch / "memory", postgres, vhost) as system:
            system.stripe.webhooks.hold()
            until = time.monotonic() + MINUTES * 60
            bought, seen = await asyncio.gather(_buy(system, until), _watch(system, until))
    lines, rows = [], []
    for name, found in seen.items():
        most, grows = max(megabytes for _, megabytes in found), slope(found[len(found) // 2 :])
        lines.append([name, f"{found[0][1]:.0f}", f"{most:.0f}", f"{found[-1][1]:.0f}", f"{grows:.0f}"])
        rows.append(Row(8, f"{name}, most under load, MB", most, "most", 180))
        if MINUTES >= 60:
            rows.append(Row(8, f"{name}, grows in an hour, MB", grows, "most", 5))
    table.show(f"memory over {MINUTES:g} minutes, {bought} orders paid", HEADINGS, lines)
    return rows


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    return uvloop.run(_run(scratch, postgres, broker))
