"""Migrations: one Alembic history for each service, inside its package.

    python -m keyturn.migrations new billing "add coupons"     a migration from the models' differences
    python -m keyturn.migrations reset billing                 0001_initial anew (until the first release)
    python -m keyturn.migrations check billing                 fails where migrations and models differ

All three need a server on which they may make a scratch database: `MIGRATIONS_URL`, else `TEST_POSTGRES_URL`.
What they do with it: `keyturn.revisions`.
"""

import asyncio
import importlib
import threading
from importlib.resources import files

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

# One number for all services: each has its own database. Alembic's context is global, so one at a time here as well.
_LOCK = 7_315_220
_here = threading.Lock()


async def migrate(url: str, package: str) -> None:
    """Bring the database at `url` to the newest schema of `package`. Several may call this at once."""
    await asyncio.to_thread(_upgrade, url, package)


def _upgrade(url: str, package: str) -> None:
    with _here:
        command.upgrade(config(url, package), "head")


def config(url: str, package: str) -> Config:
    found = Config()
    found.set_main_option("script_location", str(files(importlib.import_module(package)) / "migrations"))
    found.attributes["url"] = url
    return found


def run_env(metadata: MetaData) -> None:
    """The whole of a service's `migrations/env.py`."""
    asyncio.run(_run(context.config.attributes["url"], metadata))


async def _run(url: str, metadata: MetaData) -> None:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate, metadata)
    finally:
        await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        context.run_migrations()


if __name__ == "__main__":
    from keyturn.revisions import main

    main()
