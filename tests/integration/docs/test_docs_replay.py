"""The script in docs/operators.md that publishes once more."""

import asyncio
import sys
from datetime import timedelta

import pytest

from keyturn.clock import SystemClock
from keyturn.database import Database
from keyturn.events import PurchaseExpired
from support import pages
from support.databases import DatabaseUrl

pytestmark = pytest.mark.servers


async def test_the_replay_script_has_published_events_published_again(database_url: DatabaseUrl) -> None:
    url, clock = await database_url("billing"), SystemClock()
    database = Database(url, service="billing", clock=clock)
    try:
        async with database.transaction("publish") as tx:
            tx.publish(PurchaseExpired(subject="01a1fd9d-98b0-713d-9d46-377219884bb3", time=tx.now))
        async with database.transaction("as_if_relayed") as tx:
            await tx.run("UPDATE outbox SET published = $1", tx.now)
        since = (clock.now() - timedelta(hours=1)).isoformat()
        script = pages.marked("operators.md", "replay").text
        assert await _run(script, "billing", url, since) == "1 events"
        async with database.transaction("look") as tx:
            rows = await tx.run("SELECT published FROM outbox")
        assert [row.published for row in rows] == [None]
    finally:
        await database.close()


async def _run(script: str, *arguments: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-", *arguments, stdin=pipe, stdout=pipe)
    out, _ = await asyncio.wait_for(process.communicate(script.encode()), 30)
    return out.decode().strip()
