"""`dns.domain`: a customer's own domain, waited for until the customer's DNS points here and says whose it is."""

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.events import InstallWaiting
from support.powerdns import PowerDns
from support.provisioning import Rig, WaitUntil, running, settings_for

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("powerdns")]

RECIPE = """
name: shop
resources:
  domain: {type: dns.domain, name: "{purchase.domain}", target: "{plan.target}"}
"""


@pytest.fixture
async def rig(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil, powerdns: PowerDns
) -> AsyncIterator[Rig]:
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "blueprints" / "shop.yaml").write_text(RECIPE)
    given = {"blueprints": tmp_path / "blueprints", "dns_resolvers": (powerdns.server,)}
    settings = settings_for(await database_url("provisioner"), tmp_path, **given)
    async with running(settings, clock, wait_until) as found:
        yield found


@pytest.fixture
def theirs(powerdns: PowerDns) -> str:
    name = f"customer-{secrets.token_hex(4)}.test"
    powerdns.create(name)
    return name


@pytest.fixture
def ours(powerdns: PowerDns) -> str:
    zone = f"ours-{secrets.token_hex(4)}.test"
    powerdns.create(zone)
    powerdns.put(zone, f"edge.{zone}", "A", "192.0.2.7")
    powerdns.put(zone, f"edge.{zone}", "AAAA", "2001:db8::7")
    return f"edge.{zone}"


async def test_a_domain_is_waited_for_with_what_the_customer_has_to_set_and_is_proven_once(
    rig: Rig, powerdns: PowerDns, theirs: str, ours: str
) -> None:
    shop = f"shop.{theirs}"
    order = {"blueprint": "shop", "parameters": {"domain": shop}, "limits": {"target": ours}}
    install = await rig.bought(**order)
    detail = str((await rig.until_told(install, InstallWaiting)).detail)
    assert f"a CNAME record {shop} to {ours}, or its addresses 192.0.2.7, 2001:db8::7" in detail
    proof = detail.partition(f"_keyturn.{shop} with ")[2].split()[0]
    assert proof.startswith("keyturn-")

    powerdns.put(theirs, shop, "CNAME", f"{ours}.")
    powerdns.put(theirs, f"_keyturn.{shop}", "TXT", '"keyturn-of-somebody-else"')
    rig.clock.move(timedelta(minutes=2))
    await rig.wait_until(lambda: _says(rig, "CNAME", lacking=True), 15)
    powerdns.put(theirs, f"_keyturn.{shop}", "TXT", f'"{proof}"', '"and more"')
    rig.clock.move(timedelta(minutes=3))
    await rig.until_state(install, "active")

    powerdns.put(theirs, f"_keyturn.{shop}", "TXT")  # it was proven, and is not asked for again
    await rig.entitle(install, 2, **order | {"plan": "larger"})
    await rig.until_state(install, "active")
    await rig.entitle(install, 3, **order | {"wanted": "ended"})
    await rig.until_state(install, "deleted")


async def _says(rig: Rig, text: str, *, lacking: bool = False) -> bool:
    detail = str((await rig.one("SELECT detail FROM steps WHERE name = 'domain'")).detail)
    return (text in detail) is not lacking


async def test_it_is_asked_ever_more_seldom_and_after_a_week_the_customer_is_waited_for(
    rig: Rig, theirs: str, ours: str
) -> None:
    install = await rig.bought(blueprint="shop", parameters={"domain": theirs}, limits={"target": ours})
    await rig.until_told(install, InstallWaiting)
    for waited, pause in ((3, 1), (15, 2), (50, 5), (300, 10), (24 * 60, 30), (6 * 24 * 60, 30)):
        started = (await rig.one("SELECT notes FROM resources")).notes["since"]
        await _at(rig, started, timedelta(minutes=waited))
        due = (await rig.one("SELECT due FROM steps WHERE name = 'domain'")).due - rig.clock.now()
        assert timedelta(minutes=pause - 1) < due <= timedelta(minutes=pause), waited
    rig.clock.move(timedelta(days=2))
    await rig.wait_until(lambda: rig.rows("SELECT 1 FROM steps WHERE reason = 'needs_customer'"), 15)
    await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "they will do it now"})
    await rig.wait_until(lambda: rig.rows("SELECT 1 FROM steps WHERE name = 'domain' AND reason = 'not_ready'"), 15)


async def _at(rig: Rig, started: str, waited: timedelta) -> None:
    """Until it has been asked at that time."""
    from datetime import datetime

    rig.clock.move(datetime.fromisoformat(started) + waited - rig.clock.now())

    async def asked() -> bool:
        row = await rig.one("SELECT due, state FROM steps WHERE name = 'domain'")
        return bool(row.state == "waiting" and row.due and row.due > rig.clock.now())

    await rig.wait_until(asked, 15)
