"""Which steps a job has, and what each of them needs."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from provisioner.blueprints import Plan
from provisioner.engine import planning
from provisioner.records import Record

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSTALL = uuid4()


def plan(name: str, *needs: str, optional: bool = False) -> Plan:
    return Plan(name, "fake.thing", {}, needs, optional, None)


def record(name: str, *needs: str, state: Any = "present", **said: Any) -> Record:
    values: dict[str, Any] = {
        "position": 0,
        "optional": False,
        "parameters": {},
        "customer_named": [],
        "present_at": NOW,
    }
    return Record(INSTALL, name, "fake.thing", state=state, needs=list(needs), intended_at=NOW, **values | said)


def shape(planned: list[planning.Planned]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.operation, one.name, one.needs) for one in planned]


SHOP = {p.name: p for p in (plan("db"), plan("shop", "db"), plan("cert", "shop", optional=True))}


def test_provisioning_ensures_what_is_required_and_probes_last() -> None:
    assert shape(planning.making("provision", SHOP, [])) == [
        ("ensure", "db", ()),
        ("ensure", "shop", ("db",)),
        ("probe", "probe", ("db", "shop")),
    ]


def test_extending_makes_what_is_optional_and_not_there_yet() -> None:
    records = [record("db"), record("shop", "db")]
    assert shape(planning.making("extend", SHOP, records)) == [("ensure", "cert", ())]
    assert planning.making("extend", SHOP, [*records, record("cert", "shop", optional=True)]) == []


def test_a_plan_change_keeps_what_is_optional_and_removes_what_is_no_longer_wanted_at_the_end() -> None:
    records = [record("db"), record("shop", "db"), record("cert", "shop", optional=True), record("old", "db")]
    assert shape(planning.making("change_plan", SHOP, records)) == [
        ("ensure", "db", ()),
        ("ensure", "shop", ("db",)),
        ("ensure", "cert", ("shop",)),
        ("destroy", "old", ("db", "shop", "cert")),
        ("probe", "probe", ("db", "shop")),
    ]


def test_suspending_and_removing_begin_with_what_others_do_not_need() -> None:
    records = [record("db"), record("shop", "db"), record("gone", "db", state="gone")]
    assert shape(planning.suspending(records)) == [("suspend", "shop", ()), ("suspend", "db", ("shop",))]
    assert shape(planning.removing(records)) == [("destroy", "shop", ()), ("destroy", "db", ("shop",))]


def test_resuming_goes_forward_and_probes() -> None:
    records = [record("db", state="suspended"), record("shop", "db", state="suspended")]
    assert shape(planning.resuming(records)) == [
        ("resume", "db", ()),
        ("resume", "shop", ("db",)),
        ("probe", "probe", ("db", "shop")),
    ]
