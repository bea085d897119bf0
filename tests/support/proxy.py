"""A TCP proxy that can be told to misbehave: pass, swallow, delay, reset, refuse."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Literal, Self

Mode = Literal["pass", "swallow to", "swallow from", "refuse"]  # to the server, from the server


class Proxy:
    """`async with Proxy("127.0.0.1:5672") as proxy:` and connect to `proxy.address`. Of several targets each connection
    gets the next one that answers."""

    def __init__(self, *targets: str, port: int = 0) -> None:
        self._targets = deque((host, int(at)) for host, _, at in (target.rpartition(":") for target in targets))
        self._port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.mode: Mode = "pass"
        self.delay = 0.0
        self.accepted = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def reset(self) -> None:
        """Cut every connection there is, without a goodbye. New ones are made as `mode` says."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.mode == "refuse":
            writer.transport.abort()
            return
        connected = await self._connect()
        if connected is None:
            writer.transport.abort()
            return
        server_reader, server_writer = connected
        self._writers |= {writer, server_writer}
        self.accepted += 1  # from now on `reset` cuts it
        try:
            await asyncio.gather(
                self._pump(reader, server_writer, "swallow to"), self._pump(server_reader, writer, "swallow from")
            )
        finally:
            for end in (writer, server_writer):
                self._writers.discard(end)
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._targets.rotate()
        for target in tuple(self._targets):
            with suppress(OSError):
                return await asyncio.open_connection(*target)
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallow: Mode) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self.mode == swallow:
                    continue
                await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.close()
