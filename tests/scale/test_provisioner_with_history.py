"""The provisioner with a long history: no statement reads a whole table, or more than a batch of it."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from keyturn.clock import MovableClock
from keyturn.events import CustomerErased, EntitlementsListed, Listed, SetupLinkIssued, SetupLinkUnsent, read
from keyturn.sealing import KeyRing
from provisioner.repository import erasing, servers
from provisioner.resources.port import Needs
from support.databases import DatabaseUrl
from support.explaining import ROWS
from support.fake_target import World, fake_kinds
from support.history import fill
from support.old import Old, old
from support.provisioning import MAIL_KEYS, Rig, assembled, entitlement, settings_for
from support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(3600)]

SHOP = """
name: shop
resources:
  database: {type: fake.thing, secret: "{random.db}", pool: ports}
  shop: {type: fake.program, size: "{plan.size}", after: "{database.key}"}
  narrow: {type: fake.narrow}
outputs: {url: "http://{install.hostname}/"}
setup:
  - {type: fake.setup, password: "{password}"}
"""


async def test_the_provisioner_reads_no_more_with_a_long_history(
    database_url: DatabaseUrl, clock: MovableClock, tmp_path: Path
) -> None:
    url = await database_url("provisioner")
    await fill(url, "provisioner", ROWS)
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "blueprints" / "shop.yaml").write_text(SHOP)
    settings = settings_for(url, tmp_path)
    service = assembled(settings, clock, kinds=fake_kinds(World()), recipes=tmp_path / "blueprints")
    rig = Rig(service, clock, wait_until)
    async with old(service.database, service.deps, service.work, service.handlers) as history:
        for _ in range(2):
            await _an_install(rig, history)
        await _erasing(rig, history)
        await _reading(rig)
        await _placing(rig)
        await history.hears(_listed(rig))
        await _looking_after(rig, history)
        await history.skeleton()
    for step in service.closing:
        await step()
    await service.database.close()


def _listed(rig: Rig) -> EntitlementsListed:
    """A page of the audit, with an install that is not there."""
    now = rig.clock.now()
    item = Listed(purchase_id=str(uuid4()), version=1, wanted="on", since=now - timedelta(hours=1))
    page = {"run_id": "1", "page": "page 1", "after": str(UUID(int=0)), "upto": str(UUID(int=200)), "items": [item]}
    return EntitlementsListed(subject="audit:1", time=now, **page)


async def _an_install(rig: Rig, history: Old) -> None:
    install, now = uuid4(), rig.clock.now()
    names = {"owner": str(install), "names": {"subdomain": f"s{install.hex}"}, "until": f"{now + timedelta(hours=1)}"}
    assert (await rig.ask("POST", "/internal/room", {"blueprint": "shop", "limits": {}})).json()["room"]
    await rig.ask("POST", "/internal/names/check", {"name": f"s{install.hex}"})
    await rig.ask("POST", "/internal/names/reserve", names)
    await rig.ask("POST", "/internal/names/release", {"owner": str(uuid4())})
    bought = {"blueprint": "shop", "limits": {"size": "small"}, "parameters": {"subdomain": f"s{install.hex}"}}
    await history.hears(entitlement(install, 1, now, **bought))
    await history.works()
    await _setting_up(rig, history, install)
    for act in ("suspend", "resume", "retry"):
        await rig.ask("POST", f"/internal/installs/{install}/{act}", {"reason": "history"})
        await history.works()
    await history.hears(entitlement(install, 2, now, **bought | {"limits": {"size": "large"}}))
    await history.works()
    await rig.ask("GET", f"/internal/installs/{install}")
    await history.hears(entitlement(install, 3, now, **bought, wanted="ended"))
    await history.works()
    assert await history.aside.fetchval("SELECT state FROM installs WHERE id = $1", install) == "deleted"


async def _erasing(rig: Rig, history: Old) -> None:
    install, now = UUID(int=ROWS - 7), rig.clock.now()
    await rig.ask("GET", f"/internal/purchases/{install}/data")
    for purchase in (install, uuid4()):
        await history.hears(CustomerErased(subject=str(purchase), time=now, customer_id=str(uuid4())))
    await history.works()
    async with rig.service.database.transaction("test") as tx:
        await erasing.forget(tx, install)


async def _setting_up(rig: Rig, history: Old, install: UUID) -> None:
    first = await _issued(history, install)
    told = {"subject": str(install), "time": rig.clock.now(), "link_id": first.link_id}
    await history.hears(SetupLinkUnsent(**told, reason="link_expired"))
    await history.works()
    await rig.ask("POST", f"/internal/installs/{install}/reissue", {"reason": "history"})
    issued = await _issued(history, install)
    token = KeyRing.from_text(MAIL_KEYS).open(issued.token, place=(SetupLinkIssued.wire, str(install), "token"))
    await rig.ask("POST", "/internal/setup/lookup", {"token": token})
    for password in ("short", "long enough"):
        answer = await rig.ask("POST", "/internal/setup/complete", {"token": token, "password": password})
    assert answer.status_code == 200, answer.text


async def _issued(history: Old, install: UUID) -> SetupLinkIssued:
    last = "SELECT body FROM outbox WHERE subject = $1 AND wire = $2 ORDER BY id DESC LIMIT 1"
    event = read(await history.aside.fetchval(last, str(install), SetupLinkIssued.wire))
    assert isinstance(event, SetupLinkIssued)
    return event


async def _reading(rig: Rig) -> None:
    page = (await rig.ask("GET", "/internal/installs")).json()
    await rig.ask("GET", f"/internal/installs?cursor={page['cursor']}")
    for status in ("failed", "provisioning", "deleted"):
        await rig.ask("GET", f"/internal/installs?status={status}")
    await rig.ask("GET", "/internal/orphans")


async def _placing(rig: Rig) -> None:
    """Of servers there are few."""
    said = {"address": "unix:///nowhere", "memory": 2**40, "millicpus": 9000, "slots": 9, "reason": "history"}
    await rig.ask("POST", "/internal/servers/new", said)
    owner = (UUID(int=5), "new")
    async with rig.service.database.transaction("test") as tx:
        for memory in (1, 2):
            assert await servers.place(tx, owner, "docker", Needs(memory, 1), {}) == "new"
        assert await servers.any_room(tx, "docker", Needs(1, 1), {})
        assert await servers.leave(tx, owner)
    await rig.service.database.run("test", servers.FIND, "docker", "new")
    await rig.ask("GET", "/internal/servers")
    await rig.ask("POST", "/internal/servers/new/remove", {"reason": "history"})


async def _looking_after(rig: Rig, history: Old) -> None:
    async with rig.service.database.transaction("test") as tx:
        for kind in ("watch", "tidy", "reseal"):
            tx.schedule(kind, "every")
    await history.works()
