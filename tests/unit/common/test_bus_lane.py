"""One channel to publish on: what becomes of what is in flight, and of whoever waits behind it."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aio_pika.exceptions import ChannelClosed

from keyturn.bus import Refused, Unknown
from keyturn.bus.lane import Lane, outcome
from support.buses import message


class Lanes:
    """A lane on a channel that goes nowhere, and how often it was told to be lost."""

    def __init__(self) -> None:
        self.lost = 0
        self.closing = asyncio.get_running_loop().create_future()
        channel = SimpleNamespace(close=self._close)
        underlay = SimpleNamespace(
            closing=self.closing,
            number=1,
            max_content_size=1000,
            delivery_tag=0,
            confirmations={},
            message_id_delivery_tag={},
            write_queue=asyncio.Queue(),
        )
        self.lane = Lane(cast("Any", channel), cast("Any", underlay), "gateway", self._lost)

    def _lost(self) -> None:
        self.lost += 1

    async def _close(self) -> None:
        self.closing.set_exception(ChannelClosed(None, None))
        self.closing.exception()


async def test_a_lane_is_lost_once() -> None:
    """Its end, which comes later, is no failure of what was asked for meanwhile."""
    lanes = Lanes()
    (sent,) = await lanes.lane.send([message()])
    lanes.lane.give_up(Unknown("no confirm came"))
    await asyncio.wait([lanes.closing])
    await asyncio.sleep(0)
    assert isinstance(outcome(sent), Unknown)
    assert lanes.lost == 1


async def test_what_cannot_be_written_is_refused_and_nothing_else() -> None:
    lanes = Lanes()
    sent = await lanes.lane.send([message(1), message(2, subject="x" * 300), message(3)])
    lanes.lane.give_up(Unknown("no confirm came"))
    assert [type(outcome(one)) for one in sent] == [Unknown, Refused, Unknown]
