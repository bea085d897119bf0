"""A provisioner with one or more servers of Docker, all of them the same engine."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.retry import RetryPolicy
from provisioner.deps import Policy
from support import docker
from support.docker import Engine
from support.provisioning import Rig, WaitUntil, running, settings_for

GIB = 1024**3
ADD = """
INSERT INTO servers (name, target, address, publish_on, memory, millicpus, slots, labels, enabled, created_at)
VALUES ($1, 'docker', $2, '127.0.0.1', $3, $4, $5, '{}', true, now())
"""
QUICK = Policy(retry=RetryPolicy(attempts=50, first=timedelta(milliseconds=200), cap=timedelta(milliseconds=500)))
PASSWORD = "a long enough password"
ORDER: dict[str, Any] = {
    "blueprint": "docker-app",
    "parameters": {"store_name": "Jane's shop"},
    "limits": {"memory": "32M", "cpus": 0.5},
}


def engine_for_tests() -> Iterator[Engine]:
    """For a fixture of the session."""
    try:
        engine = docker.find()
    except docker.NoEngine as reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(reason))
    try:
        engine.load_image()
        yield engine
    finally:
        (engine.private or engine.http).close()


def private_engine() -> Engine:
    """One that may be stopped and started; to be closed by whoever asks."""
    try:
        engine = docker.private()
    except docker.NoEngine as reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(reason))
    engine.load_image()
    return engine


async def add_server(rig: Rig, engine: Engine, name: str = "main", *, slots: int = 100, memory: int = 64 * GIB) -> None:
    await rig.rows(ADD, name, engine.address, memory, 64_000, slots)


@asynccontextmanager
async def docker_rig(
    engine: Engine, url: str, folder: Path, clock: MovableClock, wait_until: WaitUntil, **given: Any
) -> AsyncIterator[Rig]:
    """Removes what its installs have left in the engine."""
    settings = settings_for(url, folder, **given)
    async with running(settings, clock, wait_until, policy=QUICK) as rig:
        try:
            yield rig
        finally:
            installs = await rig.rows("SELECT id FROM installs")
    for install in installs:
        engine.remove(install.id)
