"""Programs on this machine: start one that outlives us, find it again, stop it with everything it started.

A pid is used again by the system, so a process is known by its pid and the moment at which it began. The environment
of each carries a mark, by which one that was started and not yet recorded is found after a crash. Linux alone.
"""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

MARK = "KEYTURN_RESOURCE"
MADE_FROM = "KEYTURN_MADE_FROM"
STOP_WITHIN = 5.0  # seconds to end by itself after SIGTERM
_started: set[int] = set()  # our own children, so that they are reaped


@dataclass(frozen=True)
class Process:
    """`made_from`: a digest of what it was started with."""

    pid: int
    began: str
    made_from: str

    def alive(self) -> bool:
        """Whether this very process runs: neither gone, nor a zombie, nor another with its pid."""
        found = _stat(self.pid)
        return found is not None and found == (self.began, False)


def start(
    argv: Sequence[str], environment: Mapping[str, str], folder: Path, *, log: Path, mark: str, made_from: str
) -> Process:
    """In its own session, so that it outlives us, with this environment and no other. Raises `OSError`."""
    _reap()
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - an argument list from the blueprint, never a shell
            list(argv),
            cwd=folder,
            env={**environment, MARK: mark, MADE_FROM: made_from},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    child.returncode = 0  # it is meant to outlive us: nobody waits for it, or warns that it still runs
    _started.add(child.pid)
    found = _stat(child.pid)
    return Process(child.pid, found[0] if found else "ended", made_from)


def find(mark: str) -> list[Process]:
    """Every live process with this mark that leads its session, recorded or not."""
    return _leaders(lambda environment, _: environment.get(MARK) == mark)


async def stop_under(folder: Path) -> int:
    """Ends every program whose data lies under this folder: what a sandbox or a test leaves behind otherwise."""
    root = folder.resolve()  # noqa: ASYNC240 - one stat, at the end of everything
    found = _leaders(lambda environment, cwd: MARK in environment and cwd.is_relative_to(root))
    for process in found:
        await stop(process)
    return len(found)


def _leaders(wanted: Callable[[Mapping[str, str], Path], bool]) -> list[Process]:
    found: list[Process] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                pid = int(entry.name)
                environment = _environment(entry)
                if os.getsid(pid) == pid and wanted(environment, (entry / "cwd").readlink()):
                    stat = _stat(pid)
                    if stat and not stat[1]:
                        found.append(Process(pid, stat[0], environment.get(MADE_FROM, "")))
    return found


def _environment(entry: Path) -> dict[str, str]:
    pairs = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


async def stop(process: Process) -> bool:
    """Ends it and all of its group. False where it was not there."""
    if not process.alive():
        return False
    _signal(process, signal.SIGTERM)
    deadline = monotonic() + STOP_WITHIN
    while process.alive() and monotonic() < deadline:
        await asyncio.sleep(0.01)
        _reap()
    _signal(process, signal.SIGKILL)  # whatever of the group is left
    while process.alive():
        await asyncio.sleep(0.01)
        _reap()
    return True


def free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _stat(pid: int) -> tuple[str, bool] | None:
    """When it began (boot and clock ticks), and whether it is dead already."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return f"{_boot()}:{fields[19]}", fields[0] in "ZX"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]


def _reap() -> None:
    for pid in list(_started):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            ended = True
        if ended:
            _started.discard(pid)
