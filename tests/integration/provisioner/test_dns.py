"""`dns.zone` and `dns.records` on a real PowerDNS: its API is written to, and it is asked over DNS."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.events import InstallDeleted, InstallFailed, InstallWaiting
from provisioner.deps import Policy
from support.forks import Forks, Nursery
from support.powerdns import PowerDns, PrivatePowerDns
from support.provisioning import KEYS, MAIL_KEYS, RetryPolicy, Rig, WaitUntil, running, settings_for

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("powerdns")]

RECIPE = """
name: shop
resources:
  zone: {type: dns.zone, name: "{purchase.domain}"}
  records:
    type: dns.records
    zone: "{zone.name}"
    records:
      - {name: "{purchase.domain}", type: A, values: ["{plan.address}"], ttl: 120}
      - {name: "*.{purchase.domain}", type: CNAME, values: ["{purchase.domain}"]}
      - {name: "{purchase.domain}", type: AAAA, values: ["2001:db8::1", "2001:db8::2"]}
      - {name: "{purchase.domain}", type: MX, values: ["10 mail.{purchase.domain}"]}
      - {name: "{purchase.domain}", type: TXT, values: ['says "so"', "v=spf1 -all"]}
"""
ALIAS = """
name: alias
resources:
  alias:
    type: dns.records
    zone: "{settings.base_domain}"
    records: [{name: "{plan.alias}.{settings.base_domain}", type: A, values: ["192.0.2.1"]}]
"""
HURRY = Policy(
    retry=RetryPolicy(attempts=200, first=timedelta(milliseconds=10), cap=timedelta(milliseconds=50)),
    removal=RetryPolicy(attempts=3, first=timedelta(milliseconds=1), cap=timedelta(milliseconds=5)),
)
POINTS = ["driver.note.after@1", "driver.ensure.after@1", "driver.note.after@2", "driver.ensure.after@2"]
Make = Callable[..., Awaitable[Rig]]


@pytest.fixture
def domain() -> str:
    return f"shop-{secrets.token_hex(4)}.test"


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    folder = tmp_path / "blueprints"
    folder.mkdir()
    (folder / "shop.yaml").write_text(RECIPE)
    (folder / "alias.yaml").write_text(ALIAS)
    return folder


@pytest.fixture
async def make(
    database_url: Any, tmp_path: Path, recipes: Path, clock: MovableClock, wait_until: WaitUntil, powerdns: PowerDns
) -> AsyncIterator[Make]:
    url = await database_url("provisioner")
    async with AsyncExitStack() as stack:

        async def made(**given: Any) -> Rig:
            settings = settings_for(url, tmp_path, blueprints=recipes, **powerdns.settings | given)
            return await stack.enter_async_context(running(settings, clock, wait_until, policy=HURRY))

        yield made


@pytest.fixture
def other(powerdns: PowerDns) -> Iterator[PowerDns]:
    """A server of this test's own, to be killed."""
    if not isinstance(powerdns, PrivatePowerDns):
        pytest.skip("a PowerDNS that was given is not killed")
    found = PrivatePowerDns()
    yield found
    found.close()


def order(domain: str, address: str = "192.0.2.1") -> dict[str, Any]:
    return {"blueprint": "shop", "parameters": {"domain": domain}, "limits": {"address": address}}


async def test_a_zone_and_its_records_are_made_answered_changed_and_removed(
    make: Make, powerdns: PowerDns, domain: str
) -> None:
    rig = await make()
    install = await rig.bought(**order(domain))
    await rig.until_state(install, "active")
    assert powerdns.says(domain, "A") == {"120 192.0.2.1"}
    assert powerdns.says(domain, "AAAA") == {"300 2001:db8::1", "300 2001:db8::2"}
    assert powerdns.says(domain, "MX") == {f"300 10 mail.{domain}."}
    assert powerdns.says(domain, "TXT") == {'300 "says \\"so\\""', '300 "v=spf1 -all"'}
    assert f"300 {domain}." in powerdns.says(f"anything.{domain}", "CNAME")
    zone = powerdns.zone(domain)
    assert zone
    assert zone["account"] == f"keyturn:{install.hex}"

    await rig.entitle(install, 2, **order(domain, "192.0.2.2") | {"plan": "larger"})
    await rig.wait_until(lambda: powerdns.says(domain, "A") == {"120 192.0.2.2"}, 15)
    await rig.quiet(install)
    assert await rig.state(install) == "active"

    await rig.entitle(install, 3, **order(domain) | {"wanted": "ended"})
    await rig.until_state(install, "deleted")
    assert powerdns.zone(domain) is None
    proof = (await rig.until_told(install, InstallDeleted)).proof
    assert {gone.resource: gone.outcome for gone in proof} == {"records": "deleted", "zone": "deleted"}
    assert await rig.rows("SELECT 1 FROM allocations") == []


async def test_records_go_into_an_operators_zone_and_leave_it_as_it_was(
    make: Make, powerdns: PowerDns, domain: str
) -> None:
    powerdns.create(domain)
    powerdns.put(domain, f"www.{domain}", "A", "192.0.2.9")
    before = powerdns.sets(domain)
    rig = await make(base_domain=domain)
    install = await rig.bought(blueprint="alias", limits={"alias": "bücher"})
    await rig.until_state(install, "active")
    assert powerdns.says(f"xn--bcher-kva.{domain}", "A") == {"300 192.0.2.1"}
    await rig.entitle(install, 2, blueprint="alias", limits={"alias": "bücher"}, wanted="ended")
    await rig.until_state(install, "deleted")
    assert powerdns.sets(domain) == before


async def test_somebody_elses_record_is_a_hard_error_and_left_as_it_is(
    make: Make, powerdns: PowerDns, domain: str
) -> None:
    powerdns.create(domain)
    powerdns.put(domain, f"www.{domain}", "A", "192.0.2.1")  # the very same value
    rig = await make(base_domain=domain)
    install = await rig.bought(blueprint="alias", limits={"alias": "www"})
    failed = await rig.until_told(install, InstallFailed)
    assert failed.message == f"the A record www.{domain} is somebody else's, and is left as it is"
    await rig.until_state(install, "failed")
    assert powerdns.sets(domain) == {(f"www.{domain}", "A"): ["192.0.2.1"]}


@pytest.mark.parametrize("account", ["", "billing department", f"keyturn:{'0' * 32}"])
async def test_somebody_elses_zone_is_a_hard_error_and_left_as_it_is(
    make: Make, powerdns: PowerDns, domain: str, account: str
) -> None:
    powerdns.create(domain, account)
    before = powerdns.zone(domain)
    rig = await make()
    install = await rig.bought(**order(domain))
    failed = await rig.until_told(install, InstallFailed)
    assert failed.message == f"the zone {domain} is somebody else's at the DNS server, and is left as it is"
    await rig.until_state(install, "failed")
    assert powerdns.zone(domain) == before


async def test_of_two_installs_that_want_one_record_one_gets_it_and_keeps_it(
    make: Make, powerdns: PowerDns, domain: str
) -> None:
    powerdns.create(domain)
    rig = await make(base_domain=domain)
    both = await asyncio.gather(*(rig.bought(blueprint="alias", limits={"alias": "www"}) for _ in range(2)))
    for install in both:
        await rig.until_state(install, "active", "failed")
    states = {await rig.state(install): install for install in both}
    assert set(states) == {"active", "failed"}
    assert (await rig.until_told(states["failed"], InstallFailed)).message == (
        f"the A record www.{domain} is another install's"
    )
    zone = powerdns.zone(domain)
    assert zone
    marks = [one["comments"][0]["content"] for one in zone["rrsets"] if one["name"] == f"www.{domain}."]
    assert marks == [f"{states['active']}/alias"]


async def test_a_probe_asks_the_server_itself_over_dns(make: Make, powerdns: PowerDns, domain: str) -> None:
    rig = await make(powerdns_server="127.0.0.1:1")  # nobody answers there
    install = await rig.bought(**order(domain))
    waiting = await rig.until_told(install, InstallWaiting)
    assert (waiting.step, waiting.reason) == ("probe", "not_ready")
    assert "no DNS server answers" in str(waiting.detail)


async def test_a_key_that_is_refused_needs_an_operator(make: Make, domain: str) -> None:
    rig = await make(powerdns_api_key=secrets.token_hex(16))  # no word: this process masks it from now on
    install = await rig.bought(**order(domain))
    waiting = await rig.until_told(install, InstallWaiting)
    assert (waiting.reason, waiting.detail) == ("needs_operator", "the DNS server refuses our key: POWERDNS_API_KEY")


async def test_a_server_that_dies_in_the_middle_is_gone_on_with_when_it_is_back(
    make: Make, other: PrivatePowerDns, domain: str
) -> None:
    rig = await make(**other.settings)
    other.kill()
    install = await rig.bought(**order(domain))
    await rig.until_told(install, InstallWaiting)
    other.start()
    rig.clock.move(timedelta(minutes=1))
    await rig.until_state(install, "active", timeout=30)
    assert other.says(domain, "A") == {"120 192.0.2.1"}
    other.kill()
    await rig.entitle(install, 2, **order(domain) | {"wanted": "ended"})
    await rig.until_told(install, InstallWaiting, len(await rig.events(install, InstallWaiting)) + 1)
    other.start()
    rig.clock.move(timedelta(minutes=1))
    await rig.until_state(install, "deleted", timeout=30)
    assert other.zone(domain) is None


@pytest.mark.parametrize("point", POINTS)
async def test_rule_8_a_provisioner_killed_around_a_call_leaves_one_zone_and_then_none(
    make: Make, powerdns: PowerDns, domain: str, nursery: Nursery, tmp_path: Path, recipes: Path, point: str
) -> None:
    rig = await make()
    await rig.service.stop()
    install = await rig.bought(**order(domain))
    forks = Forks(nursery, tmp_path / "forked")
    await forks.start(
        "provisioner", _environment(rig, powerdns, recipes, f"provisioner.{point.replace('@', '=kill@')}")
    )
    await forks.ended("provisioner", 60)
    await rig.rows("UPDATE work SET leased_until = now() - interval '1 s' WHERE leased_until IS NOT NULL")
    rig = await make()
    await rig.until_state(install, "active", timeout=30)
    assert powerdns.says(domain, "A") == {"120 192.0.2.1"}
    assert len(powerdns.sets(domain)) == 5
    await rig.entitle(install, 2, **order(domain) | {"wanted": "ended"})
    await rig.until_state(install, "deleted")
    assert powerdns.zone(domain) is None


def _environment(rig: Rig, powerdns: PowerDns, recipes: Path, failpoints: str) -> dict[str, str]:
    settings = rig.service.deps.settings
    return {
        "PROVISIONER_DATABASE_URL": settings.database_url,
        "PROVISIONER_SEALING_KEYS": KEYS,
        "MAIL_KEYS": MAIL_KEYS,
        "BLUEPRINTS": str(recipes),
        "LOCAL_DATA": str(settings.local_data),
        "PROVISIONER_PORT": "0",
        "BASE_DOMAIN": settings.base_domain,
        "POWERDNS_URL": powerdns.url,
        "POWERDNS_API_KEY": powerdns.key,
        "POWERDNS_SERVER": powerdns.server,
        "DNS_NAMESERVERS": "ns1.provider.test",
        "FAILPOINTS": failpoints,
    }
