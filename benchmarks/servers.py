"""What the benchmarks start: a durable PostgreSQL, RabbitMQ, Redis, and the programs under test. All on loopback."""

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from sandbox.ports import free_port
from sandbox.postgres import Postgres, dies_with_us

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
START_SECONDS = 60.0


def facts() -> str:
    """What the figures depend on, and how busy the machine was before."""
    memory = psutil.virtual_memory().total / 2**30
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {machine}; load before: {load}"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A scratch folder that PostgreSQL's own user may enter."""
    made = Path(tempfile.mkdtemp(prefix="keyturn-bench-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def postgres(scratch: Path) -> Iterator[Postgres]:
    """With fsync, as in production."""
    server = Postgres.start(scratch / "postgres", durable=True)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def program(
    arguments: Sequence[str], environment: Mapping[str, str], port: int, *, cwd: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs it until the block ends, and waits until its port answers. Its output goes to `log`."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            arguments,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp"), **environment},
            cwd=cwd,
            stdout=out,
            stderr=out,
            preexec_fn=dies_with_us(signal.SIGTERM),  # noqa: PLW1509 - one system call
        )
    try:
        _wait(process, port, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


@contextlib.contextmanager
def redis(scratch: Path) -> Iterator[int]:
    """Redis as BullMQ advises: the append-only file synced every second."""
    port = free_port()
    where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(scratch)]
    arguments = ["redis-server", *where, "--appendonly", "yes"]
    with program(arguments, {}, port, cwd=scratch, log=scratch / "redis.log"):
        yield port


def until_ready(url: str) -> None:
    """Until `/readyz` there says yes."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=2):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{url} did not become ready")


def python() -> str:
    return sys.executable
