"""Webhook intake beside its limit and its peers.

Each contender gets the same signed Stripe events (3.5 kB, unique) over 64 and over 16 connections, in turn, several
times; the table shows medians and the ratios of the run. The gateway appears twice: with the broker away it takes in
and no more, as dj-stripe does; otherwise it also publishes every event and writes its journey in the same process.
"""

import contextlib
import math
import secrets
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import interruption, lag, load, receivers, table, usage
from benchmarks.brokers import RabbitMQ, virtual_host
from benchmarks.budgets import Row
from benchmarks.receivers import DJSTRIPE, EXPRESS, NOOP, SECRET, Contender
from sandbox.ports import free_port
from sandbox.postgres import Postgres

ROUNDS = 3
CONNECTIONS = (64, 16)
OURS, WHOLE = "Keyturn, intake", "Keyturn, and journeys"
HEADINGS = (
    "",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "not 2xx",
    "CPU us each",
    "MB",
    "lag p99 ms",
    "rate ours:it",
    "p99 ours:it",
)


@dataclass(frozen=True)
class Figures:
    rate: float
    p50: float
    p99: float
    errors: float
    cpu: float
    memory: float
    lag: float = math.nan  # ours alone says it


Start = contextlib.AbstractContextManager[Contender]


def measure(contenders: list[Contender], connections: int) -> dict[str, Figures]:
    """Each contender in turn, `ROUNDS` times; the medians."""
    found: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    for _ in range(ROUNDS):
        for contender in contenders:
            found[contender.name].append(once(contender, connections))
    return {name: _median(rounds) for name, rounds in found.items()}


def once(contender: Contender, connections: int) -> Figures:
    requests = load.stripe_requests(contender.path, SECRET, contender.count, secrets.token_hex(4))
    ours = bool(contender.database)
    late = lag.counts(contender.port) if ours else {}
    used = usage.cpu_seconds([contender.process])
    result = load.drive(contender.port, requests, connections)
    used = usage.cpu_seconds([contender.process]) - used
    late_ms = lag.p99(late, lag.counts(contender.port)) if ours else math.nan
    usage.until_quiet([contender.process])  # what it does afterwards must not slow the next one down
    each, memory = used / contender.count * 1e6, usage.megabytes([contender.process])
    return Figures(result.rate, result.p50, result.p99, result.errors, each, memory, late_ms)


def _median(rounds: list[Figures]) -> Figures:
    return Figures(*(statistics.median(values) for values in zip(*(vars(one).values() for one in rounds), strict=True)))


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    with contextlib.ExitStack() as stack:
        vhost = stack.enter_context(virtual_host(broker))
        away = f"amqp://nobody@127.0.0.1:{free_port()}/"
        starts: dict[str, Callable[[], Start]] = {
            NOOP: lambda: receivers.noop(scratch),
            OURS: lambda: receivers.gateway(scratch, postgres, OURS, away, 5_000),
            WHOLE: lambda: receivers.gateway(scratch, postgres, WHOLE, vhost.url("gateway"), 2_000),
            EXPRESS: lambda: receivers.express(scratch, postgres),
            DJSTRIPE: lambda: receivers.djstripe(scratch, postgres),
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
    return [*_rows(found[64], found[16]), interruption.measure(scratch, away)]


def _rows(many: dict[str, Figures], few: dict[str, Figures]) -> list[Row]:
    def rate(least: float, name: str) -> Row:
        return Row(1, "intake, requests/s at 64 connections", many[OURS].rate, "least", least, name, _of(many, name))

    p99 = Row(1, "the same, p99 ms at 16 connections", few[OURS].p99, "most", 4, NOOP, few[NOOP].p99)
    late = [
        Row(10, f"{name}, event-loop lag p99 ms at 64 connections", many[name].lag, "most", 20)
        for name in (OURS, WHOLE)
    ]
    memory = Row(8, "gateway, MB while it takes in", max(many[name].memory for name in (OURS, WHOLE)), "most", 180)
    return [rate(0.8, NOOP), rate(30, DJSTRIPE), rate(2, EXPRESS), p99, memory, *late]


def _of(results: dict[str, Figures], name: str) -> float | None:
    return results[name].rate if name in results else None


def _show(connections: int, results: dict[str, Figures]) -> None:
    title = f"webhook intake, {connections} connections, median of {ROUNDS}"
    table.show(title, HEADINGS, [_row(name, it, results[OURS]) for name, it in results.items()])


def _row(name: str, it: Figures, ours: Figures) -> list[str]:
    speed = [f"{it.rate:,.0f}", f"{it.p50:.1f}", f"{it.p99:.1f}"]
    others = [f"{it.errors:.0f}", f"{it.cpu:.0f}", f"{it.memory:.0f}", f"{it.lag:.1f}".replace("nan", "-")]
    return [name, *speed, *others, table.ratio(ours.rate, it.rate), table.ratio(ours.p99, it.p99)]
