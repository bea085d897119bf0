"""Opening a checkout, without the provider's time: billing over HTTP in this process, on a real database, with a
provider that answers at once. The limit is the same way in for a route that reads one row and does nothing else.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks import table
from benchmarks.brokers import RabbitMQ
from benchmarks.budgets import Row
from keyturn.clock import MovableClock
from keyturn.database import migrate
from keyturn.service import collect_less_garbage
from sandbox.postgres import Postgres
from support.billing import World, world

ORDERS, ROUNDS, WARM = 300, 3, 30
HEADINGS = ("", "p50 ms", "p99 ms")
Asking = Callable[[int], Awaitable[object]]


async def timed(asking: Asking, first: int) -> list[float]:
    """In milliseconds, one after the other."""
    found = []
    for number in range(first, first + ORDERS):
        began = time.perf_counter()
        await asking(number)
        found.append((time.perf_counter() - began) * 1e3)
    return found


def p(rounds: list[list[float]], percent: int) -> float:
    """The median of the rounds."""
    return statistics.median(statistics.quantiles(one, n=100)[percent - 1] for one in rounds)


async def _run(postgres: Postgres) -> list[Row]:
    url = postgres.create_databases(("checkout",))["checkout"]
    await migrate(url, "billing")
    async with world(url, MovableClock()) as billing:
        ways = _ways(billing)
        found: dict[str, list[list[float]]] = {name: [] for name in ways}
        for asking in ways.values():
            await asyncio.gather(*(asking(-number) for number in range(1, WARM)))
        for round_ in range(ROUNDS):
            for place, (name, asking) in enumerate(ways.items()):
                found[name].append(await timed(asking, (round_ * len(ways) + place) * ORDERS))
    lines = [[name, f"{p(rounds, 50):.1f}", f"{p(rounds, 99):.1f}"] for name, rounds in found.items()]
    table.show(f"opening a checkout, {ORDERS} orders, median of {ROUNDS}", HEADINGS, lines)
    plain, coupon, read = found.values()
    what = "opening a checkout, provider apart"
    return [
        Row(12, f"{what}, p50 ms", p(plain, 50), "most", 8, READ, p(read, 50)),
        Row(12, "the same, p99 ms", p(plain, 99), "most", 8, READ, p(read, 99)),
        Row(12, "the same with a coupon, p50 ms", p(coupon, 50), "most", 1.5, "without", p(plain, 50)),
    ]


READ = "reading one page"


def _ways(billing: World) -> dict[str, Asking]:
    async def plain(number: int) -> object:
        return await billing.buy(email=f"jane{number}@example.com", plan_id="sample-starter", cycle="monthly")

    async def coupon(number: int) -> object:
        email = f"grace{number}@example.com"
        return await billing.buy(email=email, plan_id="sample-starter", cycle="monthly", coupon_code="WELCOME10")

    async def read(_: int) -> object:
        return await billing.ask("GET", "/internal/subscriptions", "viewer", params={"limit": 1})

    return {"a monthly plan": plain, "with WELCOME10": coupon, READ: read}


def main(_scratch: Path, postgres: Postgres, _broker: RabbitMQ) -> list[Row]:
    collect_less_garbage()
    return uvloop.run(_run(postgres))
