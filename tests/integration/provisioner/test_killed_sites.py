"""`kill -9` of a real provisioner before and after everything that it does with a site: one site, or none."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from keyturn.clock import MovableClock
from keyturn.events import InstallDeleted, InstallPlanChanged, InstallReady
from support.forks import Forks, Nursery
from support.nginx import DOMAIN, PrivateNginx
from support.provisioning import KEYS, MAIL_KEYS, Rig, WaitUntil, running, settings_for

pytestmark = pytest.mark.servers

ALONE = """
name: alone
resources:
  site: {type: nginx.site, hostname: "{install.hostname}", upstream: "127.0.0.1:{plan.port}"}
outputs: {url: "{site.url}/"}
"""
CALLS = ["provisioner.job.keep.before_commit", "provisioner.job.keep.after_commit"]
NGINX = ["provisioner.nginx.placed", "provisioner.nginx.reloaded"]
ENDS = ["provisioner.job.completed.before_commit", "provisioner.job.completed.after_commit"]
ENSURE = ["provisioner.driver.ensure.before", *CALLS, *NGINX, "provisioner.driver.ensure.after"]
DESTROY = ["provisioner.driver.destroy.before", *CALLS, *NGINX, "provisioner.driver.destroy.after"]
KILLED_WITHIN = 60.0


@dataclass
class Killing:
    rig: Rig  # stopped, while another process does its work
    forks: Forks
    environment: dict[str, str]
    web: PrivateNginx
    another: Callable[[], Awaitable[Rig]]

    async def at(self, point: str) -> None:
        """A provisioner does what is due, and dies. What it had in hand stays its own."""
        seen = self.forks.folder / "seen"
        seen.unlink(missing_ok=True)
        armed = {"FAILPOINTS": f"{point}=kill", "FAILPOINTS_SEEN": str(seen)}
        await self.forks.start("provisioner", self.environment | armed)
        await self.forks.ended("provisioner", KILLED_WITHIN)
        assert point in seen.read_text().splitlines(), (self.forks.folder / "provisioner.log").read_text()

    async def goes_on(self) -> None:
        await self.rig.rows("UPDATE work SET leased_until = now() - interval '1 s' WHERE leased_until IS NOT NULL")
        self.rig = await self.another()

    async def entitle(self, install: UUID, version: int, port: int, **said: Any) -> None:
        order = {"subdomain": f"s{install.hex[:8]}", "store_name": "Jane's"}
        await self.rig.entitle(install, version, blueprint="alone", parameters=order, limits={"port": port}, **said)

    async def status(self, install: UUID) -> int:
        return await self.web.status(f"s{install.hex[:8]}.{DOMAIN}")

    async def upstreams(self, install: UUID) -> list[str]:
        rows = await self.rig.rows("SELECT upstream FROM sites WHERE install_id = $1", install)
        return [row.upstream for row in rows]

    async def agree(self) -> None:
        """What nginx serves is what the database says, and nothing is left to be written."""
        told = (await self.rig.ask("POST", "/internal/nginx/regenerate", {"reason": "to see"})).json()
        assert (told["changed"], told["running"], told["refused"]) == (False, True, [])


@pytest.fixture
async def killing(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil, web: PrivateNginx, nursery: Nursery
) -> AsyncIterator[Killing]:
    url = await database_url("provisioner")
    recipes = tmp_path / "blueprints"
    recipes.mkdir()
    (recipes / "alone.yaml").write_text(ALONE)
    settings = settings_for(url, tmp_path, blueprints=recipes, **web.settings)
    environment = {
        "PROVISIONER_DATABASE_URL": url,
        "PROVISIONER_SEALING_KEYS": KEYS,
        "MAIL_KEYS": MAIL_KEYS,
        "BLUEPRINTS": str(recipes),
        "LOCAL_DATA": str(tmp_path / "local"),
        "PROVISIONER_PORT": "0",
        "BASE_DOMAIN": DOMAIN,
        **web.environment,
    }
    async with AsyncExitStack() as stack:

        async def another() -> Rig:
            return await stack.enter_async_context(running(settings, clock, wait_until))

        rig = await another()
        await rig.ask("POST", "/internal/nginx/regenerate", {"reason": "first start"})
        await web.start()
        yield Killing(rig, Forks(nursery, tmp_path / "forks"), environment, web, another)


async def test_rule_8_a_provisioner_killed_while_it_makes_a_site_makes_one(killing: Killing) -> None:
    await killing.rig.service.stop()
    installs = {point: uuid4() for point in [*ENSURE, *ENDS]}
    for point, install in installs.items():
        await killing.entitle(install, 1, 9)
        await killing.at(point)
    await killing.goes_on()
    for point, install in installs.items():
        await killing.rig.until_state(install, "active", timeout=30)
        assert (point, await killing.status(install), await killing.upstreams(install)) == (point, 502, ["127.0.0.1:9"])
        assert len(await killing.rig.events(install, InstallReady)) == 1, point
    await killing.agree()


async def _made(killing: Killing, points: list[str]) -> dict[str, UUID]:
    installs = {point: uuid4() for point in points}
    for install in installs.values():
        await killing.entitle(install, 1, 9)
    for install in installs.values():
        await killing.rig.until_state(install, "active")
    await killing.rig.service.stop()
    return installs


async def test_rule_8_a_provisioner_killed_while_it_changes_a_site_changes_it_once(killing: Killing) -> None:
    installs = await _made(killing, [*CALLS, *NGINX])
    for point, install in installs.items():
        await killing.entitle(install, 2, 10, plan="other")
        await killing.at(point)
    await killing.goes_on()
    for point, install in installs.items():
        await killing.rig.until_told(install, InstallPlanChanged)
        await killing.rig.quiet(install)
        assert (point, await killing.status(install), await killing.upstreams(install)) == (
            point,
            502,
            ["127.0.0.1:10"],
        )
        assert len(await killing.rig.events(install, InstallPlanChanged)) == 1, point
    await killing.agree()


async def test_rule_14_a_provisioner_killed_while_it_removes_a_site_leaves_none(killing: Killing) -> None:
    installs = await _made(killing, DESTROY)
    now = killing.rig.clock.now()
    for point, install in installs.items():
        await killing.entitle(install, 2, 9, wanted="ended", delete_after=now)
        await killing.at(point)
    await killing.goes_on()
    for point, install in installs.items():
        await killing.rig.until_state(install, "deleted", timeout=30)
        assert (point, await killing.status(install), await killing.upstreams(install)) == (point, 404, [])
        assert len(await killing.rig.events(install, InstallDeleted)) == 1, point
    await killing.agree()
