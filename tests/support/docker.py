"""A Docker engine for tests, and an image that is made from nothing.

The engine is, in this order: the one that DOCKER_HOST names, the one that runs on this machine, or a private one,
started from this machine's programs (as root on Debian they are installed first) and stopped afterwards. The private
one keeps everything below one folder: no bridge of its own, no firewall rule, no setting of the machine is touched.
"""

import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from sandbox.postgres import dies_with_us
from support import packages

SYSTEM = Path("/var/run/docker.sock")
IMAGE = "keyturn/tiny-app:1"
START_SECONDS = 30.0


class NoEngine(Exception):
    """And why there is none."""


class Engine:
    """`private`: ours, to be stopped and started at will."""

    def __init__(self, path: Path, private: "PrivateEngine | None" = None) -> None:
        self.path = path
        self.private = private
        self.http = httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://docker", timeout=60)

    @property
    def address(self) -> str:
        return f"unix://{self.path}"

    def answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:  # httpx would leave one open where nobody listens
                probe.connect(str(self.path))
            return self.http.get("/_ping").status_code == 200
        except (OSError, httpx.TransportError):
            return False

    def load_image(self) -> None:
        if self.http.get(f"/images/{IMAGE}/json").status_code == 200:
            return
        name, _, tag = IMAGE.partition(":")
        changes = ['ENTRYPOINT ["/bin/start"]', "EXPOSE 8080"]
        params = {"fromSrc": "-", "repo": name, "tag": tag, "changes": changes}
        answer = self.http.post("/images/create", params=params, content=_image())
        assert answer.status_code == 200, answer.text
        assert "error" not in answer.text, answer.text

    def of(self, install: object) -> dict[str, list[dict[str, Any]]]:
        """What there is of an install: its containers, networks and volumes."""
        filters = quote(json.dumps({"label": [f"keyturn.install={install}"]}))
        return {
            "containers": self.http.get(f"/containers/json?all=1&filters={filters}").json(),
            "networks": self.http.get(f"/networks?filters={filters}").json(),
            "volumes": self.http.get(f"/volumes?filters={filters}").json()["Volumes"] or [],
        }

    def counts(self, install: object) -> tuple[int, int, int]:
        """How many containers, networks and volumes."""
        found = self.of(install)
        return len(found["containers"]), len(found["networks"]), len(found["volumes"])

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/containers/{name}/json").json()
        return found

    def remove(self, install: object) -> None:
        self._remove(self.of(install))

    def clear(self) -> None:
        """Of whatever is in it: for one of our own."""
        networks = [one for one in self.http.get("/networks").json() if one["Driver"] == "bridge"]
        self._remove({"containers": self.http.get("/containers/json?all=1").json(), "networks": networks})

    def _remove(self, found: Mapping[str, list[dict[str, Any]]]) -> None:
        for container in found["containers"]:
            self.http.delete(f"/containers/{container['Id']}?force=1&v=1")
        for network in found["networks"]:
            self.http.delete(f"/networks/{network['Id']}")
        for volume in found.get("volumes", []):
            self.http.delete(f"/volumes/{volume['Name']}?force=1")


class PrivateEngine:
    """Our own dockerd. It dies with us, and takes its containers along."""

    def __init__(self, program: str) -> None:
        self._program = program
        self.root = Path(tempfile.mkdtemp(prefix="kt-d", dir="/tmp"))  # short: a socket's path ends at 107 bytes
        # An engine leaves alone what has a route on this machine: several may begin in the same range.
        pool = f"10.{random.randrange(64, 255)}.0.0/16"
        pools = {"default-address-pools": [{"base": pool, "size": 28}]}
        (self.root / "daemon.json").write_text(json.dumps(pools))
        self.engine = Engine(self.root / "docker.sock", self)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        root = self.root
        command = [self._program, "--config-file", root / "daemon.json", "--data-root", root / "data"]
        command += ["--exec-root", root / "exec", "--pidfile", root / "docker.pid", "-H", self.engine.address]
        command += ["--storage-driver", "vfs", "--bridge", "none"]
        command += ["--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        with (root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                list(map(str, command)),
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_us(signal.SIGTERM),  # noqa: PLW1509 - one system call, no lock
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.engine.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (root / "log").read_text(errors="replace")[-2000:]
                self.close()
                raise NoEngine(f"dockerd does not start: {said}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """In order: whatever runs in it is stopped first."""
        if self._process:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def close(self) -> None:
        if self.engine.answers():  # else the networks' bridges would stay
            self.engine.clear()
        self.engine.http.close()
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)


def find() -> Engine:
    """Raises `NoEngine`."""
    given = os.environ.get("DOCKER_HOST", f"unix://{SYSTEM}")
    engine = Engine(Path(given.removeprefix("unix://")))
    if given.startswith("unix://") and engine.answers():
        return engine
    engine.http.close()
    return private()


def private() -> Engine:
    """Raises `NoEngine`."""
    if os.geteuid() != 0:
        raise NoEngine("no Docker engine: none given, none runs here, and one is started by root alone")
    try:
        dockerd = packages.program("dockerd", "docker.io")
        _busybox()
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoEngine(str(error)) from None
    return PrivateEngine(dockerd).start().engine


def _busybox() -> bytes:
    """One that needs no library: in the image there is none."""
    program = Path(packages.program("busybox", "busybox-static"))
    if b"/ld-linux" in program.read_bytes():
        packages.install("busybox-static")
    return program.read_bytes()


def _image() -> bytes:
    """A file system with busybox and a small application. MODE says how it behaves: `crash` ends at once, `deaf` never
    answers, `words` writes some, `greedy` has a part that takes more memory than there is, and outlives it until the
    engine has heard of that."""
    files: Mapping[str, tuple[str | bytes, int]] = {
        "bin/busybox": (_busybox(), 0o755),
        "bin/start": (_START, 0o755),
        "bin/set-password": (_SET_PASSWORD, 0o755),
        "www/health/index.html": ('{"status": "ok"}\n', 0o644),
        "www/cgi-bin/site": (_SITE, 0o755),
        "www/cgi-bin/login": (_LOGIN, 0o755),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("bin", "www", "www/health", "www/cgi-bin"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for name, (said, mode) in files.items():
            content = said.encode() if isinstance(said, str) else said
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


_START = """#!/bin/busybox sh
[ "$MODE" = crash ] && exit 3
[ "$MODE" = words ] && for word in one two three; do echo "of it: $word"; done
[ "$MODE" = greedy ] && { (x=x; while true; do x=$x$x; done); /bin/busybox sleep 2; exit 1; }
[ "$MODE" = deaf ] && exec /bin/busybox sleep 1000
exec /bin/busybox httpd -f -p 8080 -h /www
"""
_SET_PASSWORD = """#!/bin/busybox sh
[ ${#PASSWORD} -ge 10 ] || { echo 'Use at least 10 characters.'; exit 2; }
printf %s "$PASSWORD" | /bin/busybox sha256sum > /data/password
"""
_SITE = """#!/bin/busybox sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
printf %s "$SITE_NAME"
"""
_LOGIN = """#!/bin/busybox sh
if [ "$(/bin/busybox head -c "$CONTENT_LENGTH" | /bin/busybox sha256sum)" = "$(/bin/busybox cat /data/password)" ]
then printf 'Status: 200 OK\\r\\n\\r\\n'
else printf 'Status: 401 No\\r\\n\\r\\n'
fi
"""
