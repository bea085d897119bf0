"""The whole system, once for each way to run it; tests of one way share it, each with purchases of its own."""

from collections.abc import AsyncIterator

import pytest

from support.broker import RabbitMQ
from support.databases import Databases
from support.whole import Way, Whole, whole

WAYS = [pytest.param(way, marks=pytest.mark.xdist_group(way)) for way in ("memory", "rabbitmq")]


@pytest.fixture(scope="session", params=WAYS)
async def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, databases: Databases, broker: RabbitMQ
) -> AsyncIterator[Whole]:
    """Both ways, one after the other."""
    way: Way = request.param
    async with whole(way, tmp_path_factory.mktemp(way), databases, broker) as running:
        yield running


@pytest.fixture
async def processes(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, broker: RabbitMQ
) -> AsyncIterator[Whole]:
    """A system of processes for one test alone, which may kill them."""
    async with whole("rabbitmq", tmp_path_factory.mktemp("processes"), databases, broker) as running:
        yield running
