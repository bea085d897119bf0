"""Programs are looked after side by side."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from support.fake_target import World
from support.provisioning import Rig

pytestmark = pytest.mark.servers
TWO = "name: open\nresources:\n  first: {type: fake.program}\n  second: {type: fake.program}\n"


@pytest.mark.parametrize("trouble", ["hangs", "bug"])
async def test_rule_16_a_program_that_hangs_or_a_driver_with_a_bug_keeps_no_other_from_being_repaired(
    make_rig: Callable[..., Awaitable[Rig]], world: World, trouble: str
) -> None:
    rig = await make_rig(TWO)
    install = await rig.bought(blueprint="open")
    await rig.until_state(install, "active")
    over = asyncio.Event()
    if trouble == "hangs":
        world.next("first", "probe", hold=over)
    else:
        world.always("first", "probe", before=ValueError("a driver's bug"))
    world.of(install)["second"].up = False
    await rig.rows("UPDATE work SET due = $1 WHERE kind = 'watch'", rig.clock.now())
    rig.service.database.wakeups.wake("work")

    async def repairing() -> bool:
        return bool(await rig.rows("SELECT 1 FROM jobs WHERE install_id = $1 AND action = 'repair'", install))

    try:
        await rig.wait_until(repairing, 15)
    finally:
        world.relent()
        over.set()
