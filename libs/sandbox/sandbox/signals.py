"""Ctrl-C and SIGTERM end what runs in order: at any moment, also half-way through a start."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import uvloop

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130  # the exit code that shells know


def run(work: Coroutine[Any, Any, int]) -> int:
    """Runs it to its exit code. The first signal cancels it; further ones are ignored, or the tidying would be cut."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_cancelled_by_signals(work))


async def _cancelled_by_signals(work: Coroutine[Any, Any, int]) -> int:
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    told: list[signal.Signals] = []

    def tell(number: signal.Signals) -> None:
        told.append(number)
        if len(told) == 1:
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, tell, number)
    await asyncio.wait([task])
    if task.cancelled():
        return INTERRUPTED
    return task.result()


async def forever() -> None:
    """Waits for ever: whoever runs in `run` is cancelled by the signal."""
    await asyncio.Event().wait()
