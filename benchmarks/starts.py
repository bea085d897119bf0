"""How long each service takes from its start until it says that it is ready, and its memory when idle."""

import asyncio
import statistics
import time
from pathlib import Path

import uvloop

from benchmarks import table, usage
from benchmarks.brokers import RabbitMQ, virtual_host
from benchmarks.system import running
from sandbox.postgres import SERVICES, Postgres
from sandbox.system import System

ROUNDS = 3
HEADINGS = ("", "ready after s", "idle MB", "open files")


async def _row(system: System, name: str) -> list[str]:
    took = []
    for _ in range(ROUNDS):
        await system.host.stop(name)
        began = time.perf_counter()
        await system.start(name)
        await system.ready(name)
        took.append(time.perf_counter() - began)
    await asyncio.sleep(3)
    pid = system.host._running[name].pid  # noqa: SLF001
    return [name, f"{statistics.median(took):.2f}", f"{usage.megabytes([pid]):.0f}", f"{usage.open_files(pid)}"]


async def _run(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> None:
    with virtual_host(broker) as vhost:
        async with running(scratch / "starts", postgres, vhost) as system:
            rows = [await _row(system, name) for name in SERVICES]
    table.show(f"start and idle memory, median of {ROUNDS}", HEADINGS, rows)


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> None:
    uvloop.run(_run(scratch, postgres, broker))
