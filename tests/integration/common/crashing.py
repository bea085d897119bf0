"""A process to be killed: consumes nothing from a broker, but handles one event, relays and works, on one database."""

import asyncio
import sys

from keyturn.bus import Delivery, Message
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import SystemClock
from keyturn.database import Database, Transaction
from keyturn.events import PurchaseExpired, read
from keyturn.handling import Consumer, Handlers
from keyturn.relay import Relay
from keyturn.work import Work, WorkKind
from keyturn.worker import Worker


async def on_purchase_expired(event: PurchaseExpired, tx: Transaction) -> None:
    await tx.run("INSERT INTO effects (what, n) VALUES ('handled', 1)")
    tx.schedule("mail", event.subject)


async def send(work: Work, _deps: None) -> None:
    async with work.transaction("sent", finish=True) as tx:
        await tx.run("INSERT INTO effects (what, n) VALUES ('worked', 1)")
        tx.publish(PurchaseExpired(subject=work.key, time=tx.now))


async def main(url: str) -> None:
    database = Database(url, service="billing", clock=SystemClock())
    bus = MemoryBroker().bus("billing")
    await bus.connect()
    handlers: Handlers = {PurchaseExpired: on_purchase_expired}
    body = sys.stdin.buffer.read()
    event = read(body)
    assert isinstance(event, PurchaseExpired)
    message = Message(str(event.id), event.wire, event.subject, "billing", event.time, body, {}, routing_key=event.wire)
    relay = Relay(database, bus)
    worker: Worker[None] = Worker(database, {"mail": WorkKind(send)}, None, handlers=handlers)
    await relay.start()
    await worker.start()
    await Consumer(database, bus, handlers).deliver(Delivery(message, redelivered=False))
    while True:
        async with database.transaction("look") as tx:
            done = await tx.run("SELECT 1 FROM outbox WHERE published IS NOT NULL AND routing_key = $1", event.wire)
        if done:
            break
        await asyncio.sleep(0.02)
    await worker.stop()
    await relay.stop()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
