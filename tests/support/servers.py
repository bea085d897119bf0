"""Where the tests' PostgreSQL and RabbitMQ come from. Each is looked for in this order:

1. the URL in the environment (TEST_POSTGRES_URL, TEST_RABBITMQ_URL),
2. a container, where a Docker engine can run the image,
3. the program on this machine, started privately on a free loopback port and stopped afterwards,
4. on Debian as root, the same after installing the package.

Addresses are handed on through the environment, so that xdist's workers and the services under test find them. Where
no way works, the reason is handed on instead: those tests are skipped, or fail where CI is set.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from sandbox.postgres import Postgres, PostgresMissing
from support import debian, rabbitmq

POSTGRES_URL = "TEST_POSTGRES_URL"
RABBITMQ_URL = "TEST_RABBITMQ_URL"
MANAGEMENT_URL = "TEST_RABBITMQ_MANAGEMENT_URL"
MISSING = "TEST_SERVERS_MISSING"  # why there is none, when there is none

POSTGRES_IMAGE = "postgres:18"
RABBITMQ_IMAGE = "rabbitmq:4.2-management"


def start(*, broker_too: bool = True) -> ExitStack:
    """Both servers; closing the stack stops what was started here."""
    running = ExitStack()
    missing: list[str] = []
    there = not broker_too or _given_rabbitmq() or _rabbitmq_container(running)
    broker = None if there else _private_rabbitmq(running, missing)
    if not (os.environ.get(POSTGRES_URL) or _postgres_container(running)):
        _private_postgres(running, missing)
    if broker:  # started first and awaited last: it takes the longest
        broker.wait()
        _hand_on(running, {RABBITMQ_URL: broker.url, MANAGEMENT_URL: broker.management_url})
    if missing:
        _hand_on(running, {MISSING: "; ".join(missing)})
    return running


def _hand_on(running: ExitStack, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    for name in variables:
        running.callback(os.environ.pop, name, None)


def _given_rabbitmq() -> bool:
    """Is a broker named in the environment, and its management API there too? (The tests make virtual hosts.)"""
    url = os.environ.get(RABBITMQ_URL)
    if not url:
        return False
    parts = urlsplit(url)
    user = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
    management = os.environ.setdefault(MANAGEMENT_URL, f"http://{user}@{parts.hostname}:15672")
    return rabbitmq.answers(management)


def _private_postgres(running: ExitStack, missing: list[str]) -> None:
    root = Path(tempfile.mkdtemp(prefix="keyturn-postgres-"))
    root.chmod(0o755)
    running.callback(shutil.rmtree, root, ignore_errors=True)
    try:
        server = Postgres.start(root / "server", durable=False)
    except PostgresMissing as error:
        missing.append(str(error))
        return
    running.callback(server.stop)
    # It has no TLS, and its password is nobody's: asking for the one and stretching the other take three quarters of the
    # time to connect.
    asyncio.run(_quick_to_enter(server))
    _hand_on(running, {POSTGRES_URL: server.url, "PGSSLMODE": "disable"})


async def _quick_to_enter(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url, timeout=20)
    with suppress(asyncpg.UndefinedObjectError):  # an older server
        await connection.execute("SET scram_iterations = 1")
        await connection.execute(f"ALTER ROLE postgres PASSWORD '{server.password}'")
    await connection.close()


def _private_rabbitmq(running: ExitStack, missing: list[str]) -> rabbitmq.PrivateRabbitMQ | None:
    reason = _installable() if not rabbitmq.PROGRAM.exists() else None
    if reason:
        missing.append(f"no RabbitMQ: {reason}")
        return None
    broker = rabbitmq.PrivateRabbitMQ()
    running.callback(broker.stop)
    return broker.launch()


def _installable() -> str | None:
    """Install Debian's package; gives why that cannot be, or None when it was done."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "no URL given, no Docker engine, not installed, and not root on Debian"
    try:
        debian.install("rabbitmq-server")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"installing it failed: {error}"
    return None


def _postgres_container(running: ExitStack) -> bool:
    def start() -> dict[str, str]:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        container = DockerContainer(POSTGRES_IMAGE).with_env("POSTGRES_PASSWORD", "test").with_exposed_ports(5432)
        container.with_command("postgres -c fsync=off -c max_connections=200")
        container.waiting_for(LogMessageWaitStrategy("ready to accept connections", times=2))
        container.start()
        running.callback(container.stop)
        host = f"{container.get_container_host_ip()}:{container.get_exposed_port(5432)}"
        return {POSTGRES_URL: f"postgresql://postgres:test@{host}/postgres"}

    return _started(running, start)


def _rabbitmq_container(running: ExitStack) -> bool:
    def start() -> dict[str, str]:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        container = DockerContainer(RABBITMQ_IMAGE).with_exposed_ports(5672, 15672)
        container.with_env("RABBITMQ_DEFAULT_USER", "test").with_env("RABBITMQ_DEFAULT_PASS", "test")
        container.waiting_for(LogMessageWaitStrategy("Server startup complete"))
        container.start()
        running.callback(container.stop)
        host = container.get_container_host_ip()
        return {
            RABBITMQ_URL: f"amqp://test:test@{host}:{container.get_exposed_port(5672)}/",
            MANAGEMENT_URL: f"http://test:test@{host}:{container.get_exposed_port(15672)}",
        }

    return _started(running, start)


def _started(running: ExitStack, start: Callable[[], dict[str, str]]) -> bool:
    """Without an engine the library raises whatever its transport raises, at construction already."""
    if not (os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()):
        return False
    try:
        variables = start()
    except Exception:  # noqa: BLE001 - an engine that cannot run the image is the same as none
        return False
    _hand_on(running, variables)
    return True
