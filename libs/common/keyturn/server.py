"""A uvicorn server among other tasks of one process: it takes no signals and never ends the process by itself."""

import contextlib
import os
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from keyturn.errors import Misconfigured

KEEP_ALIVE = 75  # seconds; longer than any client keeps a connection unused, so that none writes into one just closed
HTTP_WITHIN = 3  # seconds for open requests at the stop; event streams never end by themselves


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a taken port is an ordinary error and port 0 tells its number."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Misconfigured(f"cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}") from error


class Server(uvicorn.Server):
    """Stopped by setting `should_exit`."""

    def __init__(self, app: ASGIApp, at: socket.socket) -> None:
        self._socket = at
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http="httptools",
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
