"""Concurrent writers share a commit: while one batch is being written, the next one gathers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from keyturn.errors import Unavailable

I = TypeVar("I")  # noqa: E741 - item
R = TypeVar("R")

MOST_AT_ONCE = 200  # rows in one statement
MOST_WAITING = 5_000  # beyond it nobody would be answered in time
WRITE_WITHIN = 4.0  # seconds; providers give up after 5


class Batcher(Generic[I, R]):
    """`await batcher.put(item)` returns that item's answer from `write` once it is committed, or raises."""

    def __init__(self, write: Callable[[Sequence[I]], Awaitable[Sequence[R]]]) -> None:
        self._write = write
        self._waiting: list[tuple[I, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, item: I) -> R:
        """Raises `Unavailable` where the database is away or too slow; the item may have been written all the same."""
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("too many requests are waiting for the database")
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="batch")
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._flush(batch)
        finally:
            self._task = None

    async def _flush(self, batch: Sequence[tuple[I, asyncio.Future[R]]]) -> None:
        try:
            async with asyncio.timeout(WRITE_WITHIN):
                answers = await self._write([item for item, _ in batch])
        except (Unavailable, TimeoutError) as error:
            _fail(batch, error if isinstance(error, Unavailable) else Unavailable("the database is too slow"))
        except Exception as error:  # noqa: BLE001 - goes to whoever waits for the item
            await self._one_by_one(batch, error)
        else:
            for (_, waiting), answer in zip(batch, answers, strict=True):
                if not waiting.done():
                    waiting.set_result(answer)

    async def _one_by_one(self, batch: Sequence[tuple[I, asyncio.Future[R]]], error: Exception) -> None:
        """One item that cannot be written must not stop the others."""
        if len(batch) == 1:
            _fail(batch, error)
            return
        for alone in batch:
            await self._flush([alone])


def _fail(batch: Sequence[tuple[I, asyncio.Future[R]]], error: Exception) -> None:
    for _, waiting in batch:
        if not waiting.done():
            waiting.set_exception(error)
