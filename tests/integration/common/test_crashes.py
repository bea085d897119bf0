"""DESIGN §6 rules 2, 3 and 11: `kill -9` at each point between receiving, committing, working, publishing and marking."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.database import Database
from keyturn.failpoints import seen_by_processes
from support.crashing import run
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


@pytest.mark.parametrize("point", POINTS)
async def test_rules_2_and_3_a_process_killed_at_any_point_leaves_everything_done_once(
    database_url: Any, clock: MovableClock, tmp_path: Path, point: str
) -> None:
    seen = tmp_path / "seen"
    url, body = await database_url(METADATA), expired().to_bytes("billing")
    assert await asyncio.to_thread(run, url, body, f"{point}=kill", seen) == -signal.SIGKILL
    assert point in seen_by_processes(seen)
    database = Database(url, service="billing", clock=clock)
    async with database.transaction("expire") as tx:  # rather than wait for the dead worker's lease to run out
        await tx.run("UPDATE work SET leased_until = clock_timestamp() - interval '1 s' WHERE leased_until IS NOT NULL")
    assert await asyncio.to_thread(run, url, body, "", seen) == 0
    async with database.transaction("look") as tx:
        rows = await tx.run("SELECT what, count(*) FROM effects GROUP BY what ORDER BY what")
        counts = [tuple(row) for row in rows]
        events = (await tx.run("SELECT count(*) FROM outbox"))[0][0]
    await database.close()
    assert counts == [("handled", 1), ("worked", 1)]
    assert events == 1
