"""The notifier with a long history: no statement reads a whole table, or more than a batch of it."""

from uuid import UUID, uuid4

import pytest

from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.events import CustomerErased
from notifier.app import build
from sandbox.mailbox import Mailbox
from support.databases import DatabaseUrl
from support.explaining import ROWS
from support.history import fill
from support.notifier import World, settings
from support.old import Old, old

pytestmark = [pytest.mark.servers, pytest.mark.timeout(3600)]


async def test_the_notifier_reads_no_more_with_a_long_history(database_url: DatabaseUrl, clock: MovableClock) -> None:
    url, broker = await database_url("notifier"), MemoryBroker()
    await fill(url, "notifier", ROWS)
    async with Mailbox() as mailbox:
        service = build(settings(url, mailbox), clock=clock, bus=broker.bus("notifier"))
        async with old(service.database, service.deps, service.work, service.handlers) as history:
            for _ in range(2):
                await _mails(World(clock, service=service, broker=broker, mailbox=mailbox), history)
            await _erasing(World(clock, service=service, broker=broker, mailbox=mailbox), history)
            await history.skeleton()
        for step in service.closing:
            await step()
        await service.database.close()


async def _erasing(world: World, history: Old) -> None:
    purchase = UUID(int=ROWS - 7)
    await world.ask("GET", f"/internal/purchases/{purchase}/data")
    await history.hears(CustomerErased(subject=str(purchase), time=world.clock.now(), customer_id=str(uuid4())))
    await history.works()


async def _mails(world: World, history: Old) -> None:
    await history.hears(world.link(1), world.opened(), world.entitled(1, "ada@example.org"), world.link(2))
    await history.works()
    await history.hears(world.suspended(), world.failed())
    await history.works()
    await world.ask("GET", "/internal/messages")
    await world.ask("GET", "/internal/messages", state="failed")
    page = await world.ask("GET", "/internal/messages", purchase_id=world.purchase)
    message = page["items"][-1]["id"]
    await world.ask("GET", "/internal/messages", cursor=message, state="failed")
    await world.ask("GET", f"/internal/messages/{message}")
    pending = (await world.ask("GET", "/internal/messages", state="pending"))["items"][0]["id"]
    await world.ask("POST", f"/internal/messages/{pending}/retry", json={"reason": "history"})
