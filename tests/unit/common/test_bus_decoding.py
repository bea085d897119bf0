"""What strangers write into a message's properties is read, or replaced."""

from typing import Any

import pytest
from pamqp import decode

from keyturn.bus import decoding

decoding.install()


@pytest.mark.parametrize(
    ("written", "kind", "read"),
    [
        (b"\x02ok..", "shortstr", (3, "ok")),
        (b"\x02\xff\xfe..", "shortstr", (3, "\N{REPLACEMENT CHARACTER}" * 2)),
        ((1 << 60).to_bytes(8), "timestamp", (8, decoding.EPOCH)),
        (b"\0\0\0\x04\x01aB\x07..", "table", (8, {"a": 7})),
        (b"\0\0\0\x04\x01\xffB\x07..", "table", (8, {})),
        (b"\0\0\0\x0b\x01aT" + (1 << 60).to_bytes(8), "table", (15, {"a": decoding.EPOCH})),
    ],
)
def test_a_property_is_read_whatever_its_bytes_are(written: bytes, kind: str, read: Any) -> None:
    assert decode.by_type(written, kind) == read


@pytest.mark.parametrize(("tag", "name"), [(b"F", b"\x01a"), (b"A", b"")])
def test_headers_nested_deeper_than_our_stack_cost_nothing(tag: bytes, name: bytes) -> None:
    inner = bytes(4)
    for _ in range(5_000):
        inner = _long(name + tag + inner)
    headers = _long(b"\x01a" + tag + inner)
    end, _ = decode.by_type(headers, "table")
    assert end == len(headers)


def _long(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value
