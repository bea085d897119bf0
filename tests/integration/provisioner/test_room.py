"""Whether there is room for one more install: what is certain to be made is asked, and nothing is held by it."""

from typing import Any

import pytest

from support.fake_target import World
from support.provisioning import Rig

pytestmark = pytest.mark.servers
OPTIONAL = """
name: more
resources:
  thing: {type: fake.thing, pool: harbour}
  extra: {type: fake.thing, size: "{plan.size}", optional: true}
  other: {type: fake.thing, size: "{plan.size}", when: "{purchase.domain}"}
"""


async def room(rig: Rig, blueprint: str, **limits: Any) -> bool:
    asked = {"blueprint": blueprint, "limits": limits}
    answer = await rig.ask("POST", "/internal/room", asked, role="public")
    assert answer.status_code == 200
    return bool(answer.json()["room"])


async def test_a_kind_is_asked_with_the_limits_of_the_plan(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    world.full.add("large")
    assert await room(rig, "shop", size="small")
    assert not await room(rig, "shop", size="large")
    assert await room(rig, "shop")  # what is not said is asked with its name in braces
    assert await room(rig, "somebody-elses", size="large")
    assert world.calls == []


async def test_what_may_not_be_made_needs_no_room(make_rig: Any, world: World) -> None:
    rig = await make_rig(OPTIONAL)
    world.full.add("large")
    assert await room(rig, "more", size="large")


async def test_a_pool_has_room_until_its_last_number_is_held(make_rig: Any) -> None:
    rig = await make_rig(OPTIONAL)
    for _ in range(3):
        assert await room(rig, "more", size="small")
        install = await rig.bought(blueprint="more", limits={"size": "small"})
        await rig.until_state(install, "active")
    assert not await room(rig, "more", size="small")
    await rig.entitle(install, 2, blueprint="more", wanted="ended", delete_after=rig.clock.now())
    await rig.until_state(install, "deleted")
    assert await room(rig, "more", size="small")
