"""What Alembic does at a start that finds an older schema. Imported only then; see `keyturn.migrations`."""

import asyncio
import threading
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

# One number for all services: each has its own database. Alembic's context is global, so one at a time here as well.
_LOCK = 7_315_220
_here = threading.Lock()


def upgrade(url: str, migrations: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["url"] = url
    with _here:
        command.upgrade(config, "head")


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
