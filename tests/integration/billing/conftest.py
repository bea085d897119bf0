from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

import pytest

from keyturn.clock import MovableClock
from support.billing import World, world


class DatabaseUrl(Protocol):
    def __call__(self, of: str, /) -> Awaitable[str]: ...


@pytest.fixture
async def billing(database_url: DatabaseUrl, clock: MovableClock) -> AsyncIterator[World]:
    async with world(await database_url("billing"), clock) as made:
        yield made
