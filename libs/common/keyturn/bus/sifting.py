"""Removing some messages of a queue and leaving the others: RabbitMQ has no command for it.

All are taken with a large prefetch, those that may go are acknowledged, and closing the channel puts the rest back, in
its order. Each look counts as a delivery, hence the delivery limit of a million on such queues.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue

from keyturn.bus.message import Message, Sift
from keyturn.bus.receiving import from_wire
from keyturn.bus.topology import SHOWN

BATCH = 200
SILENCE = 1.0  # seconds: somebody else holds the rest


async def sift_queue(connection: AbstractConnection, name: str, service: str, user: str, sift: Sift) -> None:
    """Everything that lies there now, once."""
    async with connection.channel(publisher_confirms=False) as channel:
        await channel.set_qos(prefetch_count=SHOWN)
        queue = await channel.declare_queue(name, durable=True, passive=True)
        async with aclosing(_batches(queue)) as batches:
            async for batch in batches:
                messages = [_message(incoming, service, user) for incoming in batch]
                for incoming, may_go in zip(batch, await sift(messages), strict=True):
                    if may_go:
                        await incoming.ack()


def _message(incoming: AbstractIncomingMessage, service: str, user: str) -> Message:
    exchange, key = incoming.exchange, incoming.routing_key
    return from_wire(incoming.properties, incoming.body, exchange=exchange, key=key, service=service, user=user)


async def _batches(queue: AbstractQueue) -> AsyncGenerator[list[AbstractIncomingMessage], None]:
    left = min(queue.declaration_result.message_count or 0, SHOWN)
    if not left:
        return
    came: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(came.put)
    while left:
        batch: list[AbstractIncomingMessage] = []
        try:
            async with asyncio.timeout(SILENCE):
                while len(batch) < min(left, BATCH):
                    batch.append(await came.get())
        except TimeoutError:
            left = len(batch)
        left -= len(batch)
        if batch:
            yield batch
