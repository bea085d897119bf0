"""What one item of work costs: ours against PgQueuer and procrastinate, each with its own PostgreSQL database.

    BENCH_POSTGRES_URL=postgresql://... python benchmarks/work_queue.py [--peers PYTHON] [--jobs N] [--rounds N]

A backlog of jobs that do nothing is drained by one process. `--peers` names an interpreter that has `pgqueuer` and
`procrastinate` installed; without it only ours is measured. Contenders take turns, the median of the rounds counts.
Commits are read from the database's own statistics, after everybody has disconnected.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from keyturn.clock import SystemClock
from keyturn.database import Database, new_metadata
from keyturn.work import Work, WorkKind
from keyturn.worker import Worker

PEERS = Path(__file__).parent / "peers" / "work_queue"
IN_FLIGHT = (1, 16, 64)


async def ours(url: str, jobs: int, in_flight: int) -> float:
    """Seconds to drain."""
    database = Database(url, service="bench", clock=SystemClock(), pool_size=max(10, in_flight // 2))
    async with database.engine.begin() as connection:
        await connection.run_sync(new_metadata().create_all)
    left, done = jobs, asyncio.Event()

    async def nothing(_work: Work, _deps: None) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    async with database.transaction("schedule") as tx:
        for number in range(jobs):
            tx.schedule("nothing", str(number))
    worker = Worker(database, {"nothing": WorkKind(nothing)}, None, slots=in_flight, lease=timedelta(seconds=30))
    began = time.perf_counter()
    await worker.start()
    await done.wait()
    await worker.stop()
    seconds = time.perf_counter() - began
    await database.close()
    return seconds


def peer(python: str, name: str) -> Callable[[str, int, int], object]:
    async def run(url: str, jobs: int, in_flight: int) -> float:
        command = [python, PEERS / f"{name}_drain.py", url, str(jobs), str(in_flight)]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{name} failed")
        return float(json.loads(out.splitlines()[-1])["seconds"])

    return run


async def measure(admin: str, contender: Callable[[str, int, int], object], jobs: int, in_flight: int) -> list[float]:
    """Jobs a second, and commits a job."""
    name = f"bench_{uuid4().hex[:12]}"
    connection = await asyncpg.connect(admin)
    await connection.execute(f'CREATE DATABASE "{name}"')
    url = urlunsplit(urlsplit(admin)._replace(path=f"/{name}"))
    try:
        seconds = await contender(url, jobs, in_flight)  # type: ignore[misc]
        await asyncio.sleep(1)  # statistics of a closed connection arrive a little later
        commits = await connection.fetchval("SELECT xact_commit FROM pg_stat_database WHERE datname = $1", name)
    finally:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await connection.close()
    return [jobs / seconds, commits / jobs]


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    admin = os.environ["BENCH_POSTGRES_URL"]
    contenders: dict[str, Callable[[str, int, int], object]] = {"ours": ours}
    if asked.peers:
        contenders |= {name: peer(asked.peers, name) for name in ("pgqueuer", "procrastinate")}
    print(f"{'':14}" + "".join(f"{n:>10} in flight" for n in IN_FLIGHT) + "   commits a job")
    results: dict[tuple[str, int], list[list[float]]] = {}
    for _ in range(asked.rounds):
        for in_flight in IN_FLIGHT:
            for name, contender in contenders.items():
                jobs = asked.jobs if in_flight > 1 else asked.jobs // 4
                results.setdefault((name, in_flight), []).append(await measure(admin, contender, jobs, in_flight))
    for name in contenders:
        rates = [statistics.median(rate for rate, _ in results[name, n]) for n in IN_FLIGHT]
        commits = [statistics.median(c for _, c in results[name, n]) for n in IN_FLIGHT]
        print(
            f"{name:14}"
            + "".join(f"{rate:>20,.0f}" for rate in rates)
            + "   "
            + " / ".join(f"{c:.2f}" for c in commits)
        )


if __name__ == "__main__":
    asyncio.run(main())
