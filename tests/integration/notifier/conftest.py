from collections.abc import AsyncIterator

import pytest

from sandbox.mailbox import Mailbox
from support.databases import DatabaseUrl
from support.notifier import World
from support.notifier import world as make_world


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with Mailbox() as made:
        yield made


@pytest.fixture
async def world(database_url: DatabaseUrl, mailbox: Mailbox) -> AsyncIterator[World]:
    async with make_world(await database_url("notifier"), mailbox) as made:
        yield made
