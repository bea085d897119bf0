"""What is to be done with an install, as tables."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from provisioner.domain import INSTALL, LINK, Install, SetupLink, next_action
from provisioner.errors import ImpossibleTransitionError
from provisioner.records import JOB, Job

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def install(**said: Any) -> Install:
    values: dict[str, Any] = {
        "id": uuid4(),
        "state": "pending",
        "state_since": NOW,
        "version": 1,
        "revision": 1,
        "wanted": "on",
        "reasons": [],
        "own_reasons": [],
        "product": "p",
        "plan": "small",
        "blueprint": "b",
        "parameters": {},
        "limits": {},
        "contact": {},
        "delete_after": None,
        "created_at": NOW,
    }
    found = Install(**values | said)
    if found.ready_at and found.applied is None:
        found.applied = found.terms
    return found


READY = {"ready_at": NOW}


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ({}, "provision"),
        ({"state": "provisioning"}, "provision"),
        ({"state": "failed"}, "provision"),
        ({"state": "failed", "failed_revision": 1}, None),
        ({"state": "deleting", **READY}, "provision"),
        ({"state": "active", **READY}, None),
        ({"state": "active", **READY, "applied": {"plan": "old"}}, "change_plan"),
        ({"state": "active", **READY, "applied": {"plan": "old"}, "failed_revision": 1}, None),
        ({"state": "active", **READY, "repair": True}, "repair"),
        ({"state": "setup_pending", **READY, "optional_open": True}, "extend"),
        ({"state": "suspended", **READY}, "resume"),
        ({"state": "suspended"}, "provision"),
        ({"wanted": "suspended"}, None),
        ({"wanted": "suspended", "state": "provisioning"}, "suspend"),
        ({"wanted": "suspended", "state": "active", **READY}, "suspend"),
        ({"wanted": "suspended", "state": "suspended", **READY}, None),
        ({"wanted": "suspended", "state": "suspended", "settled": False, **READY}, "suspend"),
        ({"wanted": "suspended", "state": "deleting", **READY}, "suspend"),
        ({"state": "active", "own_reasons": ["abuse"], **READY}, "suspend"),
        ({"wanted": "ended"}, "delete"),
        ({"wanted": "ended", "state": "failed", "failed_revision": 1}, "delete"),
        ({"removal_asked": True, "state": "active", **READY}, "delete"),
        ({"wanted": "ended", "state": "deleted"}, None),
        ({"wanted": "on", "state": "deleted"}, None),
    ],
)
def test_the_next_action_follows_from_the_level_and_the_state(said: dict[str, Any], action: str | None) -> None:
    assert next_action(install(**said)) == action


def test_every_action_leads_to_a_state_that_the_table_allows() -> None:
    for state, following in INSTALL.items():
        assert state not in following
        assert following <= set(INSTALL)
    assert not INSTALL["deleted"]
    assert not LINK["used"]
    assert not JOB["completed"]


def test_a_repeated_transition_is_harmless_and_an_impossible_one_refused() -> None:
    one = install(state="active")
    assert one.move_to("active", NOW) is False
    with pytest.raises(ImpossibleTransitionError):
        one.move_to("pending", NOW)
    job = Job(id=uuid4(), install_id=one.id, action="provision", revision=1, created_at=NOW, state="completed")
    with pytest.raises(ImpossibleTransitionError):
        job.move_to("processing", NOW)


def test_data_is_kept_only_where_there_ever_was_some() -> None:
    later = NOW + timedelta(days=30)
    assert install(delete_after=later).keeps_data_until(NOW) is None
    assert install(delete_after=later, **READY).keeps_data_until(NOW) == later
    assert install(delete_after=later, **READY).keeps_data_until(later) is None


def link(**said: Any) -> SetupLink:
    values: dict[str, Any] = {"state": "open", "created_at": NOW, "expires_at": NOW + timedelta(hours=24)}
    return SetupLink(id=uuid4(), install_id=uuid4(), number=1, token_hash="h", **values | said)


def test_an_open_link_is_seen_as_expired_after_its_time_and_a_claim_as_run_out() -> None:
    assert link().seen(NOW) == "open"
    assert link().seen(NOW + timedelta(hours=24)) == "expired"
    claimed = link(state="completing", claimed_until=NOW + timedelta(minutes=1))
    assert claimed.seen(NOW) == "completing"
    assert claimed.seen(NOW + timedelta(minutes=2)) == "open"
    applying = link(state="completing", claimed_until=NOW, operation={"call": 0, "operation": {}})
    assert applying.seen(NOW + timedelta(minutes=2)) == "completing"
    assert link(state="used").seen(NOW + timedelta(days=2)) == "used"


def test_a_used_link_stays_used() -> None:
    with pytest.raises(ImpossibleTransitionError):
        link(state="used").move_to("open")
