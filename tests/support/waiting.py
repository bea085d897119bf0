"""Tests wait for a condition, never for a time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest


class WaitUntil(Protocol):
    def __call__(self, condition: Callable[[], object], timeout: float = 10, /) -> Awaitable[None]: ...


async def wait_until(condition: Callable[[], object], timeout: float = 10, /) -> None:  # noqa: ASYNC109 - its whole point
    """Until the condition (plain or async) is true; fails the test after the time-out, in seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"not so within {timeout} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(0.01)
