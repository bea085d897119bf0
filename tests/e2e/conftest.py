"""The whole system, once for each way to run it; tests of one way share it, each with purchases of its own."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from support import recipes
from support.broker import RabbitMQ
from support.databases import Databases
from support.forks import Nursery
from support.ways import MEMORY, RABBITMQ
from support.whole import Begin, Way, Whole, whole


@pytest.fixture(scope="session", params=[MEMORY, RABBITMQ])
def way(request: pytest.FixtureRequest) -> Way:
    """Both ways, one after the other; or the one that a test's mark names."""
    chosen: Way = request.param
    return chosen


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


@pytest.fixture(scope="session")
def begin(tmp_path_factory: pytest.TempPathFactory, databases: Databases, broker: RabbitMQ, nursery: Nursery) -> Begin:
    """What is bought there is the tiny application; the sample one is that of `tests/browser` and the demo."""

    def of_its_own(way: Way, /, **settings: str) -> contextlib.AbstractAsyncContextManager[Whole]:
        folder = tmp_path_factory.mktemp(way)
        sold = {"BLUEPRINTS": recipes.write(folder / "blueprints", recipes.tiny(), recipes.sized())}
        return whole(way, folder, databases, broker, nursery, **(sold | settings))

    return of_its_own


@pytest.fixture(scope="session")
async def system(way: Way, begin: Begin) -> AsyncIterator[Whole]:
    """The one that tests share. Whoever stops a service of it starts it again."""
    async with begin(way) as running:
        yield running


@pytest.fixture
async def processes(begin: Begin) -> AsyncIterator[Whole]:
    """A system of processes for one test alone, which may kill them."""
    async with begin("rabbitmq") as running:
        yield running
