import httpx
import pytest

from keyturn.bus import connect_bus
from notifier.app import build
from sandbox.mailbox import Mailbox
from support.broker import VirtualHost
from support.databases import DatabaseUrl
from support.notifier import ADA, Facts, message_of, settings

pytestmark = pytest.mark.servers


async def test_a_setup_link_that_comes_over_rabbitmq_is_mailed(
    database_url: DatabaseUrl, mailbox: Mailbox, rabbitmq: VirtualHost
) -> None:
    facts = Facts()
    service = build(settings(await database_url("notifier"), mailbox, bus_url=rabbitmq.url("notifier")))
    await service.start()
    try:
        for event in (facts.opened(), facts.link()):
            bus = connect_bus(rabbitmq.url(event.publisher), service=event.publisher, replica="test")
            await bus.connect()
            await bus.publish(message_of(event))
            await bus.close()
        (mail,) = await mailbox.wait_for(ADA)
        assert mail.deliveries == 1
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://n") as client:
            assert (await client.get("/readyz")).json() == {"status": "ready", "failed": {}}
    finally:
        await service.stop()
