"""PostgreSQL and RabbitMQ of the run's own: it kills them, stops them, and starts them again on their data and ports."""

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import psutil

from sandbox.postgres import Postgres
from support.rabbitmq import PrivateRabbitMQ

START_SECONDS = 60.0


class Database:
    """Durable: what was committed before a kill is there after it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.server = Postgres.start(root, durable=True)

    def stop(self) -> None:
        self.server.stop()

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await asyncio.to_thread(self.stop)

    async def launch(self) -> None:
        self.server = await asyncio.to_thread(self._start)

    def _start(self) -> Postgres:
        """The children of a server that was killed need a moment to notice, and it will not start before."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return Postgres.start(self._root, durable=True, port=self.server.port)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def signal(self, number: signal.Signals) -> None:
        """To the server and all its children, each of which leads a group of its own."""
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.server._process.pid)
            for process in (server, *server.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)


class Broker:
    def __init__(self) -> None:
        self.server = PrivateRabbitMQ().launch()

    async def kill(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def launch(self) -> None:
        await asyncio.to_thread(lambda: self.server.launch().wait())

    def signal(self, number: signal.Signals) -> None:
        self.server.signal(number)
