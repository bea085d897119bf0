"""From a payment to InstallReady, with a target that takes no time: the four services, and the same chain by hand.

Ours are the real services as processes of their own, the notifier and its mail included. Both are told of a payment by
a signed webhook, and measured until their event for "ready" comes out of RabbitMQ; both have durable databases.
"""

import asyncio
import contextlib
import json
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import httpx
import uvloop

from benchmarks import load, servers, table, usage
from benchmarks.brokers import RabbitMQ, virtual_host
from benchmarks.budgets import Row
from benchmarks.system import running
from keyturn.events import InstallReady
from sandbox.ports import free_port
from sandbox.postgres import Postgres
from sandbox.system import System
from support.broker import VirtualHost

ALONE, PER_SECOND = 30, 5
BURST, CONNECTIONS = 80, 16
ROUNDS = 2
SYNCS = "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'"
ROLES = ("intake", "billing", "provisioner")
HEADINGS = (
    "",
    "p50 ms",
    "p99 ms",
    "syncs each",
    "CPU ms each",
    "burst/s",
    "CPU ms each",
    "p50 ours:it",
    "burst ours:it",
)


@dataclass(frozen=True)
class Chain:
    """`payments(n)`: so many webhooks, each with the key under which its "ready" will come."""

    name: str
    port: int
    processes: Sequence[int]
    payments: Callable[[int], Any]  # async: list of (key, request)
    ready: "Ready"


class Ready:
    """Hears of every install that is ready, and when."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self._more = asyncio.Event()

    async def listen(self, channel: Any, exchange: str, key: str, field: str) -> None:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, key)

        async def heard(message: Any) -> None:
            self.at[json.loads(message.body)[field]] = time.perf_counter()
            self._more.set()

        await queue.consume(heard, no_ack=True)

    async def wait_for(self, keys: Sequence[str]) -> None:
        async with asyncio.timeout(120):
            while any(key not in self.at for key in keys):
                self._more.clear()
                await self._more.wait()


@contextlib.asynccontextmanager
async def ours(system: System, vhost: VirtualHost) -> AsyncIterator[Chain]:
    async with await aio_pika.connect(vhost.admin_url) as connection, httpx.AsyncClient(base_url=system.url) as client:
        ready = Ready()
        await ready.listen(await connection.channel(), "keyturn.events", InstallReady.wire, "subject")
        system.stripe.webhooks.hold()  # they are sent from here

        async def payments(count: int) -> list[tuple[str, bytes]]:
            made: list[tuple[str, bytes]] = []
            while len(made) < count:
                made += await asyncio.gather(*(paid(system, client) for _ in range(min(10, count - len(made)))))
            return made

        processes = [process.pid for process in system.host._running.values()]  # noqa: SLF001
        yield Chain("Keyturn", system.ports["gateway"], processes, payments, ready)


async def paid(system: System, client: httpx.AsyncClient) -> tuple[str, bytes]:
    """A purchase that the customer has paid at the provider, and the webhook that tells us."""
    address = ".".join(str(1 + secrets.randbelow(250)) for _ in range(4))  # customers are limited by their address
    order = {"email": f"{secrets.token_hex(6)}@customers.example", "name": "Somebody", "currency": "EUR"}
    answer = await client.post("/api/checkout", json=order, headers={"x-forwarded-for": address}, timeout=30)
    opened = answer.raise_for_status().json()
    client.cookies.clear()  # each customer is somebody else, and brings none
    system.stripe.pay(opened["sessionId"])
    held = reversed(system.stripe.webhooks.log)  # what paying put there last
    body = next(delivery.body for delivery in held if delivery.type == "checkout.session.completed")
    secret = system.stripe.webhooks.endpoints[0].secrets[0]
    return opened["purchaseId"], load.signed("/api/webhooks/stripe", body, secret)


@contextlib.asynccontextmanager
async def handmade(scratch: Path, postgres: Postgres, vhost: VirtualHost) -> AsyncIterator[Chain]:
    secret = secrets.token_hex(16)
    databases = postgres.create_databases(tuple(f"handmade_{role}" for role in ROLES))
    with contextlib.ExitStack() as stack:
        ports, processes = {role: free_port() for role in ROLES}, []
        for role in ROLES:
            program = [servers.python(), str(servers.PEERS / "handmade.py"), role]
            arguments = [*program, databases[f"handmade_{role}"], vhost.admin_url, str(ports[role])]
            log = scratch / f"handmade-{role}.log"
            start = servers.program(arguments, {"SECRET": secret}, ports[role], cwd=scratch, log=log)
            processes.append(stack.enter_context(start).pid)

        async def payments(count: int) -> list[tuple[str, bytes]]:
            keys = [secrets.token_hex(12) for _ in range(count)]
            return [(key, load.signed("/", load.stripe_event(0, key, key), secret)) for key in keys]

        async with await aio_pika.connect(vhost.admin_url) as connection:
            ready = Ready()
            await ready.listen(await connection.channel(), "handmade", "ready", "purchase")
            yield Chain("by hand", ports["intake"], processes, payments, ready)


@dataclass(frozen=True)
class Figures:
    p50: float
    p99: float
    syncs: float
    cpu: float
    burst: float
    burst_cpu: float


async def measure(chain: Chain, postgres: Postgres) -> Figures:
    alone, together = await chain.payments(ALONE), await chain.payments(BURST)
    usage.until_quiet(chain.processes)
    synced, used = await _syncs(postgres), usage.cpu_seconds(chain.processes)
    sent = await _one_by_one(chain, alone)
    await asyncio.sleep(1.5)  # the figures of syncs come a little later
    synced, used = await _syncs(postgres) - synced, usage.cpu_seconds(chain.processes) - used
    cuts = statistics.quantiles([(chain.ready.at[key] - at) * 1e3 for key, at in sent.items()], n=100)
    usage.until_quiet(chain.processes)
    busy = usage.cpu_seconds(chain.processes)
    took = await burst(chain, together)
    busy = usage.cpu_seconds(chain.processes) - busy
    return Figures(cuts[49], cuts[98], synced / ALONE, used / ALONE * 1e3, BURST / took, busy / BURST * 1e3)


async def burst(chain: Chain, payments: Sequence[tuple[str, bytes]]) -> float:
    """Seconds until the last one is ready."""
    began = time.perf_counter()
    await _send(chain, [request for _, request in payments], CONNECTIONS)
    await chain.ready.wait_for([key for key, _ in payments])
    return max(chain.ready.at[key] for key, _ in payments) - began


async def _one_by_one(chain: Chain, payments: Sequence[tuple[str, bytes]]) -> dict[str, float]:
    sent = {}
    for key, request in payments:
        sent[key] = time.perf_counter()
        await _send(chain, [request], 1)
        await asyncio.sleep(max(0.0, sent[key] + 1 / PER_SECOND - time.perf_counter()))
    await chain.ready.wait_for(list(sent))
    return sent


async def _send(chain: Chain, requests: Sequence[bytes], connections: int) -> None:
    if (await load.run(chain.port, requests, connections)).errors:
        raise RuntimeError(f"{chain.name} refused a payment")


async def _syncs(postgres: Postgres) -> float:
    connection = await asyncpg.connect(postgres.url)
    try:
        return float(await connection.fetchval(SYNCS) or 0)
    finally:
        await connection.close()


async def _run(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    async with contextlib.AsyncExitStack() as stack:
        vhost = stack.enter_context(virtual_host(broker))
        system = await stack.enter_async_context(running(scratch / "ready", postgres, vhost))
        chains = [
            await stack.enter_async_context(ours(system, vhost)),
            await stack.enter_async_context(handmade(scratch, postgres, vhost)),
        ]
        for chain in chains:
            await burst(chain, await chain.payments(BURST))  # connections are opened, statements prepared
        found: dict[str, list[Figures]] = {chain.name: [] for chain in chains}
        for _ in range(ROUNDS):
            for chain in chains:
                found[chain.name].append(await measure(chain, postgres))
    medians = {name: median(rounds) for name, rounds in found.items()}
    title = f"payment to ready, alone at {PER_SECOND}/s and in a burst of {BURST}, median of {ROUNDS}"
    mine, theirs = medians["Keyturn"], medians["by hand"]
    table.show(title, HEADINGS, [_row(name, it, mine) for name, it in medians.items()])
    return [
        Row(6, "payment to InstallReady, alone, p50 ms", mine.p50, "most", 3, "by hand", theirs.p50),
        Row(6, "the same in a burst, payments/s", mine.burst, "least", 0.3, "by hand", theirs.burst),
        Row(6, "the same alone, syncs each", mine.syncs, "most", 30),
    ]


def median(rounds: list[Figures]) -> Figures:
    return Figures(*(statistics.median(values) for values in zip(*(vars(one).values() for one in rounds), strict=True)))


def _row(name: str, it: Figures, ours: Figures) -> list[str]:
    alone = [f"{it.p50:.1f}", f"{it.p99:.1f}", f"{it.syncs:.1f}", f"{it.cpu:.1f}"]
    ratios = [table.ratio(ours.p50, it.p50), table.ratio(ours.burst, it.burst)]
    return [name, *alone, f"{it.burst:.0f}", f"{it.burst_cpu:.1f}", *ratios]


def main(scratch: Path, postgres: Postgres, broker: RabbitMQ) -> list[Row]:
    return uvloop.run(_run(scratch, postgres, broker))
