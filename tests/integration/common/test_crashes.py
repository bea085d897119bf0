"""DESIGN §6 rules 2, 3 and 11: `kill -9` at each point between receiving, committing, working, publishing and marking."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.database import Database
from support.data_plane import METADATA, expired

pytestmark = pytest.mark.servers

POINTS = [
    "billing.consumer.received",
    "billing.on_purchase_expired_v1.before_commit",
    "billing.on_purchase_expired_v1.after_commit",
    "billing.consumer.before_ack",
    "billing.work.mail.claimed",
    "billing.mail.sent.before_commit",
    "billing.mail.sent.after_commit",
    "billing.work.mail.ran",
    "billing.relay.claimed",
    "billing.relay.confirmed",
    "billing.relay.before_mark",
]


async def run(url: str, body: bytes, failpoints: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        Path(__file__).with_name("crashing.py"),
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "FAILPOINTS": failpoints},
    )
    await asyncio.wait_for(process.communicate(body), 60)
    assert process.returncode is not None
    return process.returncode


@pytest.mark.parametrize("point", POINTS)
async def test_rules_2_and_3_a_process_killed_at_any_point_leaves_everything_done_once(
    database_url: Any, clock: MovableClock, point: str
) -> None:
    url, body = await database_url(METADATA), expired().to_bytes("billing")
    assert await run(url, body, f"{point}=kill") == -signal.SIGKILL
    database = Database(url, service="billing", clock=clock)
    async with database.transaction("expire") as tx:  # rather than wait for the dead worker's lease to run out
        await tx.run("UPDATE work SET leased_until = clock_timestamp() - interval '1 s' WHERE leased_until IS NOT NULL")
    assert await run(url, body, "") == 0
    async with database.transaction("look") as tx:
        rows = await tx.run("SELECT what, count(*) FROM effects GROUP BY what ORDER BY what")
        counts = [tuple(row) for row in rows]
        events = (await tx.run("SELECT count(*) FROM outbox"))[0][0]
    await database.close()
    assert counts == [("handled", 1), ("worked", 1)]
    assert events == 1
