"""Hears every event straight from the broker, and notes in which order those of each subject came for the first time."""

import logging
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection
from aio_pika.exceptions import AMQPError

from keyturn.bus.topology import EVENTS_EXCHANGE
from sandbox.postgres import SERVICES
from support.traces import Traces

QUEUE = "chaos.watcher"
PUBLISHED = """
SELECT event_id::text, subject, convert_from(body, 'utf8')::jsonb->'data'->>'step' AS step
FROM outbox WHERE exchange = $1 ORDER BY id
"""


class Watcher:
    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractRobustConnection | None = None
        self.arrived: dict[str, int] = {}  # by event id: the how-manieth
        self.copies = 0

    async def __aenter__(self) -> Self:
        for name in ("aiormq", "aio_pika"):  # they say each time that there is no broker: we know
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._connection = await aio_pika.connect_robust(self._url, reconnect_interval=0.5, heartbeat=10)
        channel = await self._connection.channel()
        await channel.set_qos(prefetch_count=200)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(EVENTS_EXCHANGE, "#")
        await queue.consume(self._heard)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection:
            await self._connection.close()

    async def _heard(self, message: AbstractIncomingMessage) -> None:
        self.copies += 1
        self.arrived.setdefault(message.message_id or "", len(self.arrived))
        with suppress(AMQPError, RuntimeError):  # the connection went meanwhile: it comes again
            await message.ack()

    async def compare(self, traces: Traces) -> tuple[list[str], list[str]]:
        """The events that never came, and those that came behind a later one of their subject. Steps of an install that
        run side by side commit in any order."""
        lost: list[str] = []
        inverted: list[str] = []
        for service in SERVICES:
            lanes: defaultdict[str, list[Any]] = defaultdict(list)
            for row in await traces.rows(service, PUBLISHED, EVENTS_EXCHANGE):
                lanes[row["subject"]].append(row)
            for subject, rows in lanes.items():
                lost += [
                    f"{service} {subject} {row['event_id']}" for row in rows if row["event_id"] not in self.arrived
                ]
                came = [row for row in rows if row["event_id"] in self.arrived]
                inverted += [f"{service} {subject} {b['event_id']}" for a, b in pairwise(came) if self._turned(a, b)]
        return lost, inverted

    def _turned(self, a: Any, b: Any) -> bool:
        beside = a["step"] and b["step"] and a["step"] != b["step"]
        return not beside and self.arrived[a["event_id"]] > self.arrived[b["event_id"]]
