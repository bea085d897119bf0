"""Nothing is lost when the database stops in the middle: what was answered 2xx is on disk when it is back."""

import re
import secrets
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import uvloop

from benchmarks import load, receivers
from benchmarks.budgets import Row
from sandbox.postgres import Postgres

REQUESTS, CONNECTIONS = 4_000, 64
ENOUGH = 800  # stored when it stops
ID = re.compile(rb'"id": "(evt_\w+)"')

# A webhook counts where the event that it became is there as well.
STORED = """
SELECT webhooks.event_id FROM webhooks
JOIN outbox ON convert_from(outbox.body, 'UTF8')::json ->> 'causationid' = webhooks.event_id
"""


def measure(scratch: Path, bus: str) -> Row:
    server = Postgres.start(scratch / "interrupted", durable=True)
    try:
        with receivers.gateway(scratch, server, "interrupted", bus, REQUESTS) as gateway:
            requests = load.stripe_requests(gateway.path, receivers.SECRET, REQUESTS, secrets.token_hex(4))
            with ThreadPoolExecutor(1) as threads:
                sending = threads.submit(load.drive, gateway.port, requests, CONNECTIONS)
                while len(_asked(gateway.database, "SELECT id FROM webhooks")) < ENOUGH and not sending.done():
                    time.sleep(0.05)
                server._process.send_signal(signal.SIGQUIT)  # noqa: SLF001 - at once: no session ends in peace
                server.stop()
                refused = sending.result().refused
        server = Postgres.start(server.root, durable=True, port=server.port)
        stored = _asked(gateway.database, STORED)
    finally:
        server.stop()
    lost = _ids(requests) - _ids(refused) - stored
    taken = REQUESTS - len(refused)
    print(f"\nthe database stopped in the middle: {taken} answered 2xx, {len(refused)} refused, {len(lost)} lost")
    if not refused:
        return Row(1, "answered 2xx and lost, the database stopped in the middle", None, "most", 0)
    return Row(1, "answered 2xx and lost, the database stopped in the middle", len(lost), "most", 0)


def _ids(requests: list[bytes]) -> set[str]:
    return {found[1].decode() for request in requests if (found := ID.search(request))}


def _asked(database: str, sql: str) -> set[str]:
    async def ask() -> set[str]:
        connection = await asyncpg.connect(database)
        try:
            return {str(row[0]) for row in await connection.fetch(sql)}
        finally:
            await connection.close()

    return uvloop.run(ask())
