"""The engine against a fake target: what is wanted becomes what is there."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from keyturn.events import (
    InstallDeleted,
    InstallFailed,
    InstallPlanChanged,
    InstallReady,
    InstallRequested,
    InstallStepChanged,
    InstallSuspended,
    InstallWaiting,
    OperatorActed,
    OrphanFound,
    SetupLinkIssued,
)
from keyturn.sealing import KeyRing
from provisioner.resources.port import (
    Capacity,
    NeedsCustomer,
    NeedsOperator,
    NotReady,
    Permanent,
    Transient,
    UnknownResult,
)
from support.fake_target import World
from support.provisioning import MAIL_KEYS, Rig

pytestmark = pytest.mark.servers
SIZE = {"limits": {"size": "small"}}


async def bought(rig: Rig, blueprint: str = "shop", **said: Any) -> UUID:
    return await rig.bought(blueprint=blueprint, **SIZE | said)


async def ready(rig: Rig, blueprint: str = "shop", **said: Any) -> UUID:
    install = await bought(rig, blueprint, **said)
    await rig.until_state(install, "setup_pending", "active")
    return install


async def test_rule_9_an_install_is_ready_only_after_a_probe_answered(make_rig: Any, world: World) -> None:
    world.unwell.add("shop")
    rig = await make_rig()
    install = await bought(rig)
    waiting = await rig.until_told(install, InstallWaiting)
    assert (waiting.reason, waiting.step) == ("not_ready", "probe")
    assert await rig.state(install) == "provisioning"
    world.unwell.clear()
    rig.clock.move(timedelta(minutes=1))
    await rig.until_state(install, "setup_pending")
    assert len(await rig.events(install, InstallReady)) == 1


async def test_a_probe_that_answers_at_once_is_told_of_once(make_rig: Any, world: World) -> None:
    async def told(install: UUID) -> list[str]:
        return [event.status for event in await rig.events(install, InstallStepChanged) if event.step == "probe"]

    rig = await make_rig()
    assert await told(await ready(rig)) == ["completed"]
    hold = asyncio.Event()
    slow = world.next("thing", "probe", hold=hold)
    install = await bought(rig, "open")
    await asyncio.wait_for(slow.entered.wait(), 10)
    await rig.until_told(install, InstallStepChanged, 3)
    assert await told(install) == ["processing"]
    hold.set()
    await rig.until_state(install, "active")
    assert await told(install) == ["processing", "completed"]


async def test_what_somebody_changed_of_an_install_while_its_job_ended_is_kept(make_rig: Any, world: World) -> None:
    hold = asyncio.Event()
    probe = world.next("thing", "probe", hold=hold)
    rig = await make_rig()
    install = await bought(rig, "open")
    await asyncio.wait_for(probe.entered.wait(), 10)
    await rig.rows("UPDATE installs SET contact = '{}' WHERE id = $1", install)
    hold.set()
    await rig.until_state(install, "active")
    assert (await rig.one("SELECT contact FROM installs WHERE id = $1", install)).contact == {}


async def test_of_jobs_that_end_at_once_each_ends_once_whichever_was_overtaken(make_rig: Any, world: World) -> None:
    hold = asyncio.Event()
    probes = [world.next("thing", "probe", hold=hold) for _ in range(6)]
    rig = await make_rig()
    installs = [await bought(rig, "open") for _ in probes]
    for probe in probes:
        await asyncio.wait_for(probe.entered.wait(), 10)
    await rig.rows("UPDATE installs SET contact = '{}' WHERE id = ANY($1::uuid[])", installs[::2])
    hold.set()
    for install in installs:
        await rig.until_state(install, "active")
        assert len(await rig.events(install, InstallReady)) == 1
    found = await rig.rows("SELECT contact FROM installs WHERE contact = '{}' AND id = ANY($1::uuid[])", installs)
    assert len(found) == len(installs) // 2


async def test_what_somebody_changes_of_an_install_while_its_job_begins_is_kept(make_rig: Any) -> None:
    rig = await make_rig()
    install = await ready(rig, "open")
    await rig.rows("UPDATE installs SET repair = true, revision = revision + 1 WHERE id = $1", install)
    async with rig.service.database.transaction("changing") as changing:
        await changing.run("UPDATE installs SET contact = '{}' WHERE id = $1", install)
        async with rig.service.database.transaction("asking") as asking:
            asking.schedule("job", str(install), subject=str(install))

        async def begins() -> bool:
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            return bool(await rig.rows(waiting))

        await rig.wait_until(begins, 10)
    await rig.quiet(install)
    found = await rig.one("SELECT contact, repair FROM installs WHERE id = $1", install)
    assert (found.contact, found.repair) == ({}, False)


async def test_independent_steps_run_side_by_side_and_dependent_ones_in_order(make_rig: Any, world: World) -> None:
    hold = asyncio.Event()
    network = world.next("network", "ensure", hold=hold)
    database = world.next("database", "ensure", hold=hold)
    rig = await make_rig()
    install = await bought(rig)
    await asyncio.wait_for(asyncio.gather(network.entered.wait(), database.entered.wait()), 10)
    assert ("shop", "ensure") not in world.calls
    hold.set()
    await rig.until_state(install, "setup_pending")
    assert world.calls.index(("shop", "ensure")) == 2


async def test_an_older_entitlement_changes_nothing(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = uuid4()
    await rig.entitle(install, 5, blueprint="open", **SIZE)
    await rig.until_state(install, "active")
    before = len(await rig.events(install))
    await rig.entitle(install, 4, wanted="ended")
    await rig.entitle(install, 5, wanted="ended")
    await rig.quiet(install)
    assert (await rig.state(install), len(await rig.events(install))) == ("active", before)


async def test_a_newer_entitlement_supersedes_the_job_at_the_next_step_boundary(make_rig: Any, world: World) -> None:
    hold = asyncio.Event()
    network = world.next("network", "ensure", hold=hold)
    rig = await make_rig()
    install = await bought(rig)
    await asyncio.wait_for(network.entered.wait(), 10)
    await rig.entitle(install, 2, wanted="ended", blueprint="shop", **SIZE)
    hold.set()
    await rig.until_state(install, "deleted")
    assert ("shop", "ensure") not in world.calls
    assert world.of(install) == {}
    assert not await rig.events(install, InstallReady)
    states = [row.state for row in await rig.rows("SELECT state FROM jobs ORDER BY created_at")]
    assert states == ["cancelled", "completed"]


async def test_a_changed_plan_is_ensured_with_its_new_parameters(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig, "open")
    await rig.entitle(install, 2, blueprint="open", plan="big", limits={"size": "big"})
    await rig.until_told(install, InstallPlanChanged)
    assert world.of(install)["thing"].size == "big"
    assert world.creations[f"{install}/thing"] == 1


async def test_suspending_goes_in_reverse_and_resuming_forward(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig)
    world.calls.clear()
    await rig.entitle(install, 2, wanted="suspended", reasons=["nonpayment"], blueprint="shop", **SIZE)
    suspended = await rig.until_told(install, InstallSuspended)
    assert (await rig.state(install), suspended.reasons) == ("suspended", ["nonpayment"])
    assert world.calls[0] == ("shop", "suspend")
    assert not any(thing.up for thing in world.of(install).values())
    world.calls.clear()
    await rig.entitle(install, 3, blueprint="shop", **SIZE)
    await rig.until_state(install, "setup_pending")
    assert [c for c in world.calls if c[1] == "resume"][-1] == ("shop", "resume")
    assert all(thing.up for thing in world.of(install).values())
    assert "install.resumed" in await rig.told(install)


async def test_neither_side_lifts_the_others_suspension(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig, "open")
    path = f"/internal/installs/{install}"
    await rig.ask("POST", f"{path}/suspend", {"reason": "spam", "own_reason": "abuse"})
    await rig.until_state(install, "suspended")
    await rig.entitle(install, 2, blueprint="open", **SIZE)
    await rig.quiet(install)
    assert await rig.state(install) == "suspended"
    await rig.entitle(install, 3, wanted="suspended", reasons=["dispute"], blueprint="open", **SIZE)
    await rig.ask("POST", f"{path}/resume", {"reason": "cleaned", "own_reason": "abuse"})
    await rig.quiet(install)
    assert await rig.state(install) == "suspended"
    await rig.entitle(install, 4, blueprint="open", **SIZE)
    await rig.until_state(install, "active")


async def test_an_install_suspended_before_it_was_ready_is_held_and_then_goes_on(make_rig: Any, world: World) -> None:
    hold = asyncio.Event()
    network = world.next("network", "ensure", hold=hold)
    rig = await make_rig()
    install = await bought(rig)
    await asyncio.wait_for(network.entered.wait(), 10)
    await rig.entitle(install, 2, wanted="suspended", reasons=["dispute"], blueprint="shop", **SIZE)
    hold.set()
    await rig.until_state(install, "suspended")
    assert not await rig.events(install, InstallReady)
    await rig.entitle(install, 3, blueprint="shop", **SIZE)
    await rig.until_state(install, "setup_pending")
    assert all(thing.up for thing in world.of(install).values())
    assert set(world.creations.values()) == {1}


async def test_rule_14_deleting_keeps_the_data_for_its_time_and_ends_with_proof(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig)
    until = rig.clock.now() + timedelta(days=30)
    await rig.entitle(install, 2, wanted="ended", delete_after=until, blueprint="shop", **SIZE)
    await rig.until_state(install, "deleting")
    assert {thing.data for thing in world.of(install).values()} == {1}
    assert not any(thing.up for thing in world.of(install).values())
    del world.things[f"{install}/database"]  # somebody removed it by hand: that is done, too
    rig.clock.move(timedelta(days=31))
    await rig.until_state(install, "deleted")
    proof = (await rig.until_told(install, InstallDeleted)).proof
    assert {(gone.resource, gone.outcome) for gone in proof} == {
        ("network", "deleted"),
        ("database", "not_found"),
        ("shop", "deleted"),
    }
    assert world.of(install) == {}
    assert not await rig.rows("SELECT 1 FROM secrets WHERE install_id = $1", install)
    assert not await rig.rows("SELECT 1 FROM names WHERE owner = $1", install)


async def test_an_ended_install_comes_back_with_its_data_while_that_is_kept(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig, "open")
    until = rig.clock.now() + timedelta(days=30)
    await rig.entitle(install, 2, wanted="ended", delete_after=until, blueprint="open", **SIZE)
    await rig.until_state(install, "deleting")
    await rig.entitle(install, 3, blueprint="open", **SIZE)
    await rig.until_state(install, "active")
    assert world.of(install)["thing"].up
    assert world.creations[f"{install}/thing"] == 1


@pytest.mark.parametrize("name", ["network", "database", "shop"])
async def test_rule_10_a_permanent_failure_at_any_step_leaves_nothing_behind(
    make_rig: Any, world: World, name: str
) -> None:
    world.always(name, "ensure", before=Permanent("no such image"))
    rig = await make_rig()
    install = await bought(rig)
    await rig.until_state(install, "failed")
    failures = await rig.events(install, InstallFailed)
    assert [(f.step, f.message) for f in failures] == [(name, "no such image")]
    assert world.of(install) == {}
    told = [e.wire if not isinstance(e, InstallStepChanged) else e.status for e in await rig.events(install)]
    assert told.index("install.failed.v1") < told.index("undone")
    assert not await rig.rows("SELECT 1 FROM resources WHERE install_id = $1 AND state <> 'gone'", install)


async def test_rule_10_what_cannot_be_undone_is_listed_and_tried_again(make_rig: Any, world: World) -> None:
    world.always("shop", "ensure", before=Permanent("no"))
    world.always("network", "destroy", before=Permanent("in use"))
    rig = await make_rig()
    install = await bought(rig)
    orphan = await rig.until_told(install, OrphanFound)
    await rig.until_state(install, "failed")
    assert (orphan.resource, orphan.message) == ("network", "in use")
    listed = (await rig.ask("GET", "/internal/orphans", role="viewer")).json()["items"]
    assert [item["name"] for item in listed] == ["network"]
    world.relent()
    rig.clock.move(timedelta(hours=1))
    await rig.quiet(install)
    assert world.of(install) == {}
    assert (await rig.ask("GET", "/internal/orphans", role="viewer")).json()["items"] == []


async def test_a_failed_install_is_retried_by_an_operator_and_by_nobody_else(make_rig: Any, world: World) -> None:
    world.next("shop", "ensure", before=Permanent("quota"))
    rig = await make_rig()
    install = await bought(rig)
    await rig.until_state(install, "failed")
    rig.clock.move(timedelta(days=1))
    await rig.quiet(install)
    assert await rig.state(install) == "failed"
    answer = await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "quota raised"})
    assert answer.status_code == 200
    await rig.until_state(install, "setup_pending")


async def test_transient_failures_are_retried_up_to_the_policy_then_fail_once(make_rig: Any, world: World) -> None:
    world.always("network", "ensure", before=Transient("away"))
    rig = await make_rig()
    install = await bought(rig)
    await rig.until_state(install, "failed")
    assert world.calls.count(("network", "ensure")) == 3
    failed = await rig.events(install, InstallFailed)
    assert [f.attempts for f in failed] == [3]


@pytest.mark.parametrize(
    ("error", "reason", "returns_by_itself"),
    [
        (Capacity("full"), "capacity", True),
        (NotReady("starting"), "not_ready", True),
        (NeedsOperator("bad token"), "needs_operator", False),
        (NeedsCustomer("no CNAME"), "needs_customer", False),
        (UnknownResult("no answer"), "unknown_result", False),
    ],
)
async def test_a_wait_has_its_reason_and_holds_no_worker(
    make_rig: Any, world: World, error: Exception, reason: str, returns_by_itself: bool
) -> None:
    world.always("thing", "ensure", before=error)
    rig = await make_rig()
    install = await bought(rig, "open")
    waiting = await rig.until_told(install, InstallWaiting)
    assert (waiting.reason, waiting.until is not None) == (reason, returns_by_itself)
    await rig.quiet(install)
    world.relent()
    rig.clock.move(timedelta(minutes=2))
    if not returns_by_itself:
        await rig.quiet(install)
        assert await rig.state(install) == "provisioning"
        await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "mended"})
    await rig.until_state(install, "active")
    job = await rig.one("SELECT due, reason FROM jobs WHERE state = 'completed'")
    assert (job.due, job.reason) == (None, None)


async def test_waiting_for_capacity_is_told_once_however_long_it_lasts(make_rig: Any, world: World) -> None:
    world.always("thing", "ensure", before=Capacity("full"))
    rig = await make_rig()
    install = await bought(rig, "open")
    for _ in range(3):
        await rig.quiet(install)
        rig.clock.move(timedelta(minutes=1))
    await rig.quiet(install)
    assert len(await rig.events(install, InstallWaiting)) == 1


OPTIONAL = """
name: domains
resources:
  thing: {type: fake.thing}
  certificate: {type: fake.thing, optional: true, after: "{thing.address}"}
  extra: {type: fake.thing, when: "{purchase.domain}"}
"""


async def test_what_is_optional_goes_on_after_the_install_is_ready(make_rig: Any, world: World) -> None:
    world.always("certificate", "ensure", before=NotReady("validating", after=timedelta(hours=1)))
    rig = await make_rig(OPTIONAL)
    install = await bought(rig, "domains")
    await rig.until_state(install, "active")
    assert (await rig.until_told(install, InstallWaiting)).action == "extend"
    world.relent()
    rig.clock.move(timedelta(hours=2))

    async def there() -> bool:
        return "certificate" in world.of(install)

    await rig.wait_until(there)
    await rig.quiet(install)
    assert len(await rig.events(install, InstallReady)) == 1
    assert [e.action for e in await rig.events(install, InstallRequested)] == ["provision", "extend"]


async def test_when_leaves_a_resource_out(make_rig: Any, world: World) -> None:
    rig = await make_rig(OPTIONAL)
    without = await ready(rig, "domains")
    with_domain = await ready(rig, "domains", parameters={"domain": "jane.example.com"})
    assert "extra" not in world.of(without)
    assert "extra" in world.of(with_domain)


async def test_a_target_that_takes_one_at_a_time_gets_one_at_a_time(make_rig: Any, world: World) -> None:
    rig = await make_rig("name: narrow\nresources:\n  only: {type: fake.narrow}\n")
    installs = [await bought(rig, "narrow") for _ in range(4)]

    async def all_active() -> bool:
        rig.clock.move(timedelta(seconds=1))
        return {await rig.state(install) for install in installs} == {"active"}

    await rig.wait_until(all_active, 20)
    assert world.most_running == 1
    assert not await rig.rows("SELECT 1 FROM slots")


PANEL = """
name: panel
resources:
  account: {type: fake.thing, secret: "{random.password}"}
outputs: {admin_url: "https://{install.hostname}:2083/"}
credentials: generated
"""


async def test_generated_credentials_travel_sealed_in_the_setup_mails_event(make_rig: Any, world: World) -> None:
    rig = await make_rig(PANEL)
    install = await bought(rig, "panel")
    await rig.until_state(install, "active")
    issued = await rig.until_told(install, SetupLinkIssued)
    assert issued.credentials is not None
    ring = KeyRing.from_text(MAIL_KEYS)
    password = ring.open(issued.credentials, place=(SetupLinkIssued.wire, str(install), "credentials"))
    assert password == world.of(install)["account"].secret
    assert (await rig.told(install))[-2:] == ["setup_link.issued", "install.activated"]


LEFT_OUT = """
name: panel
resources:
  site: {type: fake.thing}
  account: {type: fake.thing, secret: "{random.password}", when: "{purchase.domain}"}
outputs: {}
credentials: generated
"""


async def test_where_no_resource_is_given_a_password_there_is_none_to_tell(make_rig: Any, world: World) -> None:
    rig = await make_rig(LEFT_OUT)
    install = await bought(rig, "panel")
    await rig.until_state(install, "active")
    await rig.quiet(install)
    assert "setup_link.issued" not in await rig.told(install)
    assert world.of(install).keys() == {"site"}


async def test_a_plan_change_that_fails_keeps_the_install_and_is_told_once(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig, "open")
    world.always("thing", "ensure", before=Permanent("no such size"))
    await rig.entitle(install, 2, blueprint="open", plan="big", limits={"size": "big"})
    failed = await rig.until_told(install, InstallFailed)
    await rig.quiet(install)
    assert (failed.action, await rig.state(install)) == ("change_plan", "active")
    assert world.of(install)["thing"].up
    world.relent()
    await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "size exists now"})
    await rig.until_told(install, InstallPlanChanged)


async def test_a_plan_change_that_is_taken_back_halfway_is_taken_back(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig)
    hold = asyncio.Event()
    held = world.next("shop", "ensure", hold=hold)
    await rig.entitle(install, 2, blueprint="shop", plan="big", limits={"size": "big"})
    await asyncio.wait_for(held.entered.wait(), 10)
    await rig.entitle(install, 3, blueprint="shop", **SIZE)
    hold.set()
    await rig.until_told(install, InstallPlanChanged)
    await rig.quiet(install)
    assert {thing.size for name, thing in world.of(install).items() if name != "database"} == {"small"}


async def test_what_cannot_be_deleted_is_parked_and_never_called_deleted(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig)
    world.always("network", "destroy", before=Permanent("in use"))
    await rig.entitle(install, 2, wanted="ended", blueprint="shop", **SIZE)
    await rig.until_told(install, OrphanFound)
    await rig.quiet(install)
    assert set(world.of(install)) == {"network"}
    assert await rig.state(install) == "deleting"
    world.relent()
    await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "freed"})
    await rig.until_state(install, "deleted")
    assert world.of(install) == {}


async def test_an_install_tells_operators_its_job_steps_and_history(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig)
    shown = (await rig.ask("GET", f"/internal/installs/{install}", role="viewer")).json()
    assert [(s["name"], s["status"]) for s in shown["steps"]][-1] == ("probe", "completed")
    assert {r["name"] for r in shown["resources"]} == {"network", "database", "shop"}
    assert shown["history"][0]["what"] == "job_completed"
    listed = (await rig.ask("GET", "/internal/installs?limit=1&status=setup_pending", role="viewer")).json()
    assert [item["id"] for item in listed["items"]] == [str(install)]
    assert (
        await rig.ask("POST", f"/internal/installs/{install}/delete", {"reason": "x"}, role="operator")
    ).status_code == 403
    assert (await rig.ask("GET", "/internal/installs", role="customer")).status_code == 403


async def test_an_operators_act_is_told_with_what_it_changed(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await ready(rig, "open")
    for _ in range(2):
        await rig.ask("POST", f"/internal/installs/{install}/suspend", {"reason": "spam"})
    await rig.until_state(install, "suspended")
    acted = await rig.events(install, OperatorActed)
    assert [(a.action, a.reason, a.after["reasons"]) for a in acted] == [("install.suspend", "spam", ["operator"])]


async def test_a_status_that_no_install_has_is_refused_and_not_taken_for_an_empty_list(make_rig: Any) -> None:
    rig = await make_rig()
    install = await ready(rig, "open")
    (listed,) = (await rig.ask("GET", "/internal/installs?status=active")).json()["items"]
    assert listed["id"] == str(install)
    refused = await rig.ask("GET", "/internal/installs?status=mistyped")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"][0]["field"] == "status"
