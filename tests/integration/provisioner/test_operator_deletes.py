"""Rule 14 for operators: what they delete keeps its data for the retention time, unless they say `now`."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from keyturn.events import InstallDeleted, OperatorActed
from support.fake_target import World
from support.provisioning import Rig

pytestmark = pytest.mark.servers
SIZE = {"limits": {"size": "small"}}
OPEN = {"blueprint": "open", **SIZE}


async def active(rig: Rig) -> UUID:
    install = await rig.bought(**OPEN)
    await rig.until_state(install, "active")
    return install


async def delete(rig: Rig, install: UUID, **more: Any) -> Any:
    asked = {"reason": "the customer wants to go", **more}
    return (await rig.ask("POST", f"/internal/installs/{install}/delete", asked)).json()


async def test_rule_14_what_an_operator_deletes_keeps_its_data_for_the_retention_time(
    make_rig: Any, world: World
) -> None:
    rig = await make_rig()
    install = await active(rig)
    answer = await delete(rig, install)
    kept = datetime.fromisoformat(answer["delete_after"]) - rig.clock.now()
    assert timedelta(days=29) < kept <= timedelta(days=30)
    await rig.until_state(install, "deleting")
    await rig.quiet(install)
    assert not world.of(install)["thing"].up
    assert world.of(install)["thing"].data == 1
    await rig.entitle(install, 2, **OPEN)  # billing has not heard of it: the operator's word stands
    await rig.quiet(install)
    assert world.of(install)["thing"].data == 1
    rig.clock.move(timedelta(days=31))
    await rig.until_told(install, InstallDeleted)
    assert world.of(install) == {}


async def test_rule_14_billings_date_holds_where_there_is_one(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await active(rig)
    until = rig.clock.now() + timedelta(days=3)
    await rig.entitle(install, 2, wanted="ended", delete_after=until, **OPEN)
    await rig.until_state(install, "deleting")
    assert (await delete(rig, install))["delete_after"] == until.isoformat()


async def test_now_deletes_the_data_at_once_also_of_what_is_deleted_already(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    first, second = await active(rig), await active(rig)
    await delete(rig, first, now=True)
    await delete(rig, second)
    await rig.until_state(first, "deleted")
    await rig.until_state(second, "deleting")
    await delete(rig, second, now=True)
    await rig.until_state(second, "deleted")
    acted = await rig.events(second, OperatorActed)
    assert [(one.action, bool(one.after["delete_after"])) for one in acted] == [
        ("install.delete", True),
        ("install.delete", False),
    ]


async def test_what_an_operator_deleted_comes_back_while_its_data_is_kept(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await active(rig)
    await delete(rig, install)
    await rig.until_state(install, "deleting")
    await rig.ask("POST", f"/internal/installs/{install}/resume", {"reason": "the wrong one"})
    await rig.until_state(install, "active")
    assert world.of(install)["thing"].up
    assert world.creations[f"{install}/thing"] == 1
