"""An application of the sandbox on a port of its own, in this process; on loopback unless told otherwise."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

STOP_SECONDS = 1.0  # for answers that are under way


class _Server(uvicorn.Server):
    """Ends when it is told to. uvicorn's own looks ten times a second, and then waits as long again: of a test that has
    a server of its own, that is half the time."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # whoever owns the process owns its signals

    async def main_loop(self) -> None:
        while not self.told.is_set():
            await self.on_tick(0)  # the date in its answers
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.told.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while state.connections or state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(0.005)
        for task in state.tasks:
            task.cancel()


class Loopback:
    """Bound at once, so that the address is known before the application is built; served after `start`.

    `port` must be free; `wish` is taken if it is.
    """

    def __init__(self, port: int | None = None, *, wish: int | None = None, host: str = "127.0.0.1") -> None:
        # A web page elsewhere may give this machine a name of its own, and would be let in as if it were ours.
        self._names = ["127.0.0.1", "localhost"] if host == "127.0.0.1" else ["*"]
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port or wish or 0))
        except OSError:
            if port:
                raise
            self._socket.bind((host, 0))
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, app: FastAPI) -> None:
        """Returns when requests are answered."""
        guarded = TrustedHostMiddleware(app, allowed_hosts=self._names, www_redirect=False)
        # log level: an answer that is cut off on purpose is an error to uvicorn
        config = uvicorn.Config(guarded, log_level="critical", lifespan="off")
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name=f"serve {self.url}")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError(f"{self.url} did not start")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        if self._server and self._task:
            self._server.told.set()
            await self._task
        self._socket.close()
