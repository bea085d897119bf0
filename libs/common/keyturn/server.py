"""A uvicorn server among other tasks of one process: it takes no signals and never ends the process by itself."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keyturn.errors import Misconfigured

KEEP_ALIVE = 75  # seconds; longer than any client keeps a connection unused, so that none writes into one just closed
HTTP_WITHIN = 3  # seconds for open requests at the stop; event streams never end by themselves
HEAD_LIMIT = 64 * 1024  # bytes of a request that are not its body
FRAMING = 16  # such bytes that a byte of a body may bring with it: in chunks of one byte it has five


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a taken port is an ordinary error and port 0 tells its number."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Misconfigured(f"cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}") from error


class Together:
    """A transport that keeps a piece until the next, or until the loop's next turn: an answer's head and body come one
    after the other, and would be two system calls here and two packets there."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._kept = b""
        self._call_soon = asyncio.get_running_loop().call_soon
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        if self._kept:
            data, self._kept = self._kept + data, b""
            self._transport.write(data)
        elif data:
            self._kept = data
            self._call_soon(self._send)

    def _send(self) -> None:
        if self._kept:
            data, self._kept = self._kept, b""
            if not self.is_closing():  # nobody reads it any more
                self._transport.write(data)

    def close(self) -> None:
        self._send()
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """uvicorn's, which by itself keeps an address, headers and trailers without end, and takes trailers, which some
    proxies pass on as they came, for headers. `scope["whole"]`: the body is here, so that nobody need wait for it."""

    _left = HEAD_LIMIT

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.transport = Together(transport)  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        self._left = HEAD_LIMIT
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.headers = []  # of trailers, which nobody reads

    def on_message_complete(self) -> None:
        self.cycle.scope["whole"] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        self._left = min(self._left + FRAMING * len(body), HEAD_LIMIT)
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        super().data_received(data)
        if self._left < 0 and not self.transport.is_closing():
            self.send_400_response("The request has too much beside its body.")


class Server(uvicorn.Server):
    """Stopped by setting `should_exit`."""

    def __init__(self, app: ASGIApp, at: socket.socket) -> None:
        self._socket = at
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=HTTP_WITHIN,
            )
        )

    async def run_until_told(self) -> None:
        await self.serve(sockets=[self._socket])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
