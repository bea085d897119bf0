"""How long each service takes from its start until it says that it is ready, its memory when idle, and `make demo`."""

import asyncio
import statistics
import subprocess
import time
from pathlib import Path

import uvloop

from benchmarks import servers, table, usage
from benchmarks.brokers import RabbitMQ, virtual_host
from benchmarks.budgets import Row
from benchmarks.system import running
from sandbox.postgres import SERVICES, Postgres
from sandbox.system import System

ROUNDS = 3
HEADINGS = ("", "ready after s", "idle MB", "open files")


async def _start(system: System, name: str) -> list[float]:
    """Seconds until ready, then what it holds when idle: megabytes, open files."""
    took = []
    for _ in range(ROUNDS):
        await system.host.stop(name)
        began = time.perf_counter()
        await system.start(name)
        await system.ready(name)
        took.append(time.perf_counter() - began)
    await asyncio.sleep(3)
    pid = system.host._running[name].pid  # noqa: SLF001
    return [statistics.median(took), usage.megabytes([pid]), usage.open_files(pid)]


async def _run(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    with virtual_host(broker) as vhost:
        async with running(scratch / "starts", postgres, vhost) as system:
            found = {name: await _start(system, name) for name in SERVICES}
    lines = [[name, f"{took:.2f}", f"{idle:.0f}", f"{files}"] for name, (took, idle, files) in found.items()]
    table.show(f"start and idle memory, median of {ROUNDS}", HEADINGS, lines)
    starts = [Row(9, f"{name}, start until ready, s", took, "most", 2) for name, (took, _, _) in found.items()]
    starts.append(Row(9, "make demo, s", _demo(), "most", 20))
    return starts + [Row(8, f"{name}, idle, MB", idle, "most", 120) for name, (_, idle, _) in found.items()]


def _demo() -> float:
    """Everything that `make demo` does once its environment is there."""
    began = time.perf_counter()
    subprocess.run([servers.python(), "-m", "sandbox.demo"], cwd=servers.ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    return uvloop.run(_run(scratch, postgres, broker))
