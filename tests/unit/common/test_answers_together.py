"""An answer's head and body leave together."""

import asyncio
from typing import Any

from keyturn.server import Together


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.lost = False

    def write(self, data: bytes) -> None:
        if self.lost:
            raise RuntimeError("the handler is closed")  # as uvloop does
        self.sent.append(data)

    def close(self) -> None:
        self.sent.append(b"closed")

    def is_closing(self) -> bool:
        return self.lost

    def get_extra_info(self, name: str) -> Any:
        return name


async def test_head_and_body_are_one_piece() -> None:
    wire = Wire()
    transport = Together(wire)
    transport.write(b"head ")
    transport.write(b"body")
    await asyncio.sleep(0)
    assert wire.sent == [b"head body"]


async def test_a_head_whose_body_is_not_there_yet_leaves_at_the_next_turn() -> None:
    wire = Wire()
    transport = Together(wire)
    transport.write(b"head ")
    assert not wire.sent
    await asyncio.sleep(0)
    transport.write(b"first event")
    await asyncio.sleep(0)
    assert wire.sent == [b"head ", b"first event"]


async def test_what_is_kept_is_sent_before_the_end() -> None:
    wire = Wire()
    transport = Together(wire)
    transport.write(b"head ")
    transport.write(b"")
    transport.write(b"refused")
    transport.close()
    await asyncio.sleep(0)
    assert wire.sent == [b"head ", b"refused", b"closed"]


async def test_what_is_kept_for_a_connection_that_is_lost_is_dropped() -> None:
    wire, complaints = Wire(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    transport = Together(wire)
    transport.write(b"head ")
    wire.lost = True
    await asyncio.sleep(0)
    assert (wire.sent, complaints) == ([], [])
