"""Writing migrations from the models, and comparing the two. Development only; see `keyturn.migrations`."""

import argparse
import asyncio
import importlib
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations.ops import MigrationScript
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from keyturn.migrations import migrate

_MODULE = '''"""{title}."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "{revision}"
down_revision = {before}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")  # rather fail than hold up the version that still runs
    {body}
'''


async def new(server: str, package: str, title: str) -> Path | None:
    """A migration that brings the newest schema to the models; None where nothing differs."""
    async with scratch(server) as url:
        if any(_versions(package).glob("[0-9]*.py")):
            await migrate(url, package)
        script = await _difference(url, _metadata(package))
    assert script.upgrade_ops is not None
    return None if script.upgrade_ops.is_empty() else _write(package, title, script)


async def reset(server: str, package: str) -> Path | None:
    """The first migration anew, from the models alone."""
    for file in _versions(package).glob("[0-9]*.py"):
        file.unlink()
    return await new(server, package, "initial")


async def differences(server: str, package: str) -> str:
    """What the models have and the migrations do not, as code; empty where they agree."""
    async with scratch(server) as url:
        await migrate(url, package)
        script = await _difference(url, _metadata(package))
    assert script.upgrade_ops is not None
    return "" if script.upgrade_ops.is_empty() else _code(script)


@asynccontextmanager
async def scratch(server: str) -> AsyncIterator[str]:
    """The URL of an empty database, gone afterwards."""
    server = server.replace("postgresql+asyncpg://", "postgresql://", 1)
    name = f"migrations_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(server, timeout=20)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield urlunsplit(urlsplit(server)._replace(scheme="postgresql+asyncpg", path=f"/{name}"))
        finally:
            await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def _difference(url: str, metadata: MetaData) -> MigrationScript:
    def compare(connection: Connection) -> MigrationScript:
        options = {"compare_type": True, "compare_server_default": True}
        return produce_migrations(MigrationContext.configure(connection, opts=options), metadata)

    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


def _write(package: str, title: str, script: MigrationScript) -> Path:
    folder = _versions(package)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = sorted(int(file.name[:4]) for file in folder.glob("[0-9]*.py"))
    number = f"{(numbers or [0])[-1] + 1:04}"
    before = f'"{numbers[-1]:04}"' if numbers else "None"
    slug = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    module = _MODULE.format(title=title.capitalize(), revision=number, before=before, body=_code(script))
    file = folder / f"{number}_{slug}.py"
    file.write_text(module)
    return file


def _code(script: MigrationScript) -> str:
    assert script.upgrade_ops is not None
    lines = render_python_code(script.upgrade_ops).splitlines()
    code = "\n".join(line for line in lines if not line.lstrip().startswith("# ###"))
    return re.sub(r"JSONB\([\w=, ]*astext_type=Text\(\)\)", "JSONB()", code).strip()


def _versions(package: str) -> Path:
    return Path(str(importlib.import_module(package).__file__)).parent / "migrations" / "versions"


def _metadata(package: str) -> MetaData:
    tables = importlib.import_module(f"{package}.tables")
    found: MetaData = tables.Base.metadata if hasattr(tables, "Base") else tables.metadata
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m keyturn.migrations")
    parser.add_argument("action", choices=["new", "reset", "check"])
    parser.add_argument("service")
    parser.add_argument("message", nargs="?", default="change")
    asked = parser.parse_args()
    server = os.environ.get("MIGRATIONS_URL") or os.environ.get("TEST_POSTGRES_URL")
    if not server:
        parser.error("set MIGRATIONS_URL to a PostgreSQL server on which a scratch database may be made")
    if asked.action == "check":
        found = asyncio.run(differences(server, asked.service))
        sys.exit(f"{asked.service}: models and migrations differ\n{found}" if found else 0)
    made = asyncio.run(
        reset(server, asked.service) if asked.action == "reset" else new(server, asked.service, asked.message)
    )
    sys.stdout.write(f"{made or 'nothing differs'}\n")
