"""`kill -9` of a real provisioner process at each point of a provisioning: one program, one ready install."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from keyturn.clock import MovableClock
from keyturn.events import InstallReady, SetupLinkIssued
from provisioner.resources import processes
from support.provisioning import KEYS, MAIL_KEYS, ROOT, WaitUntil, running, settings_for

pytestmark = pytest.mark.servers

POINTS = [
    "provisioner.job.begun.before_commit",
    "provisioner.job.begun.after_commit",
    "provisioner.job.allocate.after_commit",
    "provisioner.driver.ensure.before",
    "provisioner.driver.ensure.after",
    "provisioner.job.step.before_commit",
    "provisioner.job.step.after_commit",
    "provisioner.job.completed.before_commit",
    "provisioner.job.completed.after_commit",
]


@pytest.mark.parametrize("point", POINTS)
async def test_rule_8_a_provisioner_killed_anywhere_leaves_one_install_and_one_program(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil, point: str
) -> None:
    url = await database_url("provisioner")
    settings = settings_for(url, tmp_path)
    install = uuid4()
    async with running(settings, clock, wait_until) as rig:
        await rig.service.stop()  # only its database is wanted for now
        await rig.entitle(install)
    await _killed_at(point, url, settings.local_data)
    async with running(settings, clock, wait_until) as rig:
        await rig.rows("UPDATE work SET leased_until = now() - interval '1 s' WHERE leased_until IS NOT NULL")
        await rig.until_state(install, "setup_pending", timeout=30)
        assert len(processes.find(f"{install}/app")) == 1
        assert len(await rig.events(install, InstallReady)) == 1
        assert len(await rig.events(install, SetupLinkIssued)) == 1
    assert await processes.stop_under(settings.local_data) == 1
    assert processes.find(f"{install}/app") == []


async def _killed_at(point: str, url: str, data: Path) -> None:
    environment = {
        **os.environ,
        "PROVISIONER_DATABASE_URL": url,
        "PROVISIONER_SEALING_KEYS": KEYS,
        "MAIL_KEYS": MAIL_KEYS,
        "BLUEPRINTS": str(ROOT / "blueprints"),
        "LOCAL_DATA": str(data),
        "PROVISIONER_PORT": "0",
        "BASE_DOMAIN": "example.test",
        "FAILPOINTS": f"{point}=kill",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "provisioner", env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=None
    )
    assert await asyncio.wait_for(process.wait(), 40) == -9
