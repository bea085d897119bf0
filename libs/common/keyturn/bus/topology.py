"""What the broker holds, as values: exchanges, queues, policies and rights, derived from the event classes.

    python -m keyturn.bus.topology > deploy/rabbitmq/definitions.json

writes it down for the broker to import; a test fails when the file is stale. Users are not in it: their passwords
are secrets, so `keyturn.bus.setup` makes the users first. Each service binds the keys of its own handlers at every
start; the file has those bindings as well, so that a service whose first start comes late misses nothing. Only what
RabbitMQ 3.10 knows is used.
"""

import importlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keyturn.events import EVENTS, Envelope, Event

VHOST = "keyturn"
EVENTS_EXCHANGE = "keyturn.events"
QUEUES_EXCHANGE = "keyturn.queues"  # a topic exchange whose keys are queue names: topic rights apply to it
UNROUTED = "keyturn.unrouted"  # exchange and queue: what no queue wanted

SERVICES = tuple(dict.fromkeys(event.publisher for event in EVENTS if event.publisher != "*"))
MONITORING = "monitoring"

# The backstop only: the library counts attempts itself, and writes an event off long before.
DELIVERY_LIMIT = 50
# Looking at a dead letter in management is a delivery as well; RabbitMQ 4's default of 20 looks would lose it.
UNLIMITED = 1_000_000
# Dead letters shown in management; of more the oldest goes. Each has a row by then, which is the truth.
SHOWN = 10_000
# A full queue holds up every publisher of its events: generous, with an alert at half.
MAX_LENGTH = 1_000_000

NOTHING = "^$"
EVERYTHING = ".*"

Subscriptions = Mapping[str, Iterable[str]]


def events_queue(service: str) -> str:
    return f"{service}.events"


def dead_queue(service: str) -> str:
    return f"{service}.dead"


def binding_keys(handled: Iterable[type[Event] | type[Envelope]]) -> list[str]:
    """The routing keys that a service binds, from the keys of its HANDLERS; `Envelope` stands for every event."""
    return sorted({"#" if issubclass(kind, Envelope) else kind.wire for kind in handled})


def published_by(service: str) -> list[str]:
    """The wire names that a service may publish."""
    return sorted(event.wire for event in EVENTS if event.publisher in {service, "*"})


@dataclass(frozen=True)
class Rights:
    """What one service's user may do: regular expressions, as RabbitMQ takes them."""

    configure: str
    write: str
    read: str
    publish_events: str
    publish_to_queues: str
    bind_events: str


def rights(service: str, keys: Iterable[str]) -> Rights:
    """Least rights: it makes and deletes nothing, publishes its own events, and reads its own queues.

    Binding writes to the queue and reads from the exchange, hence both names in both patterns.
    """
    queues = rf"{re.escape(service)}\.(events|dead)"
    return Rights(
        configure=NOTHING,
        write=rf"^(keyturn\.(events|queues)|{queues})$",
        read=rf"^(keyturn\.events|{queues})$",
        publish_events=_any_version(published_by(service)),
        publish_to_queues=rf"^{queues}$",
        bind_events=_any_version(keys),
    )


def _any_version(keys: Iterable[str]) -> str:
    """A pattern for these wire names in any major version, so that a new version needs no new rights first."""
    names = sorted({key.rpartition(".v")[0] for key in keys if key != "#"})
    if "#" in keys:
        return EVERYTHING
    return rf"^({'|'.join(map(re.escape, names))})\.v[0-9]+$" if names else NOTHING


def definitions(subscriptions: Subscriptions, vhost: str = VHOST) -> dict[str, Any]:
    """The document that the broker imports. `subscriptions`: for each service, the keys it binds."""
    rights_of = {service: rights(service, list(keys)) for service, keys in subscriptions.items()}
    queues = [UNROUTED, *(name for service in subscriptions for name in (events_queue(service), dead_queue(service)))]
    return {
        "vhosts": [{"name": vhost}],
        "permissions": [
            {"user": user, "vhost": vhost, "configure": r.configure, "write": r.write, "read": r.read}
            for user, r in rights_of.items()
        ],
        "topic_permissions": [
            {"user": user, "vhost": vhost, "exchange": exchange, "write": write, "read": read}
            for user, r in rights_of.items()
            for exchange, write, read in (
                (EVENTS_EXCHANGE, r.publish_events, r.bind_events),
                (QUEUES_EXCHANGE, r.publish_to_queues, NOTHING),
            )
        ],
        "exchanges": [
            {"name": name, "vhost": vhost, "type": kind, "durable": True, "auto_delete": False, "arguments": {}}
            for name, kind in ((EVENTS_EXCHANGE, "topic"), (QUEUES_EXCHANGE, "topic"), (UNROUTED, "fanout"))
        ],
        "queues": [
            {"name": n, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}}
            for n in queues
        ],
        "bindings": [
            _binding(UNROUTED, UNROUTED, vhost, key=""),
            *(_binding(QUEUES_EXCHANGE, q, vhost) for q in queues),
        ],
        "policies": [{"vhost": vhost, **policy} for policy in _policies(subscriptions)],
    }


def _binding(source: str, queue: str, vhost: str, key: str | None = None) -> dict[str, Any]:
    return {
        "source": source,
        "vhost": vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": queue if key is None else key,
        "arguments": {},
    }


def _policies(services: Iterable[str]) -> Iterable[dict[str, Any]]:
    """All that may change without deleting a queue is policy; a queue's own arguments never change."""
    yield _policy("unrouted", r"^keyturn\.(events|queues)$", "exchanges", {"alternate-exchange": UNROUTED})
    yield _policy("kept", rf"^{re.escape(UNROUTED)}$", "queues", {"delivery-limit": UNLIMITED})
    shown = {"delivery-limit": UNLIMITED, "max-length": SHOWN, "overflow": "drop-head"}
    yield _policy("dead", r"^[a-z]+\.dead$", "queues", shown)
    for service in services:
        pattern = rf"^{re.escape(events_queue(service))}$"
        yield _policy(
            events_queue(service),
            pattern,
            "queues",
            {
                "delivery-limit": DELIVERY_LIMIT,
                "dead-letter-exchange": QUEUES_EXCHANGE,
                "dead-letter-routing-key": dead_queue(service),
                "dead-letter-strategy": "at-least-once",  # works only with reject-publish; else silently at-most-once
                "overflow": "reject-publish",
                "max-length": MAX_LENGTH,
            },
        )


def _policy(name: str, pattern: str, apply_to: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "pattern": pattern, "apply-to": apply_to, "priority": 0, "definition": dict(definition)}


def subscriptions_of(services: Iterable[str] = SERVICES) -> dict[str, list[str]]:
    """What the installed services subscribe to, from their HANDLERS. For tools and tests; a service knows its own."""
    return {service: binding_keys(importlib.import_module(f"{service}.handlers").HANDLERS) for service in services}


def definitions_json() -> str:
    """The text of deploy/rabbitmq/definitions.json."""
    subscriptions = subscriptions_of()
    document = definitions(subscriptions)
    document["bindings"] += [
        _binding(EVENTS_EXCHANGE, events_queue(service), VHOST, key)
        for service, keys in subscriptions.items()
        for key in keys
    ]
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(definitions_json())
