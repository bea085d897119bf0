"""A private PowerDNS on free loopback ports, or the one of TEST_POWERDNS_URL, TEST_POWERDNS_KEY and TEST_POWERDNS_SERVER."""

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import httpx

from sandbox.postgres import dies_with_us
from support import debian

SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
START_SECONDS = 30.0
NAMESERVER = "ns1.provider.test"
# The caches are off: with them a test reads what was, and a new zone stays unknown for minutes.
CONFIGURATION = """\
launch=gsqlite3
gsqlite3-database={root}/zones.sqlite3
local-address=127.0.0.1
local-port={port}
api=yes
api-key={key}
webserver=yes
webserver-address=127.0.0.1
webserver-port={api_port}
webserver-allow-from=127.0.0.1
webserver-loglevel=none
socket-dir={root}
security-poll-suffix=
daemon=no
guardian=no
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
default-soa-content=ns1.provider.test. hostmaster.@ 0 10800 3600 604800 300
"""


class PowerDns:
    """What a test asks of the server, beside what the service does."""

    def __init__(self, url: str, key: str, server: str) -> None:
        self.url = url
        self.key = key
        self.server = server
        self._api = httpx.Client(
            base_url=f"{url}/api/v1/servers/localhost",
            headers={"X-API-Key": key, "Accept": "application/json"},
            timeout=10,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """For a provisioner."""
        return {
            "powerdns_url": self.url,
            "powerdns_api_key": self.key,
            "powerdns_server": self.server,
            "dns_nameservers": (NAMESERVER,),
        }

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return self._api.get("/zones?zone=none.").is_success
        return False

    def zone(self, name: str) -> dict[str, Any] | None:
        answer = self._api.get(f"/zones/{name}.")
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def create(self, name: str, account: str = "") -> None:
        body = {"name": f"{name}.", "kind": "Native", "nameservers": [f"{NAMESERVER}."], "account": account}
        self._api.post("/zones", json=body).raise_for_status()

    def put(self, zone: str, name: str, kind: str, *contents: str, ttl: int = 60) -> None:
        """As somebody else would, without a mark. Without contents the set is removed."""
        records = [{"content": content, "disabled": False} for content in contents]
        change = {"name": f"{name}.", "type": kind, "changetype": "REPLACE" if records else "DELETE"}
        body = {"rrsets": [change | ({"ttl": ttl, "records": records} if records else {})]}
        self._api.patch(f"/zones/{zone}.", json=body).raise_for_status()

    def sets(self, zone: str) -> dict[tuple[str, str], list[str]]:
        """What stands in the zone, apart from its own SOA and NS."""
        found = (self.zone(zone) or {"rrsets": []})["rrsets"]
        listed = {(one["name"].removesuffix("."), one["type"]): _contents(one) for one in found if one["records"]}
        return {key: contents for key, contents in listed.items() if key not in {(zone, "SOA"), (zone, "NS")}}

    def says(self, name: str, kind: str) -> set[str]:
        """Over DNS, with the TTL in front."""
        host, _, port = self.server.rpartition(":")
        answer = dns.query.udp(dns.message.make_query(f"{name}.", kind), host, timeout=5, port=int(port))
        return {f"{found.ttl} {one.to_text()}" for found in answer.answer for one in found}

    def close(self) -> None:
        self._api.close()


def _contents(listed: dict[str, Any]) -> list[str]:
    return sorted(record["content"] for record in listed["records"])


class PrivatePowerDns(PowerDns):
    def __init__(self) -> None:
        self._program = debian.need("pdns_server", "pdns-server", "pdns-backend-sqlite3")
        self.root = Path(tempfile.mkdtemp(prefix="keyturn-powerdns-"))
        port, api_port = free_port(udp=True), free_port()
        super().__init__(f"http://127.0.0.1:{api_port}", "test", f"127.0.0.1:{port}")
        with sqlite3.connect(self.root / "zones.sqlite3") as database:
            database.executescript(SCHEMA.read_text())
        database.close()
        text = CONFIGURATION.format(root=self.root, port=port, api_port=api_port, key=self.key)
        (self.root / "pdns.conf").write_text(text)
        self.start()

    def start(self) -> None:
        self._process = started([self._program, f"--config-dir={self.root}"], self.root / "output")
        wait_for(self.answers, self._process, self.root / "output")

    def kill(self) -> None:
        """`start` starts it again, on the same zones and ports."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        super().close()
        self.kill()
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def serving() -> Iterator[PowerDns]:
    url = os.environ.get("TEST_POWERDNS_URL")
    found = (
        PowerDns(url, os.environ["TEST_POWERDNS_KEY"], os.environ["TEST_POWERDNS_SERVER"]) if url else PrivatePowerDns()
    )
    try:
        yield found
    finally:
        found.close()


def free_port(*, udp: bool = False) -> int:
    """Free for TCP, and for UDP too, and outside the range from which outgoing connections are given theirs."""
    kinds = [socket.SOCK_STREAM, *([socket.SOCK_DGRAM] if udp else [])]
    while True:
        port = random.randrange(15_000, 32_000)
        with suppress(OSError):
            for kind in kinds:
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
            return port


def started(command: Sequence[str], output: Path, **environment: str) -> subprocess.Popen[bytes]:
    with output.open("ab") as file:
        return subprocess.Popen(
            command,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGKILL),  # noqa: PLW1509 - one system call, no lock
        )


def wait_for(ready: Any, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"{process.args!r} did not start:\n{output.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
