"""A private Pebble, the ACME server for tests, on free loopback ports: names are looked up at the tests' PowerDNS."""

import json
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from support import debian
from support.powerdns import PowerDns, free_port, started, wait_for

ISSUED = re.compile(r"Issued certificate serial (\w+) for order")


class Pebble:
    """It keeps nothing: after `kill` and `start` it knows no account, no order and no certificate. `http_port`: where it
    asks for HTTP-01. `lifetime`: of certificates, in seconds."""

    def __init__(self, resolver: str, lifetime: int = 3600, *, reject: int = 0, http_port: int = 0) -> None:
        self._program = debian.need("pebble", "pebble")
        self.root = Path(tempfile.mkdtemp(prefix="keyturn-pebble-"))
        self.port, self._management = free_port(), free_port()
        self.http_port = http_port or free_port()
        self._resolver = resolver
        self._environment = {
            "PEBBLE_VA_NOSLEEP": "1",  # else it sleeps up to 15 s before it asks
            "PEBBLE_WFE_NONCEREJECT": str(reject),
            "PEBBLE_AUTHZREUSE": "0",
        }
        self.ca_file = self.root / "cert.pem"
        self._make_certificate()
        self._configuration = self.root / "pebble.json"
        self._configuration.write_text(json.dumps({"pebble": self._configured(lifetime)}))
        self.start()

    @property
    def directory(self) -> str:
        return f"https://127.0.0.1:{self.port}/dir"

    @property
    def settings(self) -> dict[str, Any]:
        """For a provisioner."""
        return {"acme_directory": self.directory, "acme_ca_file": self.ca_file}

    def start(self) -> None:
        output = self.root / "output"
        command = [self._program, "-config", str(self._configuration), "-dnsserver", self._resolver, "-strict=false"]
        self._process = started(command, output, **self._environment)
        wait_for(self.answers, self._process, output)

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(self.directory, verify=self.trusting(), timeout=5).is_success
        return False

    def root_certificate(self) -> str:
        """By which what it issues is trusted."""
        url = f"https://127.0.0.1:{self._management}/roots/0"
        return httpx.get(url, verify=self.trusting(), timeout=5).raise_for_status().text

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def issued(self) -> list[str]:
        """The serials of all certificates so far, as it logs them."""
        return [f"{int(serial, 16):x}" for serial in ISSUED.findall(self.log())]

    def log(self) -> str:
        return (self.root / "output").read_text(errors="replace")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def _configured(self, lifetime: int) -> dict[str, Any]:
        return {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(self.ca_file),
            "privateKey": str(self.root / "key.pem"),
            "httpPort": self.http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            "certificateValidityPeriod": lifetime,
            "retryAfter": {"authz": 1, "order": 1},
        }

    def _make_certificate(self) -> None:
        """For its own HTTPS: the package brings none."""
        make_pair(self.ca_file, self.root / "key.pem", "localhost", "IP:127.0.0.1")


def make_pair(certificate: Path, key: Path, name: str, *more: str, days: int = 30) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ",".join([f"subjectAltName=DNS:{name}", *more])
    words += ["-subj", "/CN=test", "-days", str(days), "-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)


@contextmanager
def serving(powerdns: PowerDns, **how: Any) -> Iterator[Pebble]:
    found = Pebble(powerdns.server, **how)
    try:
        yield found
    finally:
        found.close()
