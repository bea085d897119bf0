"""Migrations: one Alembic history for each service, inside its package.

    python -m keyturn.migrations new billing "add coupons"     a migration from the models' differences
    python -m keyturn.migrations reset billing                 0001_initial anew (until the first release)
    python -m keyturn.migrations check billing                 fails where migrations and models differ

All three need a server on which they may make a scratch database: `MIGRATIONS_URL`, else `TEST_POSTGRES_URL`.
What they do with it: `keyturn.revisions`.
"""

import asyncio
import importlib
from importlib.resources import files
from pathlib import Path

import asyncpg


async def migrate(url: str, package: str) -> None:
    """Bring the database at `url` to the newest schema of `package`. Several may call this at once."""
    if await _current(url) == newest(package):
        return  # nearly every start: Alembic would take a fifth of its time, and ten megabytes for good
    upgrading = importlib.import_module("keyturn.upgrading")
    await asyncio.to_thread(upgrading.upgrade, url, folder(package))


def folder(package: str) -> Path:
    return Path(str(files(importlib.import_module(package)) / "migrations"))


def newest(package: str) -> str | None:
    """The last revision's name: the number in front of its file's."""
    return max((file.name.split("_")[0] for file in folder(package).glob("versions/[0-9]*.py")), default=None)


async def _current(url: str) -> object:
    connection = await asyncpg.connect(
        url.replace("postgresql+asyncpg://", "postgresql://", 1), timeout=10, command_timeout=10
    )
    try:
        return await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()


if __name__ == "__main__":
    from keyturn.revisions import main

    main()
