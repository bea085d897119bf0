"""Webhook intake: our gateway, a FastAPI route that does nothing, and two receivers as they are usually written.

Each contender gets the same signed Stripe events (3.5 kB, unique) over 64 and over 16 connections, in turn, several
times; the table shows medians and the ratios of the run. The gateway appears twice: with the broker away it takes in
and no more, as dj-stripe does; otherwise it also publishes every event and writes its journey in the same process.
"""

import base64
import contextlib
import os
import secrets
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load, servers, table, usage
from benchmarks.brokers import RabbitMQ, virtual_host
from benchmarks.budgets import Row
from sandbox.postgres import Postgres, free_port

SECRET = "whsec_" + secrets.token_hex(16)
ROUNDS = 3
CONNECTIONS = (64, 16)
OURS, WHOLE = "Keyturn, intake", "Keyturn, and journeys"
NOOP, EXPRESS, DJSTRIPE = "FastAPI no-op", "Express + BullMQ", "dj-stripe"
HEADINGS = ("", "requests/s", "p50 ms", "p99 ms", "not 2xx", "CPU us each", "MB", "rate ours:it", "p99 ours:it")


@dataclass(frozen=True)
class Contender:
    """`count`: requests in a round, so that each takes a second or two."""

    name: str
    port: int
    path: str
    process: int
    count: int


@dataclass(frozen=True)
class Figures:
    rate: float
    p50: float
    p99: float
    errors: float
    cpu: float
    memory: float


Start = contextlib.AbstractContextManager[Contender]


@contextlib.contextmanager
def noop(scratch: Path) -> Iterator[Contender]:
    port = free_port()
    arguments = [servers.python(), str(servers.ROOT / "benchmarks/noop.py"), str(port)]
    with servers.program(arguments, {}, port, cwd=scratch, log=scratch / "noop.log") as process:
        yield Contender(NOOP, port, "/api/webhooks/stripe", process.pid, 12_000)


@contextlib.contextmanager
def gateway(scratch: Path, postgres: Postgres, name: str, bus: str, count: int) -> Iterator[Contender]:
    """As in production: metrics, log, outbox."""
    port, key = free_port(), base64.b64encode(secrets.token_bytes(32)).decode()
    database = f"gateway_{secrets.token_hex(4)}"
    environment = {
        "PORT": str(port),
        "GATEWAY_DATABASE_URL": postgres.create_databases((database,))[database],
        "BUS_URL": bus,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "SESSION_KEY": key,
        "INTERNAL_SIGNING_KEY": key,
        "LOG_FORMAT": "json",
    }
    arguments = [servers.python(), "-m", "gateway"]
    with servers.program(arguments, environment, port, cwd=scratch, log=scratch / f"{database}.log") as process:
        yield Contender(name, port, "/api/webhooks/stripe", process.pid, count)


@contextlib.contextmanager
def express(scratch: Path, postgres: Postgres) -> Iterator[Contender]:
    """Express, the `stripe` package, PostgreSQL and BullMQ."""
    if not (shutil.which("npm") and shutil.which("redis-server")):
        raise LookupError("npm and redis-server are needed")
    home, port = scratch / "express", free_port()
    shutil.copytree(servers.PEERS / "express", home)
    install = ["npm", "install", "--silent", "--no-package-lock", "--no-audit"]
    subprocess.run(install, cwd=home, check=True, capture_output=True)
    with servers.redis(scratch) as redis:
        environment = {
            "PORT": str(port),
            "DATABASE_URL": postgres.create_databases(("express",))["express"],
            "REDIS_PORT": str(redis),
            "SECRET": SECRET,
        }
        command = ["node", "server.js"]
        with servers.program(command, environment, port, cwd=home, log=scratch / "express.log") as process:
            yield Contender(EXPRESS, port, "/api/webhooks/stripe", process.pid, 5_000)


@contextlib.contextmanager
def djstripe(scratch: Path, postgres: Postgres) -> Iterator[Contender]:
    """dj-stripe behind gunicorn with two workers, told only to verify and store."""
    home, venv, port = servers.PEERS / "djstripe", scratch / "djstripe", free_port()
    subprocess.run([servers.python(), "-m", "venv", str(venv)], check=True)
    requirements = ["-r", str(home / "requirements.txt")]
    subprocess.run([venv / "bin/pip", "install", "-q", *requirements], check=True, capture_output=True)
    environment = {
        "DATABASE_URL": postgres.create_databases(("djstripe",))["djstripe"],
        "SECRET": SECRET,
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "PYTHONPATH": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    prepare = [venv / "bin/python", "prepare.py"]
    made = subprocess.run(prepare, cwd=home, env=os.environ | environment, check=True, capture_output=True, text=True)
    serve = ["-w", "2", "-k", "gthread", "--threads", "8", "--keep-alive", "30", "-b", f"127.0.0.1:{port}"]
    command = [str(venv / "bin/gunicorn"), *serve, "django.core.wsgi:get_wsgi_application()"]
    with servers.program(command, environment, port, cwd=home, log=scratch / "djstripe.log") as process:
        yield Contender(DJSTRIPE, port, made.stdout.strip().splitlines()[-1], process.pid, 400)


def measure(contenders: list[Contender], connections: int) -> dict[str, Figures]:
    """Each contender in turn, `ROUNDS` times; the medians."""
    found: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    for _ in range(ROUNDS):
        for contender in contenders:
            found[contender.name].append(_once(contender, connections))
    return {name: _median(rounds) for name, rounds in found.items()}


def _once(contender: Contender, connections: int) -> Figures:
    requests = load.stripe_requests(contender.path, SECRET, contender.count, secrets.token_hex(4))
    used = usage.cpu_seconds([contender.process])
    result = load.drive(contender.port, requests, connections)
    used = usage.cpu_seconds([contender.process]) - used
    each = used / contender.count * 1e6
    usage.until_quiet([contender.process])  # what it does afterwards must not slow the next one down
    return Figures(result.rate, result.p50, result.p99, result.errors, each, usage.megabytes([contender.process]))


def _median(rounds: list[Figures]) -> Figures:
    return Figures(*(statistics.median(values) for values in zip(*(vars(one).values() for one in rounds), strict=True)))


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    with contextlib.ExitStack() as stack:
        vhost = stack.enter_context(virtual_host(broker))
        away = f"amqp://nobody@127.0.0.1:{free_port()}/"
        starts: dict[str, Callable[[], Start]] = {
            NOOP: lambda: noop(scratch),
            OURS: lambda: gateway(scratch, postgres, OURS, away, 8_000),
            WHOLE: lambda: gateway(scratch, postgres, WHOLE, vhost.url("gateway"), 2_000),
            EXPRESS: lambda: express(scratch, postgres),
            DJSTRIPE: lambda: djstripe(scratch, postgres),
        }
        contenders = []
        for name, start in starts.items():
            try:
                contenders.append(stack.enter_context(start()))
            except (LookupError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
                print(f"{name} is not measured: {error}")
        found = {connections: measure(contenders, connections) for connections in CONNECTIONS}
    for connections, results in found.items():
        _show(connections, results)
    return _rows(found[64], found[16])


def _rows(many: dict[str, Figures], few: dict[str, Figures]) -> list[Row]:
    def rate(least: float, name: str) -> Row:
        return Row(1, "intake, requests/s at 64 connections", many[OURS].rate, "least", least, name, _of(many, name))

    p99 = Row(1, "the same, p99 ms at 16 connections", few[OURS].p99, "most", 4, NOOP, few[NOOP].p99)
    return [rate(0.8, NOOP), rate(30, DJSTRIPE), rate(2, EXPRESS), p99]


def _of(results: dict[str, Figures], name: str) -> float | None:
    return results[name].rate if name in results else None


def _show(connections: int, results: dict[str, Figures]) -> None:
    title = f"webhook intake, {connections} connections, median of {ROUNDS}"
    table.show(title, HEADINGS, [_row(name, it, results[OURS]) for name, it in results.items()])


def _row(name: str, it: Figures, ours: Figures) -> list[str]:
    speed = [f"{it.rate:,.0f}", f"{it.p50:.1f}", f"{it.p99:.1f}"]
    others = [f"{it.errors:.0f}", f"{it.cpu:.0f}", f"{it.memory:.0f}"]
    return [name, *speed, *others, table.ratio(ours.rate, it.rate), table.ratio(ours.p99, it.p99)]
