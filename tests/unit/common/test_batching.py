"""Concurrent requests share a write; each gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from keyturn.batching import MOST_WAITING, Batcher
from keyturn.errors import Unavailable


class Writer:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.began = asyncio.Event()

    async def write(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.began.set()
        await self.open.wait()
        if 13 in items:
            raise ValueError("13 cannot be written")
        return [item * 10 for item in items]


async def test_what_comes_during_a_write_is_written_together_next() -> None:
    writer = Writer()
    batcher = Batcher(writer.write)
    writer.open.clear()
    first = asyncio.create_task(batcher.put(1))
    await writer.began.wait()
    others = [asyncio.create_task(batcher.put(item)) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    writer.open.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert writer.batches == [[1], [2, 3, 4]]


async def test_rule_16_one_item_that_cannot_be_written_stops_no_other() -> None:
    batcher = Batcher(Writer().write)
    answers = await asyncio.gather(*(batcher.put(item) for item in (1, 13, 2)), return_exceptions=True)
    assert (answers[0], answers[2]) == (10, 20)
    assert isinstance(answers[1], ValueError)


async def test_a_failed_write_fails_each_request_and_the_next_one_is_tried() -> None:
    away = True

    async def write(items: Sequence[int]) -> Sequence[int]:
        if away:
            raise Unavailable("away")
        return items

    batcher = Batcher(write)
    answers = await asyncio.gather(*(batcher.put(item) for item in (1, 2)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    away = False
    assert await batcher.put(3) == 3


async def test_a_requester_that_gives_up_stops_no_other() -> None:
    writer = Writer()
    batcher = Batcher(writer.write)
    writer.open.clear()
    tasks = [asyncio.create_task(batcher.put(item)) for item in (1, 2)]
    await writer.began.wait()
    tasks[0].cancel()
    writer.open.set()
    assert await tasks[1] == 20


async def test_too_many_waiting_are_refused_at_once() -> None:
    writer = Writer()
    batcher = Batcher(writer.write)
    writer.open.clear()
    tasks = [asyncio.create_task(batcher.put(item + 100)) for item in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await batcher.put(1)
    writer.open.set()
    await asyncio.gather(*tasks)
