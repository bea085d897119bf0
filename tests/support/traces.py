"""What the four services have written, looked at as nobody may: straight in their databases."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from keyturn.bus.memory import matches
from keyturn.bus.topology import EVENTS_EXCHANGE, subscriptions_of
from keyturn.clock import Clock
from sandbox.postgres import SERVICES

_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)

# What a crash left leased is free at once, rather than when the lease runs out: its worker is dead.
_FREE = "UPDATE work SET leased_until = clock_timestamp() - interval '1 s' WHERE leased_until IS NOT NULL"
_DUE = "SELECT count(*) FROM work WHERE state = 'open' AND due <= $1 AND key <> 'every'"
_SENT = "SELECT event_id::text, wire, published FROM outbox WHERE exchange = $1 AND created BETWEEN $2 AND $3"
_HEARD = """
SELECT event_id::text FROM inbox WHERE handled IS NOT NULL AND event_id = ANY($1::text[]::uuid[])
UNION SELECT key FROM work WHERE kind = 'event' AND key = ANY($1::text[])
"""


class Traces:
    def __init__(self, urls: Mapping[str, str], clock: Clock) -> None:
        self._urls = urls
        self._clock = clock
        self._connections: dict[str, asyncpg.Connection[Any]] = {}

    async def rows(self, service: str, sql: str, *parameters: Any) -> Sequence[Any]:
        if service not in self._connections or self._connections[service].is_closed():
            self._connections[service] = await asyncpg.connect(self._urls[service])
        return list(await self._connections[service].fetch(sql, *parameters))

    async def one(self, service: str, sql: str, *parameters: Any) -> Any:
        return (await self.rows(service, sql, *parameters))[0][0]

    async def free_leases(self, service: str) -> None:
        await self.rows(service, _FREE)

    async def dead(self) -> list[str]:
        """The causes of all work that has died."""
        causes = []
        for service in SERVICES:
            rows = await self.rows(service, "SELECT kind, cause FROM work WHERE state = 'dead'")
            causes += [f"{service} {row['kind']}: {row['cause']}" for row in rows]
        return causes

    async def settled(self) -> bool:
        """Every event is published, and handled by all who subscribe to it; and no work is due."""
        if not await self.arrived(*_ALWAYS):
            return False
        return not any([await self.one(service, _DUE, self._clock.now()) for service in SERVICES])

    async def arrived(self, since: datetime, until: datetime) -> bool:
        """Every event of that time is published, and handled by all who subscribe to it."""
        events: dict[str, str] = {}
        for service in SERVICES:
            rows = await self.rows(service, _SENT, EVENTS_EXCHANGE, since, until)
            if any(row["published"] is None for row in rows):
                return False
            events |= {row["event_id"]: row["wire"] for row in rows}
        for service, keys in subscriptions_of().items():
            wanted = {id_ for id_, wire in events.items() if any(matches(key, wire) for key in keys)}
            heard = {row["event_id"] for row in await self.rows(service, _HEARD, list(wanted))}
            if wanted - heard:
                return False
        return True

    async def close(self) -> None:
        for connection in self._connections.values():
            await connection.close()
