"""The programs that installs consist of. They outlive the provisioner by design; the sandbox leaves no strays.

It ends them when it ends. A later start on the same folder finds them dead, as after a reboot, and starts them again.
"""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

STOP_SECONDS = 5.0


def below(folder: Path) -> list[int]:
    """The live programs that have their home in this folder, and what they started in turn."""
    wanted = f"HOME={folder}/".encode()
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _lives_there(entry, wanted)]


async def stop_below(folder: Path) -> None:
    """SIGTERM for each, and SIGKILL for what has not ended in time."""
    _signal(below(folder), signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while below(folder) and time.monotonic() < deadline:  # noqa: ASYNC110 - processes tell nobody but their parent
        await asyncio.sleep(0.02)
    _signal(below(folder), signal.SIGKILL)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _lives_there(process: Path, wanted: bytes) -> bool:
    with contextlib.suppress(OSError):
        here = any(line.startswith(wanted) for line in (process / "environ").read_bytes().split(b"\0"))
        return here and (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False
