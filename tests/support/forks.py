"""A host whose services are processes forked from one that has imported them all (see `nursery`)."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pytest

from sandbox.postgres import dies_with_us
from support.waiting import wait_until

STOP_SECONDS = 25.0


class Nursery:
    """`with Nursery() as nursery`; its children end with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.nursery"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is for us
            preexec_fn=dies_with_us(signal.SIGKILL),  # noqa: PLW1509 - one system call
        )

    def fork(self, service: str, environment: Mapping[str, str], folder: Path, log: Path) -> int:
        """The new process's id."""
        order = {"service": service, "environment": dict(environment), "folder": str(folder), "log": str(log)}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class Forks:
    """Each service a process; logs go to `<folder>/<name>.log`. `provisioner-2` is another replica of provisioner."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self._nursery = nursery
        self.folder = folder
        self._running: dict[str, int] = {}  # by pidfd: a pid may be used again, this is that very process
        self._pids: dict[str, int] = {}

    async def start(self, name: str, environment: Mapping[str, str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        service = name.partition("-")[0]
        inherited = {name: os.environ[name] for name in ("PATH", "PGSSLMODE") if name in os.environ}
        log = self.folder / f"{name}.log"
        pid = self._nursery.fork(service, {**inherited, **environment}, self.folder, log)  # a few milliseconds
        self._forget(name)
        self._running[name], self._pids[name] = os.pidfd_open(pid), pid

    def pid(self, name: str) -> int:
        return self._pids[name]

    async def stop(self, name: str) -> None:
        """In order, as a deployment does. Does nothing to one that does not run; one that does not end fails the test,
        and says in its log where it hangs."""
        self.signal(name, signal.SIGTERM)
        try:
            await self.ended(name, STOP_SECONDS)
        except pytest.fail.Exception:
            self.signal(name, signal.SIGUSR1)
            await asyncio.sleep(0.5)  # it writes that itself
            raise
        finally:
            self.signal(name, signal.SIGKILL)
            self._forget(name)

    async def kill(self, name: str) -> None:
        """As a power cut would: nothing is finished, nothing closed."""
        self.signal(name, signal.SIGKILL)
        await self.ended(name, STOP_SECONDS)
        self._forget(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        if self._runs(name):
            signal.pidfd_send_signal(self._running[name], number)

    async def ended(self, name: str, within: float) -> None:
        """Waits until it has ended, of itself or not."""
        await wait_until(lambda: not self._runs(name), within)

    def died(self) -> list[str]:
        return [name for name in self._running if not self._runs(name)]

    def _runs(self, name: str) -> bool:
        if name not in self._running:
            return False
        poll = select.poll()
        poll.register(self._running[name], select.POLLIN)
        return not poll.poll(0)

    def _forget(self, name: str) -> None:
        if name in self._running:
            os.close(self._running.pop(name))
