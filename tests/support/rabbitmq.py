"""A private RabbitMQ on free loopback ports, from the programs of Debian's package, stopped afterwards."""

import base64
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from sandbox.ports import free_port
from sandbox.postgres import dies_with_us

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_SECONDS = 100.0
FOR_TESTS = (
    "disk_free_limit.absolute = 50MB\ncollect_statistics_interval = 1000"  # management tells what is, not what was
)


class PrivateRabbitMQ:
    """One broker. It and its port mapper (epmd, our own child: a daemonised one would outlive us) die with us."""

    def __init__(self, configuration: str = "") -> None:
        """`configuration`: lines of rabbitmq.conf on top of the ports, instead of those for tests."""
        self._root = Path(tempfile.mkdtemp(prefix="keyturn-rabbitmq-"))
        self._who = _unprivileged()
        self.port, self.management_port, self._epmd_port, self._dist_port = (free_port() for _ in range(4))
        self._children: list[subprocess.Popen[bytes]] = []
        self._write_configuration(configuration)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def management_url(self) -> str:
        return f"http://guest:guest@127.0.0.1:{self.management_port}"

    def launch(self) -> Self:
        """Start without waiting, so that other servers can start meanwhile."""
        epmd = shutil.which("epmd") or "/usr/bin/epmd"
        self._children = [self._child([epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"])]
        self._children.append(self._child([str(PROGRAM)]))
        return self

    def wait(self) -> Self:
        """Until the management API, the last to start, answers."""
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.management_url):
            if self._children[-1].poll() is not None or time.monotonic() > deadline:
                output = (self._root / "output").read_text(errors="replace")[-2000:]
                self.stop()
                raise RuntimeError(f"RabbitMQ did not start:\n{output}")
            time.sleep(0.1)
        return self

    def control(self, *arguments: str) -> None:
        """`rabbitmqctl` on this broker."""
        command = [str(PROGRAM.with_name("rabbitmqctl")), *arguments]
        subprocess.run(command, check=True, capture_output=True, env=self._environment(), cwd=self._root, **self._who)

    def kill(self) -> None:
        """The broker alone, at once, as a crash would; `launch` starts it again on the same data and ports."""
        for child in reversed(self._children):
            child.kill()
            child.wait()

    def signal(self, number: signal.Signals) -> None:
        """To the broker, not to its port mapper."""
        self._children[-1].send_signal(number)

    def stop(self) -> None:
        """Without ceremony: its data go with it, and an orderly stop takes seconds."""
        self.kill()
        shutil.rmtree(self._root, ignore_errors=True)

    def _child(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._root / "output").open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self._root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=dies_with_us(signal.SIGKILL),  # noqa: PLW1509 - one system call, no lock
                **self._who,
            )

    def _environment(self) -> dict[str, str]:
        root = self._root
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(root),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script then becomes the broker instead of staying its parent
            "RABBITMQ_NODENAME": f"keyturn-{self.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(root / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(root / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(root / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(root / "data"),
            "RABBITMQ_LOG_BASE": str(root / "log"),
            "RABBITMQ_PID_FILE": str(root / "pid"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
        }

    def _write_configuration(self, configuration: str) -> None:
        root = self._root
        (root / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            f"{configuration or FOR_TESTS}\n"
        )
        # Without it the port that nodes talk on would be open to all.
        (root / "advanced.config").write_text("[{kernel, [{inet_dist_use_interface, {127,0,0,1}}]}].\n")
        (root / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (root / "data").mkdir()
        (root / "log").mkdir()
        if self._who:
            for path in (root, *root.iterdir()):
                os.chown(path, self._who["user"], self._who["group"])


def answers(management_url: str) -> bool:
    """Does a management API answer here, and take the user that stands in the URL?"""
    parts = urlsplit(management_url)
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}/api/overview")
    user = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
    request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return "rabbitmq_version" in json.load(response)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("rabbitmq")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
