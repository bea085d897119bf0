"""What a test started and did not stop, because it failed, does not run on beside the tests after it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

STOP_SECONDS = 10.0


@pytest.fixture(autouse=True)
async def nothing_runs_on() -> AsyncIterator[None]:
    """For folders whose tests share nothing that runs."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=STOP_SECONDS)
