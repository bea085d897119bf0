"""A customer is forgotten here: the install is deleted at once, and then what is kept about it."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from keyturn.erasing import on_customer_erased
from keyturn.events import Contact, CustomerDataErased, CustomerErased
from support.fake_target import World
from support.leftovers import places
from support.provisioning import Rig

pytestmark = pytest.mark.servers
WORDS = ("zebulon", "Zebulon", "Quux", "quux")
SAID: dict[str, Any] = {
    "blueprint": "open",
    "limits": {"size": "small"},
    "contact": Contact(email="zebulon@example.com", name="Zebulon"),
    "parameters": {"store_name": "Quux", "subdomain": "quux"},
}


async def forget(rig: Rig, install: UUID) -> None:
    event = CustomerErased(subject=str(install), time=rig.clock.now(), customer_id=str(uuid4()))
    async with rig.service.database.transaction("test", cause=event) as tx:
        await on_customer_erased(event, tx)


async def test_an_install_goes_at_once_and_only_that_it_was_there_is_left(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install = await rig.bought(**SAID)
    await rig.until_state(install, "active")
    assert await places(rig.rows, WORDS) >= {"installs", "names"}
    shown = (await rig.ask("GET", f"/internal/purchases/{install}/data", role="customer")).json()
    assert shown["installs"][0]["contact"]["email"] == "zebulon@example.com"
    assert {one["name"] for one in shown["names"]} == {"quux"}
    await forget(rig, install)
    await rig.until_state(install, "deleted")
    assert world.of(install) == {}

    async def done() -> bool:
        rig.clock.move(timedelta(minutes=1))  # it looks again now and then
        rig.service.database.wakeups.wake("work")
        return bool(await rig.events(install, CustomerDataErased))

    await rig.wait_until(done, 20)
    assert await places(rig.rows, WORDS) == set()
    assert (await rig.one("SELECT state FROM installs WHERE id = $1", install)).state == "deleted"
    (row,) = await rig.rows("SELECT state, outcome FROM resources WHERE install_id = $1", install)
    assert row.state == "gone"


async def test_names_of_an_order_that_was_never_paid_are_forgotten(make_rig: Any) -> None:
    rig = await make_rig()
    purchase = uuid4()
    until = (rig.clock.now().replace(year=2999)).isoformat()
    wanted = {"owner": str(purchase), "names": {"subdomain": "quux"}, "until": until}
    assert (await rig.ask("POST", "/internal/names/reserve", wanted, role="public")).status_code == 200
    await forget(rig, purchase)

    async def done() -> bool:
        return bool(await rig.events(purchase, CustomerDataErased))

    await rig.wait_until(done, 20)
    assert await places(rig.rows, WORDS) == set()
