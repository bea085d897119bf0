"""Programs that tests need and this machine may lack: on Debian, as root, their packages are installed."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def install(*packages: str) -> None:
    """Without letting them start a service of their own. Raises `CalledProcessError`, `OSError`."""
    with _one_at_a_time(), _no_service_starts():
        for arguments in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *packages]):
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", *arguments], check=True, capture_output=True, env=environment)


def need(program: str, *packages: str) -> str:
    """Where the program is; installed first where it can be. Skips the test where not, or fails it where CI is set."""
    if shutil.which(program) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            install(*packages)
        except (OSError, subprocess.CalledProcessError) as error:
            missing(f"{program}: installing {' '.join(packages)} failed: {error}")
    return shutil.which(program) or missing(f"{program} is not installed ({' '.join(packages)}), and we are not root")


def missing(reason: str) -> str:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    raise AssertionError


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """xdist's workers may want to at the same time."""
    with (Path(tempfile.gettempdir()) / "keyturn-tests-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_service_starts() -> Iterator[None]:
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
