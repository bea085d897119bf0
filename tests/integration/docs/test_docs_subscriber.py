"""The subscriber in docs/integrators.md, run as it stands there, with exactly the rights that the page gives it."""

import asyncio
import json
import shlex
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from keyturn.bus import Message, connect_bus
from keyturn.events import Event, InstallReady, PurchasePaid
from support import pages
from support.broker import RabbitMQ, VirtualHost
from support.waiting import WaitUntil

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("docs-crm")]  # its user belongs to the whole broker
PAGE = "integrators.md"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture
def subscriber_url(broker: RabbitMQ, rabbitmq: VirtualHost) -> Iterator[str]:
    """The broker's URL for the page's user, made with the page's commands through the management API."""
    for command in pages.marked(PAGE, "broker-user").commands():
        assert _obey(broker, rabbitmq, shlex.split(command)) in {201, 204}, command
    yield f"amqp://crm:test@{rabbitmq.host}/{rabbitmq.name}"
    broker.client.delete("/api/users/crm")


def _obey(broker: RabbitMQ, vhost: VirtualHost, words: list[str]) -> int:
    """One `rabbitmqctl` command; its virtual host is the test's."""
    client, host = broker.client, vhost.name
    match words[1:]:
        case ["add_user", user, _]:
            answer = client.put(f"/api/users/{user}", json={"password": "test", "tags": ""})
        case ["set_permissions", "-p", "keyturn", user, configure, write, read]:
            given = {"configure": configure, "write": write, "read": read}
            answer = client.put(f"/api/permissions/{host}/{user}", json=given)
        case ["set_topic_permissions", "-p", "keyturn", user, exchange, write, read]:
            given = {"exchange": exchange, "write": write, "read": read}
            answer = client.put(f"/api/topic-permissions/{host}/{user}", json=given)
        case ["set_policy", "-p", "keyturn", "--apply-to", queues, name, pattern, definition]:
            policy: dict[str, Any] = {"pattern": pattern, "apply-to": queues, "definition": json.loads(definition)}
            answer = client.put(f"/api/policies/{host}/{name}", json=policy)
        case _:
            raise AssertionError(words)
    return answer.status_code


class Subscriber:
    """The page's program, and what it was handed."""

    def __init__(self) -> None:
        self.program: dict[str, Any] = {"__name__": "subscriber"}
        exec(compile(pages.marked(PAGE, "subscriber").text, "docs/integrators.md", "exec"), self.program)
        self.got: list[Event] = []

    async def handle(self, event: Event) -> None:
        self.got.append(event)


@pytest.fixture
async def subscriber(subscriber_url: str) -> AsyncIterator[Subscriber]:
    made = Subscriber()
    listening = asyncio.create_task(made.program["listen"](subscriber_url, made.handle))
    yield made
    listening.cancel()
    await asyncio.wait([listening])


async def _publish(vhost: VirtualHost, service: str, *events: Event) -> None:
    bus = connect_bus(vhost.url(service), service=service, replica="1")
    await bus.connect()
    try:
        for event in events:
            body = event.to_bytes(service)
            await bus.publish(
                Message(str(event.id), event.wire, event.subject, service, event.time, body, routing_key=event.wire)
            )
    finally:
        await bus.close()


async def test_the_subscriber_hears_what_it_bound_and_each_event_once(
    broker: RabbitMQ, rabbitmq: VirtualHost, subscriber: Subscriber, wait_until: WaitUntil
) -> None:
    queue = f"/api/queues/{rabbitmq.name}/crm.events/bindings"
    await wait_until(lambda: len(_found(broker, queue)) >= 3)  # its two keys, and the default exchange's own
    purchase = str(uuid4())
    ready = InstallReady(
        subject=purchase, time=NOW, job_id="1", action="provision", url="https://a.example", setup=True
    )
    paid = PurchasePaid(
        subject=purchase, time=NOW, customer_id="c", product="p", plan="q", amount=4900, currency="EUR",
        payment_id="i", payment_key="k", found_by="webhook",
    )  # fmt: skip
    await _publish(rabbitmq, "provisioner", ready, ready)
    await _publish(rabbitmq, "billing", paid)
    await wait_until(lambda: len(subscriber.got) >= 2)
    assert sorted(event.wire for event in subscriber.got) == ["install.ready.v1", "purchase.paid.v1"]


async def test_the_subscriber_cannot_hear_who_the_customers_are(subscriber_url: str) -> None:
    curious = Subscriber()
    curious.program["KEYS"] = ["purchase.opened.v1"]
    with pytest.raises(Exception, match=r"(?i)access"):
        await asyncio.wait_for(curious.program["listen"](subscriber_url, curious.handle), 10)


def _found(broker: RabbitMQ, path: str) -> list[Any]:
    answer = broker.client.get(path)
    return list(answer.json()) if answer.is_success else []
