"""A fresh database for each test that wants one, copied from a template that was migrated once."""

import re
import secrets
from collections.abc import Awaitable
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from keyturn.database import migrate


class DatabaseUrl(Protocol):
    """The fixture `database_url`."""

    def __call__(self, of: str | MetaData, /) -> Awaitable[str]: ...


class Databases:
    """Made by one test process; everything it made is dropped when it closes."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._run = f"test_{secrets.token_hex(4)}"
        self._templates: dict[str | int, str] = {}
        self._keep: list[MetaData] = []  # so that no id is used twice
        self._made: list[str] = []

    async def create(self, of: str | MetaData) -> str:
        """The URL of a new database with the tables of a service (its package's migrations) or of a `MetaData`."""
        template = await self._template(of)
        return await self._create(f"{self._run}_{secrets.token_hex(4)}", template)

    async def drop(self, url: str) -> None:
        """With whoever is still connected: a test that failed may have left its service running."""
        name = urlsplit(url).path.removeprefix("/")
        await self._execute(f'drop database if exists "{name}" with (force)')
        self._made.remove(name)

    async def close(self) -> None:
        for name in list(self._made):
            await self.drop(self._url(name))

    async def _template(self, of: str | MetaData) -> str:
        key = of if isinstance(of, str) else id(of)
        if key not in self._templates:
            label = re.sub(r"\W", "_", of) if isinstance(of, str) else str(len(self._templates))
            name = f"{self._run}_template_{label}"
            await _fill(await self._create(name, "template0"), of)
            self._templates[key] = name
            if isinstance(of, MetaData):
                self._keep.append(of)
        return self._templates[key]

    async def _create(self, name: str, template: str) -> str:
        await self._execute(f'create database "{name}" template "{template}" strategy file_copy')
        self._made.append(name)
        return self._url(name)

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self._admin_url)._replace(path=f"/{name}"))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._admin_url, timeout=20)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _fill(url: str, of: str | MetaData) -> None:
    if isinstance(of, str):
        await migrate(url, of)
        return
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(of.create_all)
    await engine.dispose()
