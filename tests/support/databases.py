"""A fresh database for each test that wants one, copied from a template that was migrated once.

A copy is hundreds of files, and takes longer than most tests: one that is dropped is emptied for the next test.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from keyturn.database import migrate

LARGEST = 2 * 1024 * 1024  # bytes of tables and indexes: beyond it, what earlier tests left behind could be felt

TABLES = "FROM pg_class WHERE relnamespace = 'public'::regnamespace"
SHAPE = f"SELECT md5(string_agg(oid::text || ' ' || xmin::text, ',' ORDER BY oid)) {TABLES}"
SIZE = f"SELECT sum(pg_relation_size(oid)) {TABLES} AND relkind IN ('r', 'i')"
OTHERS = """SELECT count(*) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
EMPTY = """DO $$
  DECLARE one regclass;
  BEGIN
    SET LOCAL session_replication_role = replica;  -- whichever table refers to whichever
    FOR one IN SELECT oid FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
    LOOP EXECUTE format('DELETE FROM %s', one); END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) FROM pg_sequences;
  END $$"""


class DatabaseUrl(Protocol):
    """The fixture `database_url`."""

    def __call__(self, of: str | MetaData, /) -> Awaitable[str]: ...


@dataclass
class _Template:
    name: str
    shape: str
    free: list[str] = field(default_factory=list)  # the names of emptied copies


class Databases:
    """Made by one test process; everything it made is dropped when it closes."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._run = f"test_{secrets.token_hex(4)}"
        self._templates: dict[str | int, _Template] = {}
        self._keep: list[MetaData] = []  # so that no id is used twice
        self._made: dict[str, _Template | None] = {}

    async def create(self, of: str | MetaData) -> str:
        """The URL of an empty database with the tables of a service (its package's migrations) or of a `MetaData`."""
        template = await self._template(of)
        if template.free:
            return self._url(template.free.pop())
        return await self._create(f"{self._run}_{secrets.token_hex(4)}", template)

    async def drop(self, url: str) -> None:
        """Emptied for the next test, if its shape is as it was and nobody is connected: a test that failed may have left
        its service running. Dropped otherwise."""
        name = urlsplit(url).path.removeprefix("/")
        template = self._made[name]
        if template and await _emptied(url, template.shape):
            template.free.append(name)
        else:
            await self._remove(name)

    async def close(self) -> None:
        for name in list(self._made):
            await self._remove(name)

    async def _remove(self, name: str) -> None:
        await self._execute(f'drop database if exists "{name}" with (force)')
        del self._made[name]

    async def _template(self, of: str | MetaData) -> _Template:
        key = of if isinstance(of, str) else id(of)
        if key not in self._templates:
            label = re.sub(r"\W", "_", of) if isinstance(of, str) else str(len(self._templates))
            name = f"{self._run}_template_{label}"
            url = await self._create(name, None)
            await _fill(url, of)
            self._templates[key] = _Template(name, await _shape(url))
            if isinstance(of, MetaData):
                self._keep.append(of)
        return self._templates[key]

    async def _create(self, name: str, template: _Template | None) -> str:
        source = template.name if template else "template0"
        await self._execute(f'create database "{name}" template "{source}" strategy file_copy')
        self._made[name] = template
        return self._url(name)

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self._admin_url)._replace(path=f"/{name}"))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._admin_url, timeout=20)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _shape(url: str) -> str:
    """Changes with everything that is made, altered or truncated; a copy has that of its template."""
    connection = await asyncpg.connect(url, timeout=20)
    try:
        return str(await connection.fetchval(SHAPE))
    finally:
        await connection.close()


async def _emptied(url: str, shape: str) -> bool:
    connection = await asyncpg.connect(url, timeout=20)
    try:
        if not await _alone(connection) or await connection.fetchval(SHAPE) != shape:
            return False
        if (await connection.fetchval(SIZE) or 0) > LARGEST:
            return False
        await connection.execute(EMPTY)
    finally:
        await connection.close()
    return True


async def _alone(connection: asyncpg.Connection) -> bool:
    for _ in range(20):  # the server takes a moment to see that a connection was closed
        if not await connection.fetchval(OTHERS):
            return True
        await asyncio.sleep(0.01)
    return False


async def _fill(url: str, of: str | MetaData) -> None:
    if isinstance(of, str):
        await migrate(url, of)
        return
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(of.create_all)
    await engine.dispose()
