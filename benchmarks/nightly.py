"""The nightly run: 3,000 subscriptions are due, of 100,000 and of 10,000. What it costs follows those that are due.

Billing on a database of its own, with the provider in memory: one customer buys for real, all others are copies.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import psutil
import uvloop

from benchmarks import table
from benchmarks.brokers import RabbitMQ
from benchmarks.budgets import Row
from billing.handlers import HANDLERS, WORK
from billing.repository.runs import PART, RUN
from keyturn.clock import MovableClock
from keyturn.database import migrate
from keyturn.service import collect_less_garbage
from keyturn.worker import Worker
from sandbox.postgres import Postgres
from support.billing import World, world
from support.counting import Counter
from support.runs import report, starts
from support.subscriptions import subscribes

DUE, FEW, MANY, PARTS = 3_000, 10_000, 100_000, 10_000
ROUNDS = 2
HEADINGS = ("", "seconds", "statements", "rows read", "MB more at most", "events")
WORKED = {name: WORK[name] for name in (RUN, PART)}

# A copy's ids are made of its number. `{other}` stands for what differs from the row that is copied.
COPY = """
INSERT INTO {name} SELECT copied.* FROM {name} AS known, generate_series($1::int, $2::int) AS i,
  jsonb_populate_record(NULL::{name}, to_jsonb(known) || jsonb_build_object({other})) AS copied
WHERE known.{key}::text = $3
"""
ID = "md5('{of}' || i)::uuid"
PURCHASE, CUSTOMER, PAYMENT = (ID.format(of=of) for of in ("purchase", "customer", "payment"))
COPIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "customers": ("id", {"id": CUSTOMER, "email": "'jane' || i || '@example.com'"}),
    "purchases": ("id", {"id": PURCHASE, "customer_id": CUSTOMER}),
    "payments": ("purchase_id", {"id": PAYMENT, "payment_key": "'paid' || i", "purchase_id": PURCHASE}),
    "subscriptions": ("purchase_id", {"purchase_id": PURCHASE}),
    "periods": ("purchase_id", {"purchase_id": PURCHASE, "payment_id": PAYMENT}),
    "entitlements": ("purchase_id", {"purchase_id": PURCHASE}),
}
LATER = "UPDATE subscriptions SET next_step_at = next_step_at + $1::interval, ends_at = ends_at + $1::interval"
SOONER = f"""
UPDATE subscriptions SET next_step_at = next_step_at - $1::interval, ends_at = ends_at - $1::interval
WHERE purchase_id IN (SELECT {PURCHASE} FROM generate_series($2::int, $3::int, $4::int) AS i)
"""
READ = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables"
UNFINISHED = "SELECT finished_at IS NULL FROM runs WHERE id = $1::text::uuid"
YEAR = timedelta(days=365)


@dataclass
class Cost:
    seconds: float
    statements: int
    rows: int
    megabytes: float
    events: int


@dataclass
class Memory:
    peak: float = 0.0

    async def sample(self) -> None:
        while True:
            self.peak = max(self.peak, psutil.Process().memory_info().rss / 1e6)
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def shop(postgres: Postgres, subscriptions: int) -> AsyncIterator[tuple[World, asyncpg.Connection]]:
    """So many subscribers, none of whom is due for a year."""
    name = f"nightly_{subscriptions}"
    url = postgres.create_databases((name,))[name]
    await migrate(url, "billing")
    clock = MovableClock()
    async with world(url, clock) as billing:
        one = await subscribes(billing)
        ends = await one.ends_at()
        clock.move(ends - timedelta(days=6) - clock.now())
        root = await asyncpg.connect(f"{postgres.url.rpartition('/')[0]}/{name}")
        for start in range(1, subscriptions + 1, PARTS):
            for copied, (key, other) in COPIES.items():
                words = ", ".join(f"'{column}', {value}" for column, value in other.items())
                sql = COPY.format(name=copied, key=key, other=words)
                customer = (await one.whole())["customer_id"] if copied == "customers" else one.id
                await root.execute(sql, start, min(start + PARTS - 1, subscriptions), customer)
        await root.execute(LATER, YEAR)
        await root.execute("VACUUM (ANALYZE)")
        await root.execute("CHECKPOINT")
        yield billing, root
        await root.close()


async def night(billing: World, root: asyncpg.Connection, subscriptions: int, number: int) -> Cost:
    """3,000 of them become due; the run asks each for the next period."""
    every = subscriptions // DUE
    await root.execute(SOONER, YEAR, 1 + number, every * DUE, every)
    before, published = await settled(root), await root.fetchval("SELECT count(*) FROM outbox")
    counter, memory = Counter(), Memory()
    await counter.watch(billing.database)
    watching = asyncio.create_task(memory.sample())
    held, began = psutil.Process().memory_info().rss / 1e6, time.perf_counter()
    run_id = await starts(billing, "billing")
    worker = Worker(billing.database, WORKED, billing.deps, handlers=HANDLERS)
    await worker.start()
    while await root.fetchval(UNFINISHED, run_id):  # noqa: ASYNC110 - another process tells of it by its row alone
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - began
    watching.cancel()
    await worker.stop()
    told = await report(billing, run_id)
    assert (told["changed"], told["failed"]) == (DUE, 0), told
    events = await root.fetchval("SELECT count(*) FROM outbox") - published
    return Cost(seconds, counter.statements, await settled(root) - before, memory.peak - held, events)


async def settled(root: asyncpg.Connection) -> int:
    """What the server counted, once it counts no more."""
    found = -1
    while found != (found := int(await root.fetchval(READ))):
        await asyncio.sleep(1.5)
        await root.execute("SELECT pg_stat_clear_snapshot()")
    return found


async def _run(postgres: Postgres) -> list[Row]:
    found: dict[int, list[Cost]] = {FEW: [], MANY: []}
    began = datetime.now().astimezone()
    async with shop(postgres, FEW) as few, shop(postgres, MANY) as many:
        print(f"{FEW:,} and {MANY:,} subscriptions: {(datetime.now().astimezone() - began).seconds} s")
        for number in range(ROUNDS):
            for subscriptions, shop_ in ((FEW, few), (MANY, many)):
                found[subscriptions].append(await night(*shop_, subscriptions, number))
    best = {subscriptions: min(rounds, key=lambda one: one.seconds) for subscriptions, rounds in found.items()}
    lines = [[f"{count:,}", *(f"{value:,.0f}" for value in astuple(it))] for count, it in best.items()]
    table.show(f"a nightly run, {DUE:,} due, the faster of {ROUNDS}", HEADINGS, lines)
    many_, few_ = best[MANY], best[FEW]
    of = f"{DUE:,} due of {FEW:,}"
    return [
        Row(11, f"nightly run, {DUE:,} due of {MANY:,}, s", many_.seconds, "most", 1.3, of, few_.seconds),
        Row(11, "the same, rows read", many_.rows, "most", 1.3, of, few_.rows),
        Row(11, "the same, rows read for each that is due", many_.rows / DUE, "most", 100),
        Row(11, "the same, statements for each that is due", many_.statements / DUE, "most", 60),
        Row(11, "the same, more memory at most, MB", many_.megabytes, "most", 60),
    ]


def main(_scratch: Path, postgres: Postgres, _broker: RabbitMQ) -> list[Row]:
    collect_less_garbage()
    return uvloop.run(_run(postgres))
