"""A provisioner whose target is a fake, with recipes that a test writes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from keyturn.clock import MovableClock
from keyturn.retry import RetryPolicy
from provisioner.deps import Policy
from support import powerdns as private_powerdns
from support.docker import Engine
from support.docker_rig import engine_for_tests
from support.fake_target import World, fake_kinds
from support.forks import Nursery
from support.nginx import PrivateNginx, nginx
from support.powerdns import PowerDns
from support.provisioning import Rig, WaitUntil, running, settings_for

SHOP = """
name: shop
resources:
  network: {type: fake.thing, size: "{plan.size}"}
  database: {type: fake.thing, secret: "{random.db}"}
  shop: {type: fake.thing, size: "{plan.size}", after: "{network.address} {database.key}"}
outputs: {url: "http://{install.hostname}/"}
setup:
  - {type: fake.setup, password: "{password}"}
"""
OPEN = "name: open\nresources:\n  thing: {type: fake.thing, size: '{plan.size}'}\n"
QUICK = Policy(
    retry=RetryPolicy(attempts=3, first=timedelta(milliseconds=1), cap=timedelta(milliseconds=5)),
    removal=RetryPolicy(attempts=2, first=timedelta(milliseconds=1), cap=timedelta(milliseconds=5)),
    capacity_every=timedelta(seconds=30),
)
MakeRig: TypeAlias = Callable[..., Awaitable[Rig]]


@pytest.fixture(scope="session")
def powerdns() -> Iterator[PowerDns]:
    with private_powerdns.serving() as found:
        yield found


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """For processes that are to be killed."""
    with Nursery() as found:
        yield found


@pytest.fixture(scope="session", name="engine")
def _engine() -> Iterator[Engine]:
    """Of Docker."""
    yield from engine_for_tests()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def make_rig(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil, world: World
) -> AsyncIterator[MakeRig]:
    """`await make_rig()`: a replica of one provisioner; more calls give more replicas on the same database."""
    url = await database_url("provisioner")
    recipes = tmp_path / "blueprints"
    recipes.mkdir()
    async with AsyncExitStack() as stack:

        async def make(*blueprints: str, policy: Policy = QUICK) -> Rig:
            for number, text in enumerate(blueprints or (SHOP, OPEN)):
                (recipes / f"{number}.yaml").write_text(text)
            settings = settings_for(url, tmp_path)
            rig = running(settings, clock, wait_until, kinds=fake_kinds(world), policy=policy, recipes=recipes)
            return await stack.enter_async_context(rig)

        yield make


@pytest.fixture
async def web() -> AsyncIterator[PrivateNginx]:
    async with nginx() as found:
        yield found
