"""A fresh virtual host for each test that wants one: the real definitions, and users with the real, least rights."""

import base64
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from keyturn.bus.setup import set_up, users_of
from keyturn.bus.topology import SERVICES, Subscriptions, definitions, subscriptions_of

PASSWORD = "test"  # the users of a test have rights in its own virtual host only, and it goes with the test


@dataclass(frozen=True)
class VirtualHost:
    """`url("billing")` is what a service gets as BUS_URL; `admin_url` is for looking at things as nobody may."""

    name: str
    host: str
    admin: str

    @property
    def admin_url(self) -> str:
        return f"amqp://{self.admin}@{self.host}/{self.name}"

    def url(self, service: str, *, host: str | None = None) -> str:
        """`host`: `127.0.0.1:port` of a proxy in between."""
        return f"amqp://{service}:{PASSWORD}@{host or self.host}/{self.name}"


class RabbitMQ:
    """The session's broker."""

    def __init__(self, url: str, management_url: str) -> None:
        parts = urlsplit(url)
        self.host = f"{parts.hostname}:{parts.port or 5672}"
        self.admin = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
        self.management_url = management_url
        self.client = httpx.Client(base_url=management_url, timeout=60)

    def create(self, subscriptions: Subscriptions | None = None) -> VirtualHost:
        """`subscriptions`: for each service the keys it may bind; without them those of the services' HANDLERS."""
        if subscriptions is None:
            subscriptions = {service: _subscriptions_of(service) for service in SERVICES}
        vhost = VirtualHost(f"test-{secrets.token_hex(6)}", self.host, self.admin)
        self.import_into(vhost, subscriptions)
        user = self.admin.partition(":")[0]
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.client.put(f"/api/permissions/{vhost.name}/{quote(user)}", json=everything).raise_for_status()
        return vhost

    def import_into(self, vhost: VirtualHost, subscriptions: Subscriptions) -> None:
        document = definitions(subscriptions, vhost.name)
        set_up(self.client, document, dict.fromkeys(users_of(document), PASSWORD))

    def exported(self, vhost: VirtualHost) -> dict[str, Any]:
        """The virtual host's definitions as the broker tells them."""
        answer = self.client.get(f"/api/definitions/{vhost.name}").raise_for_status().json()
        return {key: sorted(value, key=str) if isinstance(value, list) else value for key, value in answer.items()}

    def bodies(self, vhost: VirtualHost, queue: str) -> list[bytes]:
        """What waits in a queue, looked at as management does: got and returned."""
        how = {"count": 100, "ackmode": "ack_requeue_true", "encoding": "base64"}
        answer = self.client.post(f"/api/queues/{vhost.name}/{queue}/get", json=how).raise_for_status()
        return [base64.b64decode(found["payload"]) for found in answer.json()]

    def delete(self, vhost: VirtualHost) -> None:
        self.client.delete(f"/api/vhosts/{vhost.name}").raise_for_status()

    def set_policy(self, vhost: VirtualHost, name: str, pattern: str, definition: dict[str, object]) -> None:
        """An operator's own policy for queues: it replaces ours where it matches."""
        policy = {"pattern": pattern, "apply-to": "queues", "priority": 10, "definition": definition}
        self.client.put(f"/api/policies/{vhost.name}/{name}", json=policy).raise_for_status()

    def remove_policy(self, vhost: VirtualHost, name: str) -> None:
        self.client.delete(f"/api/policies/{vhost.name}/{name}").raise_for_status()

    def disconnect(self, vhost: VirtualHost, service: str) -> None:
        """Close a service's connections from the broker's side, once management has noticed them."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            connections = self.client.get("/api/connections").json()
            ours = [c["name"] for c in connections if c.get("vhost") == vhost.name and c.get("user") == service]
            for name in ours:
                self.client.delete(f"/api/connections/{quote(name)}")
            if ours:
                return
            time.sleep(0.1)
        raise TimeoutError(f"management shows no connection of {service}")

    def close(self) -> None:
        self.client.close()


def _subscriptions_of(service: str) -> list[str]:
    try:
        return subscriptions_of([service])[service]
    except ModuleNotFoundError:  # a service without handlers yet
        return []
