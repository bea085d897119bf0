"""`make run` on a given broker: what is missing is made where we may, and told where we may not."""

import secrets
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from keyturn.bus.setup import users_of
from keyturn.bus.topology import definitions, subscriptions_of
from keyturn.errors import Misconfigured
from sandbox import broker as given_broker
from sandbox.postgres import SERVICES
from support.broker import PASSWORD, RabbitMQ, VirtualHost

pytestmark = pytest.mark.servers


@pytest.fixture
def empty(broker: RabbitMQ) -> Iterator[VirtualHost]:
    """A virtual host with nothing in it."""
    made = VirtualHost(f"test-{secrets.token_hex(6)}", broker.host, broker.admin)
    broker.client.put(f"/api/vhosts/{made.name}").raise_for_status()
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    user = quote(broker.admin.partition(":")[0])
    broker.client.put(f"/api/permissions/{made.name}/{user}", json=everything).raise_for_status()
    yield made
    broker.delete(made)


async def test_addresses_of_a_broker_that_is_set_up_are_taken_as_they_are(rabbitmq: VirtualHost) -> None:
    urls = {f"{name.upper()}_BUS_URL": rabbitmq.url(name) for name in SERVICES}
    assert await given_broker.addresses(urls, {}) == {name: rabbitmq.url(name) for name in SERVICES}


async def test_a_broker_without_the_topology_is_told_with_what_to_run(empty: VirtualHost) -> None:
    with pytest.raises(Misconfigured, match=r"no queue gateway\.events; set BUS_ADMIN_URL=.* keyturn\.bus\.setup"):
        await given_broker.addresses({"BUS_URL": empty.admin_url}, {})


async def test_with_its_management_the_broker_is_set_up_and_each_service_gets_a_user(
    empty: VirtualHost, broker: RabbitMQ
) -> None:
    users = users_of(definitions(subscriptions_of()))
    made = {f"{user.upper()}_BUS_PASSWORD": PASSWORD for user in users}  # as other tests have them: users are shared
    chosen = {"BUS_URL": empty.admin_url, "BUS_ADMIN_URL": broker.management_url}
    assert await given_broker.addresses(chosen, made) == {name: empty.url(name) for name in SERVICES}
