"""Jobs of six steps that do nothing, each step recorded: the provisioner's engine, and two peers.

DBOS records each step in PostgreSQL as we do; a Celery chain on RabbitMQ records nothing. Each is a program of its own
that keeps so many jobs in flight, on its own database. Commits are those that PostgreSQL counted.
"""

import asyncio
import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks import servers, table
from benchmarks.brokers import RabbitMQ, virtual_host
from benchmarks.budgets import Row
from sandbox.postgres import Postgres

IN_FLIGHT = (1, 16, 64)
ROUNDS = 3
SECONDS = 4  # about what each turn takes
STEPS = 6
OURS, DBOS, CELERY = "Keyturn", "DBOS", "Celery"
HEADINGS = ("", "in flight", "jobs/s", "CPU ms each", "commits a step", "ours:it")
HOME = servers.PEERS / "jobs"
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = $1"


@dataclass(frozen=True)
class Contender:
    """`command`: a program that is told so many jobs, so many in flight, and prints its seconds and CPU seconds.
    `per_second`: a guess."""

    name: str
    command: Sequence[str]
    per_second: int
    database: str | None = None
    cwd: Path = servers.ROOT


@dataclass(frozen=True)
class Figures:
    rate: float
    cpu: float
    commits: float


def run(contender: Contender, in_flight: int, postgres: Postgres) -> Figures:
    jobs = contender.per_second * SECONDS
    before = _commits(postgres, contender)
    command = [*contender.command, str(jobs), str(in_flight)]
    told = subprocess.run(command, cwd=contender.cwd, check=True, capture_output=True, text=True).stdout
    used = json.loads(told.splitlines()[-1])
    commits = (_commits(postgres, contender) - before) / (jobs + 2 * in_flight) / STEPS
    return Figures(jobs / used["seconds"], used["cpu"] / jobs * 1e3, commits)


def _commits(postgres: Postgres, contender: Contender) -> int:
    async def ask() -> int:
        await asyncio.sleep(1)  # a closed connection's figures come a little later
        connection = await asyncpg.connect(postgres.url)
        try:
            return int(await connection.fetchval(COMMITS, contender.database) or 0)
        finally:
            await connection.close()

    return asyncio.run(ask())


def ours(postgres: Postgres) -> Contender:
    url = postgres.create_databases(("jobs_keyturn",))["jobs_keyturn"]
    return Contender(OURS, [servers.python(), "-m", "benchmarks.jobs_ours", url], 150, "jobs_keyturn")


def dbos(python: str, postgres: Postgres) -> Contender:
    url = postgres.create_databases(("jobs_dbos",))["jobs_dbos"]
    return Contender(DBOS, [python, str(HOME / "dbos_jobs.py"), url], 60, "jobs_dbos", HOME)


def celery(python: str, amqp: str) -> Contender:
    return Contender(CELERY, [python, str(HOME / "celery_jobs.py"), amqp], 150, cwd=HOME)


def _peers(scratch: Path) -> str:
    """An interpreter that has them."""
    venv = scratch / "jobs-peers"
    subprocess.run([servers.python(), "-m", "venv", str(venv)], check=True)
    install = [str(venv / "bin/pip"), "install", "-q", "-r", str(HOME / "requirements.txt")]
    subprocess.run(install, check=True, capture_output=True)
    return str(venv / "bin/python")


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    contenders = [ours(postgres)]
    with virtual_host(broker) as vhost:
        try:
            python = _peers(scratch)
            contenders += [dbos(python, postgres), celery(python, vhost.admin_url)]
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{DBOS} and {CELERY} are not measured: {error}")
        found = {in_flight: _measure(contenders, in_flight, postgres) for in_flight in IN_FLIGHT}
    rows = [_shown(name, n, it, results[OURS]) for n, results in found.items() for name, it in results.items()]
    table.show(f"jobs of {STEPS} steps that do nothing, median of {ROUNDS}", HEADINGS, rows)
    return [row for n, results in found.items() for row in _rows(n, results)]


def _measure(contenders: Sequence[Contender], in_flight: int, postgres: Postgres) -> dict[str, Figures]:
    """Each in turn, `ROUNDS` times; the medians."""
    rounds = [{one.name: run(one, in_flight, postgres) for one in contenders} for _ in range(ROUNDS)]
    return {one.name: _median([found[one.name] for found in rounds]) for one in contenders}


def _median(rounds: Sequence[Figures]) -> Figures:
    return Figures(*(statistics.median(values) for values in zip(*(vars(one).values() for one in rounds), strict=True)))


def _shown(name: str, in_flight: int, it: Figures, ours: Figures) -> list[str]:
    commits = f"{it.commits:.2f}" if it.commits else "none"
    return [name, str(in_flight), f"{it.rate:.0f}", f"{it.cpu:.1f}", commits, table.ratio(ours.rate, it.rate)]


def _rows(in_flight: int, results: dict[str, Figures]) -> list[Row]:
    mine = results[OURS]
    rates = {name: it.rate for name, it in results.items()}
    what = f"jobs of {STEPS} steps/s, {in_flight} in flight"
    return [
        Row(5, what, mine.rate, "least", 4, DBOS, rates.get(DBOS)),
        Row(5, what, mine.rate, "least", 1, CELERY, rates.get(CELERY)),
        Row(5, f"the same, commits a step, {in_flight} in flight", mine.commits, "most", 2),
    ]
