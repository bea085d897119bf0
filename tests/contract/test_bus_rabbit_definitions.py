"""The shipped deploy/rabbitmq/definitions.json, imported into a real broker, and what each of its users may do there."""

import json
from collections.abc import Iterator
from typing import Any

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError

from keyturn.bus import Message, Refused
from keyturn.bus.rabbit import RabbitBus
from keyturn.bus.setup import set_up, users_of
from keyturn.bus.topology import MONITORING, SERVICES, dead_queue, events_queue, published_by, subscriptions_of
from keyturn.events import EVENTS
from support.broker import PASSWORD, RabbitMQ, VirtualHost
from support.buses import Inbox, message
from support.pages import ROOT
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

SHIPPED = json.loads((ROOT / "deploy/rabbitmq/definitions.json").read_text())


@pytest.fixture(scope="module")
def vhost(broker: RabbitMQ) -> Iterator[VirtualHost]:
    """The file as it is, in a virtual host of ours."""
    made = broker.create({})
    set_up(broker.client, _in(made.name, SHIPPED), dict.fromkeys(users_of(SHIPPED), PASSWORD))
    yield made
    broker.delete(made)


def _in(vhost: str, definitions: dict[str, Any]) -> dict[str, Any]:
    named = {kind: [one | {"vhost": vhost} for one in many] for kind, many in definitions.items() if kind != "vhosts"}
    return named | {"vhosts": [{"name": vhost}]}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_publishes_its_own_events_and_none_of_anybody_else(vhost: VirtualHost, service: str) -> None:
    bus = RabbitBus(vhost.url(service), service=service, replica="1")
    await bus.connect()
    refused = []
    for event in EVENTS:
        try:
            await bus.publish(message(1, event.wire, service))
        except Refused:
            refused.append(event.wire)
    own = published_by(service)
    assert refused == [event.wire for event in EVENTS if event.wire not in own]
    await bus.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_reads_its_own_queue_and_reaches_no_other(vhost: VirtualHost, service: str) -> None:
    bus = RabbitBus(vhost.url(service), service=service, replica="1")
    await bus.connect()
    await bus.consume(subscriptions_of([service])[service], Inbox())
    await bus.ping()
    for queue in (name(other) for other in SERVICES for name in (events_queue, dead_queue) if other != service):
        with pytest.raises(Refused):
            await bus.publish(_to(queue, service))
        assert await _is_refused(vhost, service, queue)
    await bus.publish(_to(dead_queue(service), service))
    await bus.close()


async def test_dashboards_see_figures_and_no_message(broker: RabbitMQ, vhost: VirtualHost) -> None:
    with pytest.raises(AMQPError):
        await aio_pika.connect(vhost.url(MONITORING))
    everything = broker.client.get("/api/overview", auth=(MONITORING, PASSWORD))
    assert everything.is_success
    how = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    address = f"/api/queues/{vhost.name}/billing.events/get"
    assert broker.client.post(address, json=how, auth=(MONITORING, PASSWORD)).status_code == 401


async def test_each_queue_has_the_policy_that_is_meant_for_it(
    broker: RabbitMQ, vhost: VirtualHost, wait_until: WaitUntil
) -> None:
    """Of several that match only one counts. An old broker forgives where none does: RabbitMQ 4 then loses a dead letter
    at the 21st look."""
    meant = {policy["name"]: policy["definition"] for policy in SHIPPED["policies"]}
    wanted = {
        "keyturn.unrouted": meant["kept"],
        **{dead_queue(service): meant["dead"] for service in SERVICES},
        **{events_queue(service): meant[events_queue(service)] for service in SERVICES},
    }

    def told() -> dict[str, Any]:
        queues = broker.client.get(f"/api/queues/{vhost.name}").json()
        return {queue["name"]: queue.get("effective_policy_definition") for queue in queues}

    await wait_until(lambda: None not in told().values(), 30)  # with the queues' first statistics
    assert told() == wanted


async def test_a_full_dead_queue_lets_its_oldest_go_and_holds_up_nobody(broker: RabbitMQ, vhost: VirtualHost) -> None:
    (dead,) = (policy for policy in SHIPPED["policies"] if policy["name"] == "dead")
    broker.set_policy(vhost, "small", "^notifier.dead$", dead["definition"] | {"max-length": 3})
    bus = RabbitBus(vhost.url("notifier"), service="notifier", replica="1")
    await bus.connect()
    for n in range(10):
        await bus.publish(_to("notifier.dead", "notifier", n))
    assert broker.bodies(vhost, "notifier.dead") == [_to("", "", n).body for n in (7, 8, 9)]
    broker.client.delete(f"/api/policies/{vhost.name}/small").raise_for_status()
    await bus.close()


def _to(queue: str, service: str, number: int = 1) -> Message:
    return message(number, "payment.captured.v1", service, exchange="keyturn.queues", routing_key=queue)


async def _is_refused(vhost: VirtualHost, service: str, queue: str) -> bool:
    """To whoever asks without our library in between."""
    connection = await aio_pika.connect(vhost.url(service))
    async with connection:
        channel = await connection.channel()
        try:
            await (await channel.get_queue(queue, ensure=False)).get(fail=False)
        except AMQPError as error:
            return "ACCESS_REFUSED" in str(error)
    return False
