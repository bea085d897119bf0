"""What stands beside a request's body is kept until it is whole: it has an end, and what follows the body is no header."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send

from keyturn.server import HEAD_LIMIT, Server, listen

CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.1\r\ntransfer-encoding: chunked\r\n\r\n"


async def headers_and_size(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it got: how many bytes of body, and the addresses that the headers name."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    named = [value.decode() for name, value in scope["headers"] if name == b"x-forwarded-for"]
    said = f"{size} {','.join(named)}".encode()
    length = str(len(said)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": said})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    socket = listen("127.0.0.1", 0)
    server = Server(headers_and_size, socket)
    running = asyncio.create_task(server.run_until_told())
    yield socket.getsockname()[1]
    server.should_exit = True
    await running


async def sent(port: int, begin: bytes, part: bytes, parts: int, end: bytes = b"") -> bytes:
    """The first line of the answer, and its last. A sender that is cut off stops."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(begin)
        for _ in range(parts):
            writer.write(part)
            await writer.drain()
        writer.write(end)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head.partition(b"\r\n")[0] + b" | " + await reader.readexactly(length)
    except ConnectionError:
        return b"cut off"
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (b"GET /", b"a" * 4096),
        (b"GET / HTTP/1.1\r\nx: ", b"a" * 4096),
        (b"GET / HTTP/1.1\r\n", b"x: a\r\n" * 700),
        (b"", b"\r\n" * 2048),
        (CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b"a" * 4096),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: a\r\n" * 700),
        (CHUNKED + b"2;x=", b"a" * 4096),
    ],
    ids=["address", "header", "headers", "empty lines", "trailer", "trailers", "extension of a chunk"],
)
async def test_what_has_no_end_is_cut_off(port: int, begin: bytes, part: bytes) -> None:
    answer = await sent(port, begin, part, 3 * HEAD_LIMIT // len(part))
    assert answer.startswith((b"HTTP/1.1 400", b"cut off")), answer


async def test_a_trailer_is_no_header(port: int) -> None:
    """Proxies set X-Forwarded-For in the head, and some pass trailers on as they came."""
    answer = await sent(port, CHUNKED + b"2\r\n{}\r\n0\r\nx-forwarded-for: 198.51.100.1\r\n\r\n", b"", 0)
    assert answer == b"HTTP/1.1 200 OK | 2 192.0.2.1"


@pytest.mark.parametrize("size", [1, 7, 4096, 200_000])
async def test_a_body_comes_in_chunks_of_any_size(port: int, size: int) -> None:
    part = b"%x\r\n%s\r\n" % (size, b"x" * size)
    count = max(1, 150_000 // size)
    assert await sent(port, CHUNKED, part, count, b"0\r\n\r\n") == b"HTTP/1.1 200 OK | %d 192.0.2.1" % (size * count)


async def test_a_body_of_a_stated_length_is_none_of_the_head(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
    assert await sent(port, head, b"x" * 50_000, 20) == b"HTTP/1.1 200 OK | 1000000 "


async def test_each_request_of_a_connection_has_a_limit_of_its_own(port: int) -> None:
    request = b"GET / HTTP/1.1\r\nx: " + b"a" * (HEAD_LIMIT * 3 // 4) + b"\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(4):
        writer.write(request)
        assert (await asyncio.wait_for(reader.readline(), 10)) == b"HTTP/1.1 200 OK\r\n"
        while await reader.readline() != b"\r\n":
            pass
        assert await reader.readexactly(2) == b"0 "
    writer.close()
