"""A service whose database has a long history, and whose statements are looked at."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from keyturn import maintenance
from keyturn.bus import Delivery
from keyturn.bus.memory import MemoryBroker
from keyturn.database import Database
from keyturn.events import Event
from keyturn.handling import Consumer, Handlers
from keyturn.internal import Caller
from keyturn.leader import MARK, REFUSE, Leader
from keyturn.leases import ENSURE, RENEW
from keyturn.operations import Order, Selection, _change, act, causes, list_work, show
from keyturn.relay import PLAN
from keyturn.replay import replay
from keyturn.work import WorkKind
from keyturn.worker import Worker
from support.explaining import SMALL, Seen, connection_class, watched
from support.history import WAITING
from support.messages import message_of

ADMIN = Caller("ada", "admin")


@dataclass
class Old:
    database: Database
    seen: Seen
    deps: Any
    work: Mapping[str, WorkKind[Any]]
    handlers: Handlers
    aside: asyncpg.Connection  # nobody looks at its statements
    began: Any

    async def works(self) -> None:
        """Does what this test made due, past everything that waits."""
        worker = self._worker(slots=1)
        while await self._ahead():
            await worker._claim()
            await asyncio.gather(*worker._running)

    async def _ahead(self) -> int:
        await self.aside.execute(AHEAD, self.began, self.database.clock.now())
        return int(await self.aside.fetchval("SELECT count(*) FROM work WHERE state = 'open' AND due = 'epoch'"))

    async def hears(self, *events: Event) -> None:
        """Each twice, and once more as if its first delivery had ended in a crash."""
        consumer = Consumer(self.database, MemoryBroker().bus(self.database.service), self.handlers)
        for event in events:
            for redelivered in (False, False, True):
                message = message_of(event, "billing" if event.publisher == "*" else None)
                await consumer.deliver(Delivery(message=message, redelivered=redelivered))

    async def skeleton(self) -> None:
        """What every service does: claim, renew, look after itself, relay, and answer operators."""
        worker = self._worker(slots=16)
        await worker._claim()
        running = list(worker._running.values())
        async with self.database.transaction("renew") as tx:
            await tx.run(RENEW, [work.id for work in running], [work.fence for work in running], timedelta(seconds=30))
        await asyncio.gather(*worker._running)
        async with self.database.transaction("ensure") as tx:
            await tx.run(ENSURE, ["retention"], tx.now)
        await maintenance.sample(self.database, list(self.work))
        await self.works()
        await self._relays()
        await self._operators()

    async def _relays(self) -> None:
        settings = {**SMALL, **PLAN}
        kind = connection_class(self.seen)
        connection = await asyncpg.connect(self.database.dsn, connection_class=kind, server_settings=settings)
        leader = Leader(self.database, MemoryBroker().bus(self.database.service), connection, beat=1)
        rows = await leader._read()
        leader._in_hand = {row["id"] for row in rows}
        assert await leader._read()
        await connection.execute(REFUSE, rows[0]["id"], "refused", self.database.clock.now())
        await connection.execute(MARK, [row["id"] for row in rows[1:]], self.database.clock.now())
        await leader._read()
        await connection.close()
        await replay(self.database, self.database.clock.now() - timedelta(minutes=1))

    async def _operators(self) -> None:
        kind = WAITING[self.database.service]
        first = await list_work(self.database, "dead", kind=None, cause=None, cursor=None, limit=50)
        cause = str(first.rows[0]["cause"])
        await list_work(self.database, "dead", kind=kind, cause=cause, cursor=first.cursor, limit=50)
        await list_work(self.database, "dead", kind="nothing", cause=None, cursor=None, limit=50)
        await list_work(self.database, "open", kind=kind, cause=None, cursor=first.cursor, limit=50)
        await causes(self.database)
        await show(self.database, first.rows[0]["id"])
        chosen = Selection("ids", [row["id"] for row in first.rows])
        await act(self.database, Order("retry", chosen, ADMIN, "it is well again"))
        other = next(row["cause"] for row in first.rows if row["cause"] != cause)
        retried, resolved = Selection("cause", cause), Selection("cause", str(other))
        told = ADMIN, "history"
        for order in (
            Order("retry", retried, *told),
            Order("resolve", resolved, *told),
            Order("discard", Selection("all"), *told),
        ):
            async with self.database.transaction("one_batch") as tx:
                await _change(tx, order, tx.now)

    def _worker(self, slots: int) -> Worker[Any]:
        return Worker(self.database, self.work, self.deps, handlers=self.handlers, slots=slots)


@asynccontextmanager
async def old(
    database: Database, deps: Any, work: Mapping[str, WorkKind[Any]], handlers: Handlers
) -> AsyncIterator[Old]:
    """Of a filled database that nothing has connected to yet. Fails where a statement reads more than it should."""
    aside = await asyncpg.connect(database.dsn)
    try:
        seen = await watched(database)
        yield Old(database, seen, deps, work, handlers, aside, await aside.fetchval("SELECT now()"))
    finally:
        await aside.close()
    assert len(seen.statements) > 20
    assert not seen.wrong, json.dumps(seen.wrong, indent=1).replace("\\n", "\n")


AHEAD = """
UPDATE work SET due = 'epoch' WHERE state = 'open' AND created > $1 AND due <= $2 AND due > 'epoch'
"""
