"""What a crash, a lost lease or a second replica may not do: create twice, lose a resource, or write anything."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from keyturn.events import InstallReady, InstallStepChanged, InstallWaiting
from provisioner.repository import installs
from provisioner.resources.port import NeedsOperator, Permanent
from support.fake_target import Crash, World
from support.provisioning import Rig

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("name", ["network", "database", "shop"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_rule_8_a_crash_around_a_call_never_creates_twice(
    make_rig: Any, world: World, name: str, when: str
) -> None:
    world.next(name, "ensure", **{when: Crash()})
    rig = await make_rig()
    install = await rig.bought(blueprint="shop", limits={"size": "small"})
    await _until_crashed(rig, install, world, name)
    await _expire_leases(rig)
    await rig.until_state(install, "setup_pending")
    assert set(world.creations.values()) == {1}
    assert set(world.of(install)) == {"network", "database", "shop"}
    assert len(await rig.events(install, InstallReady)) == 1


@pytest.mark.parametrize("operation", ["suspend", "destroy"])
async def test_rule_8_a_crash_while_suspending_or_deleting_is_gone_on_with(
    make_rig: Any, world: World, operation: str
) -> None:
    rig = await make_rig()
    install = await rig.bought(blueprint="shop", limits={"size": "small"})
    await rig.until_state(install, "setup_pending")
    world.next("shop", operation, after=Crash())
    wanted = "suspended" if operation == "suspend" else "ended"
    await rig.entitle(install, 2, wanted=wanted, blueprint="shop", limits={"size": "small"})
    await _until_crashed(rig, install, world, "shop", operation)
    await _expire_leases(rig)
    await rig.until_state(install, "suspended" if operation == "suspend" else "deleted")
    await rig.quiet(install)
    assert not any(thing.up for thing in world.of(install).values())


async def test_rule_10_a_job_whose_work_died_says_that_it_needs_an_operator_and_goes_on_with_one(
    make_rig: Any, world: World
) -> None:
    world.next("narrow", "ensure", before=Crash())
    rig = await make_rig("name: narrow\nresources:\n  narrow: {type: fake.narrow}\n")
    install = await rig.bought(blueprint="narrow", limits={"size": "small"})
    await _until_crashed(rig, install, world, "narrow")
    await rig.rows("UPDATE work SET attempts = 30 WHERE kind = 'job'")
    await _expire_leases(rig)
    waiting = await rig.until_told(install, InstallWaiting)
    assert (waiting.reason, waiting.until) == ("needs_operator", None)
    job = await rig.one("SELECT state, reason FROM jobs")
    assert (job.state, job.reason) == ("pending", "needs_operator")
    assert await rig.rows("SELECT 1 FROM slots") == []
    await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "mended"})
    await rig.until_state(install, "active")
    assert set(world.creations.values()) == {1}


async def test_rule_16_a_clean_up_whose_work_died_keeps_no_place_at_its_target(make_rig: Any, world: World) -> None:
    world.always("narrow", "ensure", after=Permanent("no"))
    world.always("narrow", "destroy", before=Permanent("in use"))
    rig = await make_rig("name: narrow\nresources:\n  narrow: {type: fake.narrow}\n")
    install = await rig.bought(blueprint="narrow", limits={"size": "small"})
    await rig.until_state(install, "failed")
    world.relent()
    world.calls.clear()
    world.next("narrow", "destroy", before=Crash())
    rig.clock.move(timedelta(hours=1))
    await _until_crashed(rig, install, world, "narrow", "destroy")
    assert await rig.rows("SELECT 1 FROM slots")
    await rig.rows("UPDATE work SET attempts = 30 WHERE kind = 'job'")
    await _expire_leases(rig)
    await rig.quiet(install)
    assert await rig.rows("SELECT 1 FROM slots") == []


async def test_rule_16_what_a_target_says_may_hold_any_character(make_rig: Any, world: World) -> None:
    world.next("thing", "ensure", before=NeedsOperator("it said \x00 and \ud800"))
    rig = await make_rig()
    install = await rig.bought(blueprint="open", limits={"size": "small"})
    assert "it said" in (await rig.until_told(install, InstallWaiting)).detail
    await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "mended"})
    await rig.until_state(install, "active")


async def test_rule_11_a_worker_that_lost_its_lease_in_the_middle_of_a_step_writes_nothing(
    make_rig: Any, world: World
) -> None:
    hold = asyncio.Event()
    held = world.next("thing", "ensure", hold=hold)
    first = await make_rig()
    install = await first.bought(blueprint="open", limits={"size": "small"})
    await asyncio.wait_for(held.entered.wait(), 10)
    await first.rows("UPDATE work SET fence = fence + 1, leased_until = NULL, worker = NULL WHERE kind = 'job'")
    await make_rig()  # another replica takes over
    await first.until_state(install, "active")
    before = await _written(first)
    hold.set()
    for _ in range(20):
        await asyncio.sleep(0)
    await first.quiet(install)
    assert await _written(first) == before
    completed = [e for e in await first.events(install, InstallStepChanged) if e.status == "completed"]
    assert [e.step for e in completed] == ["thing", "probe"]


async def test_rule_8_a_job_under_way_in_one_replica_is_left_alone_by_the_others(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    await make_rig()
    installs = [await rig.bought(blueprint="shop", limits={"size": "small"}) for _ in range(5)]
    for install in installs:
        await rig.until_state(install, "setup_pending")
    assert set(world.creations.values()) == {1}
    jobs = await rig.one("SELECT count(*) AS n FROM jobs")
    assert jobs.n == len(installs)


async def test_rule_16_one_bad_install_does_not_stop_the_others(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    bad = await rig.bought(blueprint="unheard-of")
    good = await rig.bought(blueprint="open", limits={"size": "small"})
    await rig.until_state(good, "active")
    job = await rig.one("SELECT state, reason FROM jobs WHERE install_id = $1", bad)
    assert (job.state, job.reason) == ("pending", "needs_operator")


async def test_rule_16_an_install_that_somebody_holds_keeps_no_other_waiting(make_rig: Any) -> None:
    rig = await make_rig()
    held = await rig.bought(blueprint="open", limits={"size": "small"})
    await rig.until_state(held, "active")
    await rig.rows("UPDATE installs SET repair = true, revision = revision + 1 WHERE id = $1", held)
    async with rig.service.database.transaction("holding") as holding:
        await installs.locked(holding, held)
        await rig.rows("UPDATE work SET state = 'open', due = $2 WHERE key = $1", str(held), rig.clock.now())
        await rig.wait_until(partial(_waits_for_a_lock, rig), 10)
        other = await rig.bought(blueprint="open", limits={"size": "small"})
        await rig.until_state(other, "active")
        work = await rig.one("SELECT history FROM work WHERE key = $1", str(held))
    assert work.history == []  # it waits by itself, and was not given up meanwhile
    await rig.quiet(held)
    assert not (await rig.one("SELECT repair FROM installs WHERE id = $1", held)).repair


async def test_rule_17_recorded_parameters_notes_and_events_hold_no_secret(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await rig.bought(blueprint="shop", limits={"size": "small"})
    await rig.until_state(install, "setup_pending")
    secret = world.of(install)["database"].secret
    assert secret is not None
    assert len(secret) >= 43
    rows = await rig.rows("SELECT r::text AS line FROM resources r UNION ALL SELECT s::text FROM secrets s")
    bodies = await rig.rows("SELECT convert_from(body, 'UTF8') AS line FROM outbox")
    told = "".join(row.line for row in [*rows, *bodies])
    assert secret not in told
    assert "key-of-database" not in told
    assert '"$ref": "random.db"' in told.replace('""', '"')


async def _until_crashed(rig: Rig, install: object, world: World, name: str, operation: str = "ensure") -> None:
    async def called() -> bool:
        return (name, operation) in world.calls

    await rig.wait_until(called)
    for _ in range(50):
        await asyncio.sleep(0)


async def _expire_leases(rig: Rig) -> None:
    """The dead process's lease runs out."""
    await rig.rows("UPDATE work SET leased_until = now() - interval '1 second' WHERE leased_until IS NOT NULL")
    rig.clock.move(timedelta(seconds=1))


async def _written(rig: Rig) -> list[Any]:
    resources = await rig.rows("SELECT r::text AS line FROM resources r ORDER BY name")
    steps = await rig.rows("SELECT s::text AS line FROM steps s ORDER BY position")
    events = await rig.rows("SELECT id FROM outbox ORDER BY id")
    return [[row[0] for row in rows] for rows in (resources, steps, events)]


async def _waits_for_a_lock(rig: Rig) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(await rig.rows(waiting))
