"""Servers and time for all tests. The servers start once, in the process that steers the run, and only if needed."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import MetaData

from keyturn.clock import MovableClock
from support import servers
from support.broker import RabbitMQ, VirtualHost
from support.databases import Databases, DatabaseUrl
from support.waiting import WaitUntil, wait_until

UNIT = Path(__file__).parent / "unit"

settings.register_profile("any machine", deadline=None)  # a busy one is no failure
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and _may_need_servers(config):
        config.add_cleanup(servers.start().close)


def _may_need_servers(config: pytest.Config) -> bool:
    """Unit tests never do; nor does a run that leaves out what is marked `servers`, or only collects."""
    if config.option.collectonly or "not servers" in config.option.markexpr:
        return False
    selected = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return not all(path.is_relative_to(UNIT) for path in selected)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one worker has to do whole comes first, then what has a time-out of its own because it takes long: so that
    all workers end together."""
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in ("xdist_group", "timeout")])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI is set, a skipped test has not been run, and that is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _address(variable: str) -> str:
    address = os.environ.get(variable)
    if address is None:
        reason = os.environ.get(servers.MISSING, f"{variable} is not set: mark this test with `servers`")
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return address


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The address of the tests' PostgreSQL, as a superuser."""
    return _address(servers.POSTGRES_URL)


@pytest.fixture(scope="session")
async def databases(postgres_url: str) -> AsyncIterator[Databases]:
    """For fixtures of a wider scope: `await databases.create("billing")`; in tests use `database_url`."""
    made = Databases(postgres_url)
    yield made
    await made.close()


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[DatabaseUrl]:
    """`await database_url("billing")`: a new database with billing's tables at every call; or with a `MetaData`'s."""
    made: list[str] = []

    async def create(of: str | MetaData) -> str:
        made.append(await databases.create(of))
        return made[-1]

    yield create
    for url in made:
        await databases.drop(url)


@pytest.fixture(scope="session")
def broker() -> Iterator[RabbitMQ]:
    """The session's RabbitMQ. Tests want `rabbitmq`, a virtual host of their own."""
    found = RabbitMQ(_address(servers.RABBITMQ_URL), _address(servers.MANAGEMENT_URL))
    yield found
    found.close()


@pytest.fixture
def rabbitmq(broker: RabbitMQ) -> Iterator[VirtualHost]:
    """A new virtual host with the real topology and rights: `rabbitmq.url("billing")` is billing's BUS_URL."""
    vhost = broker.create()
    yield vhost
    broker.delete(vhost)


@pytest.fixture(name="wait_until")
def _wait_until() -> WaitUntil:
    """`await wait_until(lambda: seen, 5)`: until the condition (plain or async) is true; fails after the time-out."""
    return wait_until


@pytest.fixture
def clock() -> MovableClock:
    """Starts at the real time; `clock.move(timedelta(...))` moves it for everything that was given it."""
    return MovableClock()
