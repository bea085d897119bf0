"""The event library: what goes over the wire, and that it needs pydantic alone."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from keyturn.events import (
    BY_WIRE,
    EVENTS,
    Envelope,
    PaymentCaptured,
    Sealed,
    SetupLinkIssued,
    Unreadable,
    derived_id,
    read,
    uuid7,
)

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)

BLANK = """
import importlib.abc, sys

class Only(importlib.abc.MetaPathFinder):
    allowed = {"keyturn", "pydantic", "pydantic_core", "typing_extensions", "annotated_types", "typing_inspection"}

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in self.allowed | sys.stdlib_module_names and not top.startswith("_sysconfigdata"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Only())
import keyturn.events
print(len(keyturn.events.EVENTS))
"""


def captured(**changes: object) -> PaymentCaptured:
    facts = {"provider": "stripe", "livemode": False, "payment_key": "cs_1", "amount": 4900, "currency": "EUR"}
    return PaymentCaptured.model_validate({"subject": "stripe:cs_1", "time": NOW, **facts, **changes})


def test_an_event_is_the_same_after_the_wire() -> None:
    event = captured(refs={"session": "cs_1"}, causationid="evt_1")
    assert read(event.to_bytes("gateway")) == event


def test_the_wire_form_is_a_structured_cloudevent() -> None:
    document = json.loads(captured(id=UUID(int=7)).to_bytes("gateway"))
    context = {name: value for name, value in document.items() if name != "data"}
    assert context == {
        "specversion": "1.0",
        "source": "/gateway",
        "type": "payment.captured.v1",
        "id": str(UUID(int=7)),
        "subject": "stripe:cs_1",
        "time": "2026-11-21T09:30:00+00:00",
    }
    assert document["data"]["amount"] == 4900


def test_unknown_fields_of_a_newer_publisher_are_ignored() -> None:
    document = json.loads(captured().to_bytes("gateway"))
    document["data"]["later"] = "added"
    document["laterattribute"] = "x"
    assert isinstance(read(json.dumps(document).encode()), PaymentCaptured)


def test_an_unknown_type_is_an_envelope() -> None:
    document = json.loads(captured().to_bytes("gateway")) | {"type": "payment.captured.v9"}
    found = read(json.dumps(document).encode())
    assert isinstance(found, Envelope)
    assert (found.type, found.publisher) == ("payment.captured.v9", "gateway")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_event_are_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(body)


def test_a_refusal_quotes_no_value() -> None:
    document = json.loads(captured().to_bytes("gateway"))
    document["data"]["amount"] = "somebody@example.com"
    with pytest.raises(Unreadable) as refused:
        read(json.dumps(document).encode())
    assert str(refused.value) == "amount: int_parsing"
    assert refused.value.__cause__ is None


def test_events_are_frozen() -> None:
    with pytest.raises(ValidationError):
        captured().amount = 1  # type: ignore[misc]


def test_wire_names_are_unique_versioned_and_have_one_publisher() -> None:
    assert len(BY_WIRE) == len(EVENTS)
    for event in EVENTS:
        assert event.wire.rsplit(".", 1)[1] == "v1"
        assert event.publisher in {"gateway", "billing", "provisioner", "notifier", "*"}
        assert event.__doc__, event


def test_rule_17_a_sealed_field_shows_its_ciphertext_at_most() -> None:
    token: Sealed[str] = Sealed("x1.key.c2VjcmV0")
    event = SetupLinkIssued(subject="p", time=NOW, link_id="l", token=token, expires_at=NOW, number=1)
    assert "c2VjcmV0" not in repr(event)
    assert json.loads(event.to_bytes("provisioner"))["data"]["token"] == "x1.key.c2VjcmV0"
    with pytest.raises(ValidationError):
        SetupLinkIssued.model_validate(event.model_dump() | {"token": "plain text"})


def test_the_same_fact_has_the_same_id() -> None:
    assert derived_id("stripe", "cs_1", "captured") == derived_id("stripe", "cs_1", "captured")
    assert derived_id("stripe", "cs_1", "captured") != derived_id("stripe", "cs_1", "refunded")


def test_new_ids_are_version_7_and_in_order_of_time() -> None:
    made = [uuid7() for _ in range(1000)]
    assert {(one.version, one.variant) for one in made} == {(7, made[0].variant)}
    assert [one.int >> 80 for one in made] == sorted(one.int >> 80 for one in made)
    assert len(set(made)) == 1000


def test_the_library_imports_with_pydantic_alone() -> None:
    ran = subprocess.run([sys.executable, "-c", BLANK], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, str(len(EVENTS))), ran.stderr
