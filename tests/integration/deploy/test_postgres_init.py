"""The script that makes the databases in compose, run against a PostgreSQL of our own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from keyturn.bus.topology import SERVICES
from sandbox.postgres import Postgres, programs

pytestmark = pytest.mark.servers

SCRIPT = Path(__file__).parents[3] / "deploy/docker/postgres-init.sh"
PASSWORD = 'it\'s; a "hard" $one\\'


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    root = Path(tempfile.mkdtemp(prefix="keyturn-postgres-"))
    root.chmod(0o755)  # as root, the server runs as somebody else, who has to get in
    made = Postgres.start(root / "server", durable=False)
    environment = {f"{service.upper()}_DB_PASSWORD": PASSWORD + service for service in SERVICES} | {
        "PATH": f"{programs() / 'bin'}:{os.environ['PATH']}",  # for psql
        "POSTGRES_USER": "postgres",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(made.port),
        "PGPASSWORD": made.password,
    }
    subprocess.run([SCRIPT], env=environment, check=True)
    yield made
    made.stop()
    shutil.rmtree(root)


async def _connect(server: Postgres, service: str, database: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1", port=server.port, user=service, password=PASSWORD + service, database=database
    )


@pytest.mark.parametrize("service", SERVICES)
async def test_each_service_has_a_database_of_its_own_and_sees_no_other(server: Postgres, service: str) -> None:
    own = await _connect(server, service, service)
    await own.execute("create table t (id int)")
    await own.close()
    for other in set(SERVICES) - {service}:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await _connect(server, service, other)


async def test_a_service_s_user_may_make_no_users_and_no_databases(server: Postgres) -> None:
    connection = await _connect(server, "billing", "billing")
    for statement in ("create role more", "create database more"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()


async def test_nobody_on_the_network_can_be_the_superuser(server: Postgres) -> None:
    """Its password is looked at by no service, so nothing would notice one that is still an example's."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host="127.0.0.1", port=server.port, user="postgres", password=server.password, database="postgres"
        )
