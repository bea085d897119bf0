"""Programs that tests need: on Debian, as root, they are installed where they are missing."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def program(name: str, package: str) -> str:
    """Where it is, installed if need be. Raises `OSError` where there is none and none can be had."""
    if found := _found(name):
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise OSError(f"no {name}: not installed, and not root on Debian")
    with (Path(tempfile.gettempdir()) / "keyturn-tests-install").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one installs
        if not _found(name):
            install(package)
    if found := _found(name):
        return found
    raise OSError(f"no {name}: the package {package} does not have it")


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin")


def install(package: str) -> None:
    """Debian's, without letting it start a service of its own. Raises `CalledProcessError`, `OSError`."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        for arguments in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", package]):
            command = ["apt-get", "-o", "DPkg::Lock::Timeout=120", *arguments]
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(command, check=True, capture_output=True, env=environment)
    finally:
        if ours:
            policy.unlink()
