"""A private nginx on free loopback ports, with a wildcard certificate that it made itself; and how its sites look to
a browser. As root it runs as a user who is not."""

import asyncio
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sandbox.ports import free_port
from sandbox.postgres import dies_with_us
from support import debian
from support.waiting import wait_until

DOMAIN = "example.test"


class PrivateNginx:
    """Its folder is given to the provisioner; it starts with whatever stands there."""

    def __init__(self) -> None:
        self._program = debian.need("nginx", "nginx")
        self._root = Path(tempfile.mkdtemp(prefix="keyturn-nginx-"))
        self._root.chmod(0o755)
        self.folder = self._root / "nginx"
        self.folder.mkdir(0o755)
        self.challenges = self._root / "challenges"
        self.challenges.mkdir(0o755)
        self.https, self.http = free_port(), free_port()
        self._who = _unprivileged()
        self.certificate, self.key = self.certify("wildcard", f"*.{DOMAIN}")
        if self._who:
            os.chown(self.folder, self._who["user"], self._who["group"])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Of the provisioner."""
        return {
            "nginx_dir": self.folder,
            "acme_challenges": self.challenges,
            "nginx_https": (f"127.0.0.1:{self.https}",),
            "nginx_http": (f"127.0.0.1:{self.http}",),
            "nginx_public_port": self.https,
            "nginx_certificate": str(self.certificate),
            "nginx_certificate_key": str(self.key),
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same, for a provisioner that is a process."""
        listed = {name: ",".join(v) if isinstance(v, tuple) else str(v) for name, v in self.settings.items()}
        return {name.upper(): value for name, value in listed.items()}

    @property
    def configuration(self) -> Path:
        return self.folder / "conf" / "nginx.conf"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        command = [self._program, "-p", f"{self.folder}/", "-e", "logs/error.log", "-c", "conf/nginx.conf"]
        with (self._root / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=dies_with_us(signal.SIGTERM),  # noqa: PLW1509 - one system call, no lock
                **self._who,
            )

    async def start(self) -> None:
        """Until it answers."""
        self.launch()
        await wait_until(self._answers, 10)

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._root / "output").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.https)
        except OSError:
            return False
        writer.close()
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """SIGKILL leaves the workers to die by themselves, as when the machine's memory is out."""
        if self._process and self._process.poll() is None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            self._process.send_signal(number)
            if number == signal.SIGKILL:
                for child in children:
                    os.kill(int(child), number)
            self._process.wait(10)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def certify(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """A certificate for these hosts that signed itself, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(who)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, SHA256())
        )
        files = self._root / f"{name}.crt", self._root / f"{name}.key"
        files[0].write_bytes(made.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def trusting(self, *certificates: Path) -> ssl.SSLContext:
        context = ssl.create_default_context()
        for file in certificates or (self.certificate,):
            context.load_verify_locations(file)
        return context

    async def get(
        self, host: str, path: str = "/", *, trusting: ssl.SSLContext | None = None, **rest: Any
    ) -> httpx.Response:
        """As a browser that finds the host here, on a connection of its own."""
        async with httpx.AsyncClient(verify=trusting or self.trusting(), trust_env=False) as client:
            return await client.request(
                rest.pop("method", "GET"),
                f"https://127.0.0.1:{self.https}{path}",
                headers={"host": f"{host}:{self.https}", **rest.pop("headers", {})},
                extensions={"sni_hostname": host},
                **rest,
            )

    async def talk(self, host: str, *messages: str) -> list[str]:
        """Over a WebSocket: what is answered to each message."""
        context = self.trusting()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.https, ssl=context, server_hostname=host)
        asked = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        lines = [f"{name}: {value}" for name, value in {**asked, "Sec-WebSocket-Key": "x" * 24}.items()]
        writer.write("\r\n".join(["GET /chat HTTP/1.1", *lines, "", ""]).encode())
        assert b" 101 " in (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]
        answers = []
        for message in messages:
            mask, plain = os.urandom(4), message.encode()
            masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(plain))
            writer.write(bytes([0x81, 0x80 | len(plain)]) + mask + masked)
            head = await reader.readexactly(2)
            answers.append((await reader.readexactly(head[1])).decode())
        writer.close()
        return answers

    async def status(self, host: str, path: str = "/", **rest: Any) -> int:
        return (await self.get(host, path, **rest)).status_code


@asynccontextmanager
async def nginx() -> AsyncIterator[PrivateNginx]:
    """Not started. Skips the test where there is no nginx on this machine, and none can be had."""
    found = await asyncio.to_thread(PrivateNginx)
    try:
        yield found
    finally:
        found.remove()


def _unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
