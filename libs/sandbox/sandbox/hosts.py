"""Two ways to run the four services on one machine: all in this process, or each as a process of its own."""

import asyncio
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from keyturn.bus.memory import MemoryBroker
from keyturn.clock import Clock
from keyturn.replay import replay
from keyturn.service import Service
from sandbox.postgres import dies_with_us

STOP_SECONDS = 20.0
REPLAYED = timedelta(hours=1)
LAST_PUBLISHED = "SELECT published FROM outbox WHERE published < $1 ORDER BY published DESC LIMIT 1"


class Host(Protocol):
    """Starts and stops services by name; `environment` is the only thing a service is told."""

    async def start(self, name: str, environment: Mapping[str, str]) -> None: ...

    async def stop(self, name: str) -> None: ...

    def died(self) -> list[str]:
        """The services that ended without being told to."""
        ...


class InProcess:
    """The four services in this process, joined by a bus in memory, or by the broker that BUS_URL names."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._broker = MemoryBroker()
        self._running: dict[str, tuple[Service[Any], asyncio.Task[None]]] = {}

    async def start(self, name: str, environment: Mapping[str, str]) -> None:
        settings_class = getattr(importlib.import_module(f"{name}.settings"), f"{name.title()}Settings")
        settings = settings_class(_env_file=None, **environment)
        bus = self._broker.bus(name) if environment["BUS_URL"].startswith("memory:") else None
        service: Service[Any] = importlib.import_module(f"{name}.app").build(settings, clock=self._clock, bus=bus)
        self._running[name] = service, asyncio.create_task(service.serve(), name=name)

    async def interrupt(self, name: str) -> None:
        """As if its connection to the bus were lost."""
        await self._broker.interrupt(name)

    async def stop(self, name: str) -> None:
        service, task = self._running.pop(name, (None, None))
        if service and task:
            service.request_stop()
            await asyncio.wait([task], timeout=STOP_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def died(self) -> list[str]:
        """Raises what ended one."""
        dead = [name for name, (_, task) in self._running.items() if task.done()]
        for name in dead:
            self._running[name][1].result()
        return dead

    async def replay(self, before: datetime) -> None:
        """Publishes again what an earlier run published in its last hour. What lay in the bus's memory when that ended
        was lost, although its outbox calls it published; inboxes tell what was handled from what was not."""
        for service, _ in self._running.values():
            if service.settings.bus_url.startswith("memory:"):
                async with service.database.transaction("last_published") as tx:
                    rows = await tx.run(LAST_PUBLISHED, before)
                if rows:
                    await replay(service.database, rows[0].published - REPLAYED)


class Processes:
    """One process a service; logs go to `<folder>/<name>.log`. They end with this process, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, name: str, environment: Mapping[str, str]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        service = name.split("-", maxsplit=1)[0]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                [sys.executable, "-m", service],
                env={**_inherited(), **environment},
                cwd=self._folder,
                stdout=log,
                stderr=log,
                preexec_fn=dies_with_us(signal.SIGTERM),  # noqa: PLW1509 - one system call
            )

    async def stop(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    def kill(self, name: str) -> None:
        """As a power cut would: nothing is finished, nothing closed."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def died(self) -> list[str]:
        return [name for name, process in self._running.items() if process.poll() is not None]


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
