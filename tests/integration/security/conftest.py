"""The fixtures of the services that are attacked here."""

from collections.abc import AsyncIterator

import pytest
from integration.billing.conftest import billing
from integration.gateway.conftest import admin, gateway, start

from support.databases import Databases
from support.house import House, house

__all__ = ["admin", "billing", "gateway", "home", "start"]


@pytest.fixture(scope="session")
async def home(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """All four services. Tests share it, each with purchases of its own."""
    async with house(databases, tmp_path_factory.mktemp("house")) as made:
        yield made
