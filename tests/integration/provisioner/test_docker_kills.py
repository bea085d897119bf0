"""`kill -9` of a real provisioner after each of its calls to the real engine, before and after that is written down,
through the whole life of an install: one container, one network and one volume, or none."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from keyturn.clock import MovableClock
from keyturn.events import InstallDeleted, InstallPlanChanged, InstallReady, SetupLinkIssued
from support import docker_kills
from support.docker import Engine
from support.docker_rig import ORDER, add_server
from support.provisioning import Rig, WaitUntil, running, settings_for

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("docker"), pytest.mark.timeout(300)]


def made(*steps: str) -> list[str]:
    """The call has been made, and nobody has written it down. Before it, things are as they were after the last one."""
    return [f"provisioner.docker.{step}.after" for step in steps]


RECORDED = "provisioner.job.step.after_commit"  # of several steps the first
BEGINS = ["provisioner.docker.network.create.before", "provisioner.job.place.after_commit"]
MADE = [
    *BEGINS,
    *made("network.create", "volume.create", "helper.own", "container.create", "container.start"),
    "provisioner.job.allocate.after_commit",
    RECORDED,
]
REPLACED = made("container.stop", "container.rename", "container.create", "container.start", "container.remove")
LIMITED = made("container.update")
DELETED = [
    *made("container.remove", "network.remove", "volume.remove"),
    "provisioner.job.leave.before_commit",
    RECORDED,
]


class Life:
    """One install whose provisioner dies again and again."""

    def __init__(self, rig: Rig, engine: Engine, folder: Path) -> None:
        self.rig = rig
        self.engine = engine
        self.install: UUID = uuid4()
        self._seen = folder / "seen"
        self._version = 0

    async def wanted(self, points: list[str], **said: Any) -> None:
        """Killed once at each of the points, on the way to what is wanted; then it gets there."""
        self._version += 1
        await self.rig.entitle(self.install, self._version, **{**ORDER, **said})
        left = list(points)
        while code := await self._run(left):
            assert code == -9
            point = self._seen.read_text().splitlines()[-1]
            left.remove(point)
            assert all(count <= 1 for count in self._unsettled()), f"killed at {point}"
            await self.rig.rows(
                "UPDATE work SET leased_until = now() - interval '1 s', attempts = 0 WHERE kind = 'job' AND state = 'open'"
            )
        assert left == [], "it never came by these"

    async def _run(self, left: list[str]) -> int | None:
        self._seen.unlink(missing_ok=True)
        armed = ",".join(f"{point}=kill" for point in left)
        settings = self.rig.service.deps.settings
        return await asyncio.to_thread(docker_kills.run, settings, armed, self._seen)

    def _unsettled(self) -> tuple[int, int, int]:
        """A container that is being replaced, and one that gives a volume away, stand by for a while."""
        found = self.engine.of(self.install)
        running = [one for one in found["containers"] if one["State"] == "running"]
        return len(running), len(found["networks"]), len(found["volumes"])


async def test_rule_8_a_provisioner_killed_around_every_call_leaves_one_of_each_or_none(
    engine: Engine, database_url: Any, tmp_path: Path, wait_until: WaitUntil
) -> None:
    settings = settings_for(await database_url("provisioner"), tmp_path)
    async with running(settings, MovableClock(), wait_until) as rig:
        await rig.service.stop()  # only its database is wanted
        await add_server(rig, engine)
        life = Life(rig, engine, tmp_path)
        try:
            await _lived(life)
        finally:
            engine.remove(life.install)


async def _lived(life: Life) -> None:
    rig, engine, install = life.rig, life.engine, life.install
    await life.wanted(MADE)
    assert await rig.state(install) == "setup_pending"
    assert engine.counts(install) == (1, 1, 1)
    first = engine.of(install)["containers"][0]["Id"]

    await life.wanted(REPLACED, parameters={"store_name": "Jane & sons"})
    assert engine.counts(install) == (1, 1, 1)
    second = engine.of(install)["containers"][0]
    assert (second["Id"] != first, second["State"]) == (True, "running")

    limits = {"limits": {"memory": "48M", "cpus": 0.25}, "parameters": {"store_name": "Jane & sons"}}
    await life.wanted(LIMITED, **limits)
    assert engine.inspect(second["Id"])["HostConfig"]["Memory"] == 48 * 1024**2

    await life.wanted(DELETED, wanted="ended", delete_after=rig.clock.now(), **limits)
    assert await rig.state(install) == "deleted"
    assert engine.counts(install) == (0, 0, 0)
    told = {kind: len(await rig.events(install, kind)) for kind in (InstallReady, SetupLinkIssued, InstallDeleted)}
    assert told == {InstallReady: 1, SetupLinkIssued: 1, InstallDeleted: 1}
    assert len(await rig.events(install, InstallPlanChanged)) == 2
    assert await rig.rows("SELECT 1 FROM placements UNION ALL SELECT 1 FROM allocations") == []
