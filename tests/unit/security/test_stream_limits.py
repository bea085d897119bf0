"""Streams cost a connection each: nobody gets all of them, however many purchases they opened."""

from contextlib import ExitStack
from typing import Any, cast
from uuid import uuid4

import pytest

from gateway.live import MOST, MOST_OF_CLIENT, LiveJourneys
from keyturn.errors import Problem


async def always() -> bool:
    return True


def test_one_address_gets_its_share_of_the_streams_and_leaves_the_rest() -> None:
    live = LiveJourneys(cast("Any", None))
    with ExitStack() as stack:
        for _ in range(MOST_OF_CLIENT):
            stack.enter_context(live.watch(uuid4(), 0, "198.51.100.7", always))
        with pytest.raises(Problem) as refused, live.watch(uuid4(), 0, "198.51.100.7", always):
            pass
        assert refused.value.status == 429
        with live.watch(uuid4(), 0, "203.0.113.9", always):
            assert MOST_OF_CLIENT <= MOST / 10
    with live.watch(uuid4(), 0, "198.51.100.7", always):
        pass
