"""A process to be killed: consumes nothing from a broker, but handles one event, relays and works, on one database."""

import asyncio
import importlib
import multiprocessing
import os
from pathlib import Path

from keyturn import failpoints
from keyturn.bus import Delivery, Message
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import SystemClock
from keyturn.database import Database, Transaction
from keyturn.events import PurchaseExpired, read
from keyturn.handling import Consumer, Handlers
from keyturn.relay import Relay
from keyturn.work import Work, WorkKind
from keyturn.worker import Worker

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["support.crashing"])


async def on_purchase_expired(event: PurchaseExpired, tx: Transaction) -> None:
    await tx.run("INSERT INTO effects (what, n) VALUES ('handled', 1)")
    tx.schedule("mail", event.subject)


async def send(work: Work, _deps: None) -> None:
    async with work.transaction("sent", finish=True) as tx:
        await tx.run("INSERT INTO effects (what, n) VALUES ('worked', 1)")
        tx.publish(PurchaseExpired(subject=work.key, time=tx.now))


def run(url: str, body: bytes, armed: str, seen: Path) -> int | None:
    """The exit code of a process, forked from one that has imported everything."""
    process = _forks.Process(target=_run, args=(url, body, armed, seen), daemon=True)
    process.start()
    process.join(60)
    process.kill()
    return process.exitcode


def _run(url: str, body: bytes, armed: str, seen: Path) -> None:
    os.environ |= {"FAILPOINTS": armed, "FAILPOINTS_SEEN": str(seen)}
    importlib.reload(failpoints)  # what is armed stands in the environment
    asyncio.run(main(url, body))


async def main(url: str, body: bytes) -> None:
    database = Database(url, service="billing", clock=SystemClock())
    bus = MemoryBroker().bus("billing")
    await bus.connect()
    handlers: Handlers = {PurchaseExpired: on_purchase_expired}
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
