"""Peer: payment to ready by hand, one process a role, with nothing that production needs beyond doing it once.

    python handmade.py intake|billing|provisioner POSTGRES AMQP PORT

Each keeps its state, inbox and outbox in a database of its own; the outbox is published right after the commit.
"""

import asyncio
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import asyncpg
import uvicorn
import uvloop

TABLES = """
CREATE TABLE IF NOT EXISTS state (id text PRIMARY KEY, status text NOT NULL, body jsonb);
CREATE TABLE IF NOT EXISTS inbox (id text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS outbox (id bigserial PRIMARY KEY, key text, body bytea, published timestamptz);
CREATE INDEX IF NOT EXISTS unpublished ON outbox (id) WHERE published IS NULL
"""
STATE = "INSERT INTO state VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET status = excluded.status"
SAY = "INSERT INTO outbox (key, body) VALUES ($1, $2)"
HEARD = "INSERT INTO inbox VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1"
WAITING = "SELECT id, key, body FROM outbox WHERE published IS NULL AND NOT id = ANY($1) ORDER BY id LIMIT 500"
DONE = "UPDATE outbox SET published = now() WHERE id = ANY($1)"
SECRET = os.environ.get("SECRET", "").encode()


class Role:
    async def start(self, database: str, amqp: str) -> None:
        self.pool = await asyncpg.create_pool(database, min_size=4, max_size=10)
        await self.pool.execute(TABLES)
        connection = await aio_pika.connect(amqp)
        channel = await connection.channel()
        self.exchange = await channel.declare_exchange("handmade", "topic", durable=True)
        self.consuming = await connection.channel(publisher_confirms=False)
        await self.consuming.set_qos(prefetch_count=16)
        self.said, self.taken = asyncio.Event(), set()
        self.relaying = asyncio.create_task(self.relay())

    async def relay(self) -> None:
        while True:
            await self.said.wait()
            self.said.clear()
            rows = await self.pool.fetch(WAITING, list(self.taken))
            self.taken |= {row["id"] for row in rows}
            await asyncio.gather(*(self.publish(row) for row in rows))
            await self.pool.execute(DONE, ids := [row["id"] for row in rows])
            self.taken -= set(ids)

    async def publish(self, row: Any) -> None:
        how = aio_pika.DeliveryMode.PERSISTENT
        await self.exchange.publish(aio_pika.Message(row["body"], delivery_mode=how), row["key"])

    async def consume(self, key: str, handle: Callable[[str, bytes], Awaitable[None]]) -> None:
        queue = await self.consuming.declare_queue(
            f"handmade.{key}", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(self.exchange, key)

        async def take(message: Any) -> None:
            await handle(json.loads(message.body)["purchase"], message.body)
            await message.ack()

        await queue.consume(take)

    async def intake(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, signature = (await receive())["body"], dict(scope["headers"]).get(b"stripe-signature", b"")
        stamp, _, given = signature.decode().removeprefix("t=").partition(",v1=")
        good = hmac.new(SECRET, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(good, given):
            event = json.loads(body)
            purchase = event["data"]["object"]["client_reference_id"]
            async with self.pool.acquire() as connection, connection.transaction():
                await connection.execute(STATE, event["id"], "received", body.decode())
                await connection.execute(SAY, "captured", json.dumps({"purchase": purchase}).encode())
            self.said.set()
        await send({"type": "http.response.start", "status": 200 if hmac.compare_digest(good, given) else 400})
        await send({"type": "http.response.body", "body": b""})

    async def captured(self, purchase: str, body: bytes) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            if await connection.fetch(HEARD, purchase):
                await connection.execute(STATE, purchase, "paid", None)
                await connection.execute(SAY, "paid", body)
        self.said.set()

    async def paid(self, purchase: str, body: bytes) -> None:
        """One commit before the target is asked, and one after."""
        async with self.pool.acquire() as connection, connection.transaction():
            if not await connection.fetch(HEARD, purchase):
                return
            await connection.execute(STATE, purchase, "provisioning", None)
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(STATE, purchase, "ready", None)
            await connection.execute(SAY, "ready", body)
        self.said.set()


async def main(name: str, database: str, amqp: str, port: int) -> None:
    role = Role()
    await role.start(database, amqp)
    if name == "billing":
        await role.consume("captured", role.captured)
    if name == "provisioner":
        await role.consume("paid", role.paid)
    config = uvicorn.Config(
        role.intake, port=port, interface="asgi3", loop="none", access_log=False, lifespan="off", log_level="warning"
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
