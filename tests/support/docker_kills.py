"""A provisioner that is killed wherever it is told to be: a process forked from one that has imported everything."""

import asyncio
import importlib
import multiprocessing
import os
from pathlib import Path

from keyturn import failpoints
from keyturn.clock import MovableClock
from provisioner.settings import ProvisionerSettings
from support.provisioning import Policy, assembled

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["support.docker_kills"])
LEFT = "SELECT 1 FROM work WHERE kind = 'job' AND state = 'open'"


def run(settings: ProvisionerSettings, armed: str, seen: Path) -> int | None:
    """Until no job is open any more: 0; or until it is killed: -9."""
    process = _forks.Process(target=_run, args=(settings, armed, seen), daemon=True)
    process.start()
    process.join(60)
    process.kill()
    return process.exitcode


def _run(settings: ProvisionerSettings, armed: str, seen: Path) -> None:
    os.environ |= {"FAILPOINTS": armed, "FAILPOINTS_SEEN": str(seen)}
    importlib.reload(failpoints)  # what is armed stands in the environment
    asyncio.run(_main(settings))


async def _main(settings: ProvisionerSettings) -> None:
    service = assembled(settings, MovableClock(), policy=Policy(side_by_side=1))
    await service.start()
    while await service.database.run("left", LEFT):  # noqa: ASYNC110 - as others see it
        await asyncio.sleep(0.02)
    await service.stop()
