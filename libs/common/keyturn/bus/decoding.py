"""Reading what a stranger wrote into a message's properties.

AMQP's short texts are any bytes, times any number, tables as deep as they are long. The client library gives up the
connection over a text that is not UTF-8, a year that does not exist, or headers deeper than its stack: the message
comes again with the next connection, up to its delivery limit, and no neighbour of it is handled meanwhile. So what
cannot be read is replaced, and judged like any other strange message.
"""

from datetime import UTC, datetime

from pamqp import decode
from pamqp.common import FieldTable

EPOCH = datetime.fromtimestamp(0, UTC)
_UNREADABLE = (ValueError, OverflowError, OSError, RecursionError)


def install() -> None:
    """Into the library's own tables of decoders, for every connection of this process."""
    decode.METHODS |= {"shortstr": _text, "timestamp": _time, "table": _table}
    decode.TABLE_MAPPING |= {b"T": _time, b"F": _table}


def _text(value: bytes) -> tuple[int, str]:
    end = 1 + int.from_bytes(value[:1])
    return end, value[1:end].decode(errors="replace")


def _time(value: bytes) -> tuple[int, datetime]:
    try:
        return decode.timestamp(value)
    except _UNREADABLE:
        return 8, EPOCH


def _table(value: bytes) -> tuple[int, FieldTable]:
    """Of headers with one that cannot be read, none is."""
    try:
        return decode.field_table(value)
    except _UNREADABLE:
        return 4 + int.from_bytes(value[:4]), {}
