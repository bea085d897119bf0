"""What the library raises for a connection of no use, in our one word for it."""

import asyncio

import pytest
from aio_pika.exceptions import ChannelClosed, ChannelInvalidStateError
from aiormq.base import FutureStore

from keyturn.bus.link import library_errors


@pytest.mark.parametrize(
    "error", [ChannelClosed(404, "no queue"), ChannelInvalidStateError("closed"), OSError("reset"), TimeoutError()]
)
def test_whatever_says_that_the_connection_is_of_no_use_is_a_connection_error(error: Exception) -> None:
    with pytest.raises(ConnectionError), library_errors():
        raise error


async def test_asking_on_a_channel_that_is_closing_is_a_connection_error() -> None:
    store = FutureStore(asyncio.get_running_loop())  # what every channel keeps its questions in
    await store.reject_all(None)
    with pytest.raises(ConnectionError), library_errors():
        await store.create_task(asyncio.sleep(0))


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(KeyError), library_errors():
        raise KeyError("wrong")
