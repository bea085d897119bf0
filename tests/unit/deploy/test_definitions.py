"""What the broker imports: derived from the code, current, and with the least rights."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from keyturn.bus.topology import (
    DELIVERY_LIMIT,
    SERVICES,
    binding_keys,
    definitions,
    definitions_json,
    published_by,
    rights,
    subscriptions_of,
)
from keyturn.events import EVENTS, Envelope, PaymentCaptured, PurchasePaid

ROOT = Path(__file__).parents[3]
SUBSCRIPTIONS = {
    "gateway": ["#"],
    "billing": ["payment.captured.v1"],
    "provisioner": ["entitlement.changed.v1"],
    "notifier": ["setup_link.issued.v1"],
}
DOCUMENT = definitions(SUBSCRIPTIONS)


def test_the_file_is_current() -> None:
    """Else: make docs."""
    assert (ROOT / "deploy/rabbitmq/definitions.json").read_text() == definitions_json()


def test_a_service_that_starts_late_for_the_first_time_misses_nothing() -> None:
    bound = {
        (binding["destination"], binding["routing_key"])
        for binding in json.loads(definitions_json())["bindings"]
        if binding["source"] == "keyturn.events"
    }
    assert bound == {(f"{service}.events", key) for service, keys in subscriptions_of().items() for key in keys}


def test_no_user_and_no_password_is_in_it() -> None:
    assert "users" not in DOCUMENT
    assert "password" not in json.dumps(DOCUMENT)


def test_only_fields_that_an_old_broker_knows_are_in_it() -> None:
    known = {
        "delivery-limit",
        "dead-letter-exchange",
        "dead-letter-routing-key",
        "dead-letter-strategy",
        "overflow",
        "max-length",
        "alternate-exchange",
    }
    for policy in DOCUMENT["policies"]:
        assert policy["definition"].keys() <= known
        assert policy["apply-to"] in {"queues", "exchanges"}


def test_every_queue_is_durable_and_replicated_and_has_no_other_argument() -> None:
    assert len(DOCUMENT["queues"]) == 2 * len(SERVICES) + 1
    for queue in DOCUMENT["queues"]:
        assert queue["durable"]
        assert queue["arguments"] == {"x-queue-type": "quorum"}


def _policy_of(queue: str) -> dict[str, Any]:
    found = [p for p in DOCUMENT["policies"] if p["apply-to"] == "queues" and re.search(p["pattern"], queue)]
    assert len(found) == 1, queue
    definition: dict[str, Any] = found[0]["definition"]
    return definition


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_returned_too_often_goes_to_the_service_s_dead_queue_and_is_not_lost(service: str) -> None:
    assert _policy_of(f"{service}.events") == {
        "delivery-limit": DELIVERY_LIMIT,
        "dead-letter-exchange": "keyturn.queues",
        "dead-letter-routing-key": f"{service}.dead",
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
        "max-length": 1_000_000,
    }


@pytest.mark.parametrize("queue", ["keyturn.unrouted", *(f"{service}.dead" for service in SERVICES)])
def test_dead_letters_may_be_looked_at_for_ever(queue: str) -> None:
    assert _policy_of(queue)["delivery-limit"] == 1_000_000


def test_what_no_queue_wanted_is_kept_and_dead_letters_are_shown_up_to_a_number() -> None:
    assert "max-length" not in _policy_of("keyturn.unrouted")
    assert _policy_of("billing.dead")["max-length"] == 10_000
    assert _policy_of("billing.dead")["overflow"] == "drop-head"


def test_every_event_has_exactly_one_publisher_except_those_of_all() -> None:
    for event in EVENTS:
        holders = [service for service in SERVICES if event.wire in published_by(service)]
        assert holders == list(SERVICES) if event.publisher == "*" else holders == [event.publisher]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_publish_its_own_events_and_nothing_else(service: str) -> None:
    pattern = rights(service, []).publish_events
    for event in EVENTS:
        assert bool(re.search(pattern, event.wire)) == (event.publisher in {service, "*"})


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_and_writes_only_its_own_queues(service: str) -> None:
    given = rights(service, SUBSCRIPTIONS[service])
    for other in SERVICES:
        for queue in (f"{other}.events", f"{other}.dead"):
            assert bool(re.search(given.read, queue)) == (other == service)
            assert bool(re.search(given.write, queue)) == (other == service)
            assert bool(re.search(given.publish_to_queues, queue)) == (other == service)
    assert not re.search(given.read, "keyturn.unrouted")
    assert not re.search(given.write, "")  # the default exchange, which leads to every queue


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_makes_or_deletes_anything(service: str) -> None:
    assert rights(service, ["#"]).configure == "^$"


def test_a_service_binds_only_what_it_handles_in_any_version() -> None:
    pattern = rights("notifier", ["setup_link.issued.v1"]).bind_events
    assert re.search(pattern, "setup_link.issued.v1")
    assert re.search(pattern, "setup_link.issued.v2")
    assert not re.search(pattern, "payment.captured.v1")
    assert not re.search(pattern, "#")
    assert not re.search(rights("notifier", []).bind_events, "payment.captured.v1")


def test_binding_keys_come_from_what_is_handled() -> None:
    assert binding_keys([PurchasePaid, PaymentCaptured]) == ["payment.captured.v1", "purchase.paid.v1"]
    assert binding_keys([Envelope]) == ["#"]
