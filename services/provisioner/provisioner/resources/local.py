"""`local.process`: a supervised program on this machine, on a loopback port of its own with its own data folder.

The program is started without a shell, with no environment but its own, and outlives us. `process.json` beside its
data says which process it is; one that was started and not yet recorded is found by its mark.
"""

import asyncio
import fcntl
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr

from provisioner.resources import processes
from provisioner.resources.port import (
    Given,
    Gone,
    Health,
    NeedsOperator,
    Notes,
    Outputs,
    Pace,
    Parameters,
    Permanent,
    Resource,
    Room,
    Transient,
)
from provisioner.resources.processes import Process

POOL = "local.port"
_VARIABLE = r"^[A-Z][A-Z0-9_]{0,63}$"
_FORBIDDEN = re.compile(r"^(LD_|DYLD_|PYTHON(PATH|HOME|STARTUP)|PATH$|HOME$|KEYTURN_)")  # would change what is run
Variable = Annotated[str, Field(pattern=_VARIABLE)]


@dataclass(frozen=True)
class Local:
    """What this machine gives: a folder and a range of ports."""

    data: Path
    ports: range


class ProcessParameters(Parameters):
    """`env`: fixed names, any values. The program also gets its port and its data folder."""

    argv: list[str] = Field(min_length=1, max_length=50)
    env: dict[Variable, SecretStr] = Field(default_factory=dict)
    port_variable: Variable = "PORT"
    data_variable: Variable = "DATA_DIR"


class LocalProcess(Resource[ProcessParameters]):
    Parameters = ProcessParameters
    outputs = frozenset({"url", "host", "port"})
    pace: ClassVar[Pace] = Pace(together=8, failures=20, pause=timedelta(seconds=5))
    watched = True
    shown = frozenset({"argv"})

    def __init__(self, given: Given[ProcessParameters], tools: Local) -> None:
        super().__init__(given, tools)
        self._tools = tools
        self._folder = tools.data.absolute() / str(given.install) / given.name
        self._record = self._folder / "process.json"

    @classmethod
    async def has_room(cls, parameters: Mapping[str, Any], room: Room, tools: Local) -> bool:  # noqa: ARG003
        return await room.number(POOL, tools.ports)

    async def ensure(self, notes: Notes) -> Outputs:
        port = await notes.allocate(POOL, self._tools.ports)
        if notes.get("suspended"):
            return self._outputs(port)
        running = await asyncio.to_thread(self._running)
        if running and running.made_from != self._made_from(port):
            await processes.stop(running)
            running = None
        if running:
            return self._outputs(port)
        while not processes.free(port):  # somebody else's, outside our table
            refused = [*notes.get("refused", []), port][-20:]
            await notes.save(refused=refused)
            port = await notes.allocate(POOL, self._tools.ports, refuse=refused)
        await asyncio.to_thread(self._start, port)
        return self._outputs(port)

    async def probe(self, notes: Notes) -> Health:
        if notes.get("suspended"):
            return Health(ok=False, detail="suspended")
        alive = await asyncio.to_thread(self._running)
        return Health(ok=alive is not None, detail="" if alive else "the program is not running")

    async def suspend(self, notes: Notes) -> None:
        await notes.save(suspended=True)  # first, so that nothing starts it again behind our back
        await self._stop()

    async def resume(self, notes: Notes) -> None:
        await notes.save(suspended=None)
        await self.ensure(notes)

    async def destroy(self, notes: Notes) -> Gone:
        await notes.save(suspended=True)
        stopped = await self._stop()
        existed = await asyncio.to_thread(self._remove)
        return "deleted" if stopped or existed else "not_found"

    def _outputs(self, port: int) -> Outputs:
        return {"url": f"http://127.0.0.1:{port}", "host": "127.0.0.1", "port": port}

    def _start(self, port: int) -> None:
        data = self._folder / "data"
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # a worker that has lost its lease may be at it, too
                if self._running() is None:
                    self._write(self._launch(port, data))
        except (FileNotFoundError, PermissionError) as error:
            raise NeedsOperator(f"cannot start {Path(self.parameters.argv[0]).name}: {error.strerror}") from None
        except ValueError:
            raise Permanent("an argument or variable holds a character that programs cannot be given") from None
        except OSError as error:
            raise Transient(f"cannot start the program: {error.strerror}") from None

    def _launch(self, port: int, data: Path) -> Process:
        return processes.start(
            self.parameters.argv,
            self._environment(port, data),
            data,
            log=self._folder / "log",
            mark=self.given.mark,
            made_from=self._made_from(port),
        )

    def _environment(self, port: int, data: Path) -> Mapping[str, str]:
        if wrong := [name for name in self.parameters.env if _FORBIDDEN.match(name)]:
            raise Permanent(f"a blueprint may not set {wrong[0]}")
        own = {name: value.get_secret_value() for name, value in self.parameters.env.items()}
        fixed = {self.parameters.port_variable: str(port), self.parameters.data_variable: str(data)}
        return {"PATH": os.defpath, "HOME": str(data), "LANG": "C.UTF-8", **own, **fixed}

    def _made_from(self, port: int) -> str:
        """What a running program must have been started with; a digest, since the values may be secret."""
        env = sorted((name, value.get_secret_value()) for name, value in self.parameters.env.items())
        text = json.dumps([self.parameters.argv, env, port, self.given.mark])
        return processes.digest(text)

    def _running(self) -> Process | None:
        """The one live process of this resource. Adopts one that a crash kept from being recorded."""
        recorded = self._recorded()
        if recorded:
            process = Process(**recorded)
            if process.alive():
                return process
        found = next(iter(processes.find(self.given.mark)), None)
        if found:
            self._write(found)
        return found

    async def _stop(self) -> bool:
        found = await asyncio.to_thread(processes.find, self.given.mark)
        for process in found:
            await processes.stop(process)
        return bool(found)

    def _recorded(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._record.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def _write(self, process: Process) -> None:
        fresh = self._record.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(process)))
        fresh.replace(self._record)

    def _remove(self) -> bool:
        existed = self._folder.exists()
        try:
            if existed:
                shutil.rmtree(self._folder)
            if self._folder.parent.exists() and not any(self._folder.parent.iterdir()):
                self._folder.parent.rmdir()
        except OSError as error:
            raise Transient(f"the data folder cannot be removed: {error.strerror}") from None
        return existed
