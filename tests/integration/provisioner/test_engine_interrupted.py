"""What a job leaves half done, because it failed, crashed or was superseded: the next one finds and finishes it."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from keyturn.events import InstallFailed, OrphanFound
from provisioner.resources.port import Permanent
from support.fake_target import Crash, World
from support.provisioning import Rig

pytestmark = pytest.mark.servers
SMALL = {"limits": {"size": "small"}}


async def test_what_an_interrupted_suspension_stopped_is_started_when_that_is_lifted(
    make_rig: Any, world: World
) -> None:
    rig = await make_rig()
    install = await _ready(rig)
    world.next("shop", "suspend", after=Crash())
    await rig.entitle(install, 2, wanted="suspended", blueprint="shop", **SMALL)
    await _crashed(rig, world, "shop", "suspend")
    await rig.entitle(install, 3, blueprint="shop", **SMALL)
    await _expire_leases(rig)
    await rig.until_state(install, "setup_pending")
    assert all(thing.up for thing in world.of(install).values())


async def test_rule_15_what_an_interrupted_resumption_started_is_stopped_when_that_is_taken_back(
    make_rig: Any, world: World
) -> None:
    rig = await make_rig()
    install = await _ready(rig)
    await rig.entitle(install, 2, wanted="suspended", blueprint="shop", **SMALL)
    await rig.until_state(install, "suspended")
    world.next("network", "resume", after=Crash())
    await rig.entitle(install, 3, blueprint="shop", **SMALL)
    await _crashed(rig, world, "network", "resume")
    await rig.entitle(install, 4, wanted="suspended", blueprint="shop", **SMALL)
    await _expire_leases(rig)
    await rig.quiet(install)
    assert await rig.state(install) == "suspended"
    assert not any(thing.up for thing in world.of(install).values())


async def test_what_an_interrupted_deletion_stopped_is_started_when_that_is_taken_back(
    make_rig: Any, world: World
) -> None:
    rig = await make_rig()
    install = await _ready(rig)
    world.next("shop", "destroy", before=Crash())
    await rig.entitle(install, 2, wanted="ended", blueprint="shop", **SMALL)
    await _crashed(rig, world, "shop", "destroy")
    world.of(install)["shop"].up = False  # so far it had come
    await rig.entitle(install, 3, blueprint="shop", **SMALL)
    await _expire_leases(rig)
    await rig.until_state(install, "setup_pending")
    assert all(thing.up for thing in world.of(install).values())


async def test_what_an_undo_stopped_and_could_not_remove_is_started_by_a_retry(make_rig: Any, world: World) -> None:
    world.always("shop", "ensure", before=Permanent("no"))
    world.always("network", "destroy", before=Permanent("in use"))
    rig = await make_rig()
    install = await rig.bought(blueprint="shop", **SMALL)
    await rig.until_state(install, "failed")
    world.of(install)["network"].up = False
    world.relent()
    await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "mended"})
    await rig.until_state(install, "setup_pending")
    assert all(thing.up for thing in world.of(install).values())


async def test_rule_10_what_a_failed_plan_change_could_not_remove_is_tried_again(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await _ready(rig)
    world.always("network", "destroy", before=Permanent("in use"))
    await rig.entitle(install, 2, blueprint="open", plan="other", **SMALL)
    await rig.until_told(install, InstallFailed)
    await rig.quiet(install)
    assert "network" in world.of(install)
    world.relent()
    rig.clock.move(timedelta(hours=1))
    await rig.quiet(install)
    assert "network" not in world.of(install)


async def test_rule_10_a_job_in_between_does_not_end_the_tries_to_remove_an_orphan(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await _ready(rig)
    world.always("network", "destroy", before=Permanent("in use"))
    await rig.entitle(install, 2, blueprint="open", plan="other", **SMALL)
    await rig.until_told(install, OrphanFound)
    await rig.quiet(install)
    await rig.entitle(install, 3, wanted="suspended", blueprint="open", plan="other", **SMALL)
    await rig.until_state(install, "suspended")
    world.relent()
    rig.clock.move(timedelta(hours=7))
    await rig.quiet(install)
    assert "network" not in world.of(install)


async def test_an_install_that_fails_before_its_first_resource_has_failed(make_rig: Any, world: World) -> None:
    rig = await make_rig("name: wrong\nresources:\n  thing: {type: fake.thing, count: '{plan.size}'}\n")
    install = await rig.bought(blueprint="wrong", **SMALL)
    await rig.until_state(install, "failed")
    assert (await rig.one("SELECT state FROM jobs")).state == "failed"
    assert not await rig.rows("SELECT 1 FROM resources")


async def test_what_a_job_has_tried_to_remove_already_is_not_removed_a_second_time_by_its_undo(
    make_rig: Any, world: World
) -> None:
    hold = asyncio.Event()
    held = world.next("database", "ensure", hold=hold)
    world.always("network", "destroy", before=Permanent("in use"))
    rig = await make_rig()
    install = await rig.bought(blueprint="shop", **SMALL)
    await asyncio.wait_for(held.entered.wait(), 10)
    await rig.entitle(install, 2, blueprint="open", **SMALL)
    hold.set()
    await rig.until_state(install, "failed")
    assert set(world.of(install)) == {"network"}
    assert [orphan.resource for orphan in await rig.events(install, OrphanFound)] == ["network"]
    tried = await rig.rows("SELECT state FROM steps WHERE name = 'network' AND operation = 'destroy'")
    assert [step.state for step in tried] == ["failed"]


async def test_what_an_undo_removes_goes_before_what_it_needs_also_where_it_was_surplus(
    make_rig: Any, world: World
) -> None:
    world.always("broken", "ensure", before=Permanent("no"))
    hold = asyncio.Event()
    held = world.next("shop", "ensure", hold=hold)
    network, shop = "  network: {type: fake.thing}\n", "  shop: {type: fake.thing, after: '{network.address}'}\n"
    rig = await make_rig(
        f"name: larger\nresources:\n{network}{shop}",
        f"name: smaller\nresources:\n{network}  broken: {{type: fake.thing}}\n",
    )
    install = await rig.bought(blueprint="larger", **SMALL)
    await asyncio.wait_for(held.entered.wait(), 10)
    await rig.entitle(install, 2, blueprint="smaller", **SMALL)
    hold.set()
    await rig.until_state(install, "failed")
    assert world.of(install) == {}
    removed = [name for name, operation in world.calls if operation == "destroy"]
    assert removed.index("shop") < removed.index("network")
    assert len(removed) == len(set(removed))


async def _ready(rig: Rig) -> UUID:
    install = await rig.bought(blueprint="shop", **SMALL)
    await rig.until_state(install, "setup_pending")
    return install


async def _crashed(rig: Rig, world: World, name: str, operation: str) -> None:
    async def called() -> bool:
        return (name, operation) in world.calls

    await rig.wait_until(called)
    for _ in range(50):
        await asyncio.sleep(0)


async def _expire_leases(rig: Rig) -> None:
    """The dead process's lease runs out."""
    await rig.rows("UPDATE work SET leased_until = now() - interval '1 second' WHERE leased_until IS NOT NULL")
    rig.clock.move(timedelta(seconds=1))
