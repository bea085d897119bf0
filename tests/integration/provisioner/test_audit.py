"""The provisioner's part in the audit of money against machines, on its real database."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from keyturn.events import EntitlementsListed, InstallsCompared, Listed, Wanted, read
from provisioner.auditing import on_entitlements_listed
from support.fake_target import World
from support.provisioning import Rig

pytestmark = pytest.mark.servers
FIRST = UUID(int=0)


async def test_what_runs_is_compared_with_what_is_paid(make_rig: Any, world: World) -> None:
    rig: Rig = await make_rig()
    one, other, third = [await rig.bought(blueprint="shop", limits={"size": "small"}) for _ in range(3)]
    for install in (one, other, third):
        await rig.until_state(install, "setup_pending")
    missing = uuid4()
    wanted: dict[UUID, Wanted] = {one: "on", other: "suspended", missing: "on"}
    assert await _found(rig, wanted) == {
        (str(other), "suspended_but_running"),
        (str(missing), "install_missing"),
        (str(third), "install_without_payment"),
    }
    # Of a page each: nothing is compared with what stands on another one.
    first, second = sorted([one, other])
    upto_first = await _found(rig, {first: "on"}, upto=first)
    assert upto_first <= {(str(third), "install_without_payment")}
    assert (str(second), "install_without_payment") in await _found(rig, {}, after=first)
    assert world


async def _found(
    rig: Rig, wanted: dict[UUID, Wanted], *, after: UUID = FIRST, upto: UUID | None = None
) -> set[tuple[str, str]]:
    now = rig.clock.now() + timedelta(hours=1)
    since = now - timedelta(minutes=30)
    items = [Listed(purchase_id=str(id_), version=1, wanted=what, since=since) for id_, what in wanted.items()]
    page = {"run_id": "1", "page": "page 1", "after": str(after), "upto": str(upto) if upto else None, "items": items}
    async with rig.service.database.transaction("test") as tx:
        await on_entitlements_listed(EntitlementsListed(subject="audit:1", time=now, **page), tx)
    (row,) = await rig.rows("SELECT body FROM outbox WHERE wire = $1 ORDER BY id DESC LIMIT 1", InstallsCompared.wire)
    told = read(row.body)
    assert isinstance(told, InstallsCompared)
    return {(one.purchase_id, one.mismatch) for one in told.found}
