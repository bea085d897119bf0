"""The nginx on this machine: its folder, its test of a configuration, its processes. Linux alone.

The folder is one of its own (`nginx -p FOLDER -c conf/nginx.conf`), and belongs to the user that nginx runs as. Where
we are root, which nginx should not be, its programs and files are that user's all the same.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.resources.nginx_text import SUSPENDED_PAGE
from provisioner.resources.port import NeedsOperator, Transient

TEST_WITHIN = 60.0
FOLDERS = ("conf", "logs", "run", "tmp", "pages")
CONFIGURATION = "conf/nginx.conf"
_WORKER = b"nginx: worker process"
_LEAVING = b"nginx: worker process is shutting down"


@dataclass(frozen=True)
class Workers:
    """Those that a reload is to replace."""

    pids: tuple[int, ...]

    def accepting(self) -> bool:
        """Whether one of them still takes requests, which it would answer by its old configuration."""
        titles = [_title(pid) for pid in self.pids]
        return any(title.startswith(_WORKER) and not title.startswith(_LEAVING) for title in titles)


class NginxProgram:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / CONFIGURATION

    def prepare(self) -> None:
        """Its folders, and the page that a suspended site shows: yours to change. Raises `NeedsOperator`."""
        try:
            for name in FOLDERS:
                (self._folder / name).mkdir(mode=0o750, parents=True, exist_ok=True)
                self._hand_over(self._folder / name)
            page = self._folder / "pages" / "suspended.html"
            if not page.exists():
                self._write(page, SUSPENDED_PAGE)
        except OSError as error:
            raise NeedsOperator(f"nginx's folder {self._folder} cannot be used: {error.strerror}") from None

    async def version(self) -> tuple[int, ...]:
        _, said = await self._run("-v")
        found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
        if not found:
            raise NeedsOperator("nginx does not say which version it is")
        return tuple(map(int, found.groups()))

    def current(self) -> str:
        """The configuration that stands there; empty where there is none."""
        try:
            return self._file.read_text()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise NeedsOperator(f"{self._file} cannot be read: {error.strerror}") from None

    async def test(self, text: str) -> str:
        """What nginx says against it, in its own words; empty where it takes it. A warning is a no: with one of two
        equal names nginx would go on without the other."""
        new = await asyncio.to_thread(self._new, text)
        arguments = ("-p", f"{self._folder}/", "-e", "logs/error.log", "-c", f"conf/{new.name}", "-t", "-q")
        code, said = await self._run(*arguments)
        if code == 0 and not said.strip():
            return ""
        return _told(said, self._folder) or f"nginx ended with {code}"

    def place(self, text: str) -> None:
        """Whole or not at all, also after a crash. It was tested."""
        self._new(text).replace(self._file)
        _sync(self._file.parent)

    def _new(self, text: str) -> Path:
        new = self._file.with_suffix(".new")
        try:
            self._write(new, text)
        except OSError as error:
            raise Transient(f"{new} cannot be written: {error.strerror}") from None
        return new

    def _write(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)  # of whoever died over it
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        self._hand_over(path)

    def _hand_over(self, path: Path) -> None:
        owner = self._folder.stat()
        if os.geteuid() == 0 and owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid)

    async def _run(self, *arguments: str) -> tuple[int, str]:
        """Its exit code, and what it said on stderr."""
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin")
        if program is None:
            raise NeedsOperator("nginx is not installed on this machine")
        try:
            return await asyncio.to_thread(self._ended, [program, *arguments])
        except OSError as error:
            raise NeedsOperator(f"nginx cannot be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise Transient("nginx did not say in time what it thinks of the configuration") from None

    def _ended(self, command: Sequence[str]) -> tuple[int, str]:
        """In a thread: uvloop starts nothing as another user."""
        nothing = subprocess.DEVNULL
        ended = subprocess.run(  # noqa: S603 - an argument list of ours, never a shell
            command,
            cwd=self._folder,
            stdin=nothing,
            stdout=nothing,
            stderr=subprocess.PIPE,
            timeout=TEST_WITHIN,
            check=False,
            **self._user(),
        )
        return ended.returncode, ended.stderr.decode(errors="replace")

    def _user(self) -> Mapping[str, Any]:
        owner = self._folder.stat()
        if os.geteuid() or not owner.st_uid:
            return {}
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}

    def master(self) -> int | None:
        """Its pid, where it runs. The file may be an old one, and its pid somebody else's by now."""
        try:
            pid = int((self._folder / "run/nginx.pid").read_text().strip() or 0)
        except (FileNotFoundError, ValueError):
            return None
        return pid if pid and _title(pid).startswith(b"nginx: master process") else None

    def workers(self, master: int) -> Workers:
        children = _read(f"/proc/{master}/task/{master}/children").split()
        return Workers(tuple(map(int, children)))

    def reload(self, master: int) -> None:
        try:
            os.kill(master, signal.SIGHUP)
        except ProcessLookupError:
            raise Transient("nginx has just ended") from None
        except PermissionError:
            raise NeedsOperator(
                "nginx runs as another user than the provisioner: it cannot be told to reload"
            ) from None

    def log_end(self) -> int:
        with suppress(FileNotFoundError):
            return (self._folder / "logs/error.log").stat().st_size
        return 0

    def emergencies(self, since: int) -> str:
        """Why nginx could not take what it was given, as its log says it."""
        with suppress(FileNotFoundError), (self._folder / "logs/error.log").open("rb") as log:
            log.seek(since)
            lines = log.read(256 * 1024).decode(errors="replace").splitlines()
            return "; ".join(line.partition("[emerg] ")[2] for line in lines if "[emerg]" in line)
        return ""


def _told(said: str, folder: Path) -> str:
    """Without what only says that the test failed."""
    lines = [line.removeprefix("nginx: ") for line in said.splitlines() if line and " test failed" not in line]
    return "; ".join(lines).replace(f"{folder}/conf/nginx.new", "nginx.conf")


def _title(pid: int) -> bytes:
    return _read(f"/proc/{pid}/cmdline")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
