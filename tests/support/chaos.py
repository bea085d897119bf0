"""Processes to be killed at any moment: a relay, or a consumer with its worker, each on one database and a real broker.

Forked from a server that has imported everything, so that a new one is there in a few milliseconds.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from keyturn import log
from keyturn.bus import connect_bus
from keyturn.clock import SystemClock
from keyturn.database import Database, Transaction
from keyturn.events import OperatorActed
from keyturn.handling import Consumer, Handlers
from keyturn.relay import Relay
from keyturn.worker import Worker
from sandbox.postgres import dies_with_us

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["support.chaos"])
_follow = dies_with_us(signal.SIGKILL)


class Place:
    """What a process is given: a database, its bus, and where it says that it is up and writes its log."""

    def __init__(self, service: str, database_url: str, bus_url: str, log_file: Path) -> None:
        self.service = service
        self.database_url = database_url
        self.bus_url = bus_url
        self.log_file = log_file


class Part(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def alive(self) -> bool: ...


async def on_operator_acted(event: OperatorActed, tx: Transaction) -> None:
    await tx.run("INSERT INTO effects (what, n) VALUES ($1, $2)", event.subject, event.after["n"])


def relay(database: Database, bus: Any) -> list[Part]:
    return [Relay(database, bus)]


def impatient_relay(database: Database, bus: Any) -> list[Part]:
    """Leads no longer than two seconds without a sign of life."""
    return [Relay(database, bus, silence=2)]


def consumer(database: Database, bus: Any) -> list[Part]:
    handlers: Handlers = {OperatorActed: on_operator_acted}
    worker: Worker[None] = Worker(database, {}, None, handlers=handlers)
    return [Consumer(database, bus, handlers), worker]


class Victim:
    """One of these processes; started again under the same name it is a new one."""

    def __init__(self, parts: Callable[[Database, Any], list[Part]], place: Place) -> None:
        self._parts = parts
        self._place = place
        self.start()

    def start(self) -> None:
        self._up, theirs = _forks.Pipe(duplex=False)
        self._process = _forks.Process(target=_run, args=(self._parts, self._place, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def ended_by_itself(self) -> bool:
        return self._process.exitcode is not None

    def is_up(self) -> bool:
        return self._up.poll()

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def stop(self) -> int | None:
        """In order; the exit code is 0 where everything it runs was still alive."""
        self._process.terminate()
        self._process.join(20)
        return self._process.exitcode


def _run(parts: Callable[[Database, Any], list[Part]], place: Place, up: Connection) -> None:
    if _follow:
        _follow()
    file = os.open(place.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    log.configure(place.service, "json", "INFO")
    sys.exit(asyncio.run(_serve(parts, place, up)))


async def _serve(make: Callable[[Database, Any], list[Part]], place: Place, up: Connection) -> int:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    database = Database(place.database_url, service=place.service, clock=SystemClock())
    bus = connect_bus(place.bus_url, service=place.service, replica=str(os.getpid()))
    database.wakeups.start()
    await bus.connect()
    parts = make(database, bus)
    for part in parts:
        await part.start()
    up.send_bytes(b"up")
    await told.wait()
    alive = all(part.alive() for part in parts)
    for part in parts:
        await part.stop()
    await bus.close()
    await database.close()
    return 0 if alive else 3
