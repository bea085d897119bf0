"""Which installs do not fit what their customers are entitled to."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from keyturn.events import EntitlementsListed, Listed
from provisioner.auditing import compared
from provisioner.repository.auditing import Standing

NOW = datetime(2027, 1, 1, tzinfo=UTC)
ID = UUID(int=7)
LONG_AGO = NOW - timedelta(days=30)


def listed(*wanted: str, **changes: Any) -> EntitlementsListed:
    said = {"purchase_id": str(ID), "version": 2, "since": LONG_AGO} | changes
    items = [Listed(**said, wanted=one) for one in wanted]
    return EntitlementsListed(
        subject="audit:1", time=NOW, run_id="1", page="page 0:", after=str(UUID(int=0)), items=items
    )


def install(state: str, **changes: Any) -> Standing:
    said: dict[str, Any] = {
        "id": ID,
        "version": 2,
        "state": state,
        "delete_after": None,
        "created_at": LONG_AGO,
        "held": False,
    }
    return Standing(**said | changes)


@pytest.mark.parametrize(
    ("wanted", "state", "what"),
    [
        ("on", "active", None),
        ("on", "setup_pending", None),
        ("on", "provisioning", None),  # a job waits, and operators know of it
        ("on", "suspended", "paid_but_off"),
        ("on", "failed", "paid_but_off"),
        ("on", "deleted", "paid_but_off"),
        ("suspended", "suspended", None),
        ("suspended", "active", "suspended_but_running"),
        ("suspended", "setup_pending", "suspended_but_running"),
        ("ended", "deleting", None),
        ("ended", "deleted", None),
        ("ended", "active", "ended_but_running"),
    ],
)
def test_an_install_is_compared_with_what_is_wanted(wanted: str, state: str, what: str | None) -> None:
    assert list(compared(listed(wanted), [install(state)])) == ([(ID, what)] if what else [])


def test_what_is_missing_or_nobodys_or_behind() -> None:
    assert list(compared(listed("on"), [])) == [(ID, "install_missing")]
    assert list(compared(listed("ended"), [])) == []
    assert list(compared(listed(), [install("active")])) == [(ID, "install_without_payment")]
    assert list(compared(listed(), [install("deleted")])) == []
    assert list(compared(listed("on"), [install("active", version=1)])) == [(ID, "install_behind")]
    assert list(compared(listed("on"), [install("active", version=3)])) == [(ID, "install_ahead")]


def test_what_an_operator_holds_is_as_it_should_be() -> None:
    assert list(compared(listed("on"), [install("suspended", held=True)])) == []


def test_a_change_has_a_quarter_of_an_hour_and_a_deletion_a_day() -> None:
    just_now = NOW - timedelta(minutes=14)
    assert list(compared(listed("on", since=just_now), [])) == []
    assert list(compared(listed(), [install("active", created_at=just_now)])) == []
    for ago, found in ((timedelta(hours=23), []), (timedelta(hours=25), [(ID, "ended_but_there")])):
        assert list(compared(listed("ended"), [install("deleting", delete_after=NOW - ago)])) == found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"action": "change_plan", "parked": True, "begun_at": NOW}, True),
        ({"action": "change_plan", "begun_at": NOW - timedelta(hours=25)}, True),
        ({"action": "change_plan", "begun_at": NOW - timedelta(hours=1)}, False),  # under way
        ({"action": "extend", "parked": True, "begun_at": LONG_AGO}, False),
    ],
)
def test_a_change_of_plan_that_waits_for_somebody_or_for_days_is_told(changes: dict[str, Any], told: bool) -> None:
    found = list(compared(listed("on"), [install("active", **changes)]))
    assert found == ([(ID, "plan_not_followed")] if told else [])
