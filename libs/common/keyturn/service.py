"""The skeleton of every service: start, answer probes, hear events, do work, and stop without dropping anything."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import uvloop
from fastapi import APIRouter, FastAPI, Request
from starlette.types import ASGIApp

from keyturn import dead_letters, lag, log, probes
from keyturn.bus import Bus
from keyturn.clock import Clock
from keyturn.database import Database, migrate
from keyturn.errors import Misconfigured
from keyturn.handling import Consumer, Handler
from keyturn.http import ANSWERS, BodyLimit, Boundary, install_problems
from keyturn.internal import Verifier
from keyturn.keychecks import check_rings
from keyturn.lifecycle import Step, closed, supervised, until_there
from keyturn.metrics import BUS_CONNECTED
from keyturn.operations_api import work_router
from keyturn.relay import Relay
from keyturn.sealing import KeyRing
from keyturn.server import Server, listen
from keyturn.settings import WRONG, ServiceSettings, told
from keyturn.work import WorkKind
from keyturn.worker import Worker

D = TypeVar("D")

logger = log.get_logger()


def get_deps(request: Request) -> Any:
    """What a service was built with: `deps: Annotated[XDeps, Depends(get_deps)]`."""
    return request.app.state.deps


@dataclass
class Service(Generic[D]):
    """One service's parts, wired by its `app.py`. Nothing is connected before `start`."""

    name: str
    settings: ServiceSettings
    clock: Clock
    database: Database
    bus: Bus
    deps: D
    handlers: Mapping[type[Any], Handler[Any]]
    work: Mapping[str, WorkKind[D]]
    package: str
    port: int
    routers: Sequence[APIRouter] = ()
    pings: Mapping[str, probes.Ping] = field(default_factory=dict)
    closing: Sequence[Step] = ()
    background: Sequence[Step] = ()
    body_limit: int = 1024 * 1024
    body_limits: Mapping[str, int] = field(default_factory=dict)  # by path, where it is another
    rings: Mapping[str, KeyRing] = field(default_factory=dict)  # by the name of the setting
    app: FastAPI = field(init=False)
    front: ASGIApp = field(init=False)  # what is served: the application, with what its `app.py` puts in front of it
    state: str = field(init=False, default="starting")  # starting, ready, stopping
    listening: asyncio.Event = field(init=False, default_factory=asyncio.Event)  # `port` is the real one from here on

    def __post_init__(self) -> None:
        log.register_secrets(self.settings.secrets())
        self._bus_ping = probes.MayGoAway(self.bus.ping, BUS_CONNECTED.labels(self.name))
        self.front = self.app = self._app()
        self._relay = Relay(self.database, self.bus)
        self._consumer = Consumer(self.database, self.bus, self.handlers)
        work: dict[str, WorkKind[Any]] = {**self.work, "dead_letters": dead_letters.work_kind(self.bus)}
        self._worker = Worker(self.database, work, self.deps, handlers=self.handlers)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._server: Server | None = None
        self._http: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Migrate, hear events, do work. Waits for the database, and not for the bus: that goes on trying by itself,
        and HTTP and work can do without. Raises what no waiting mends: a failed migration, a wrong key."""
        with log.correlated(service=self.name):
            await until_there(self._migrate)
            self.database.wakeups.start()
            await self.bus.connect()
            await self._relay.start()
            await self._consumer.start()
            await self._worker.start()
            watches: list[Step] = [self._bus_ping.watch, partial(lag.watch, self.name)]
            for step in (*watches, *self.background):
                self._spawn(supervised(step))
            self.state = "ready"
            logger.info("service_ready", port=self.port)

    async def stop(self) -> None:
        """Take nothing new, finish what runs, close. Safe to call at any moment, also twice."""
        self.state = "stopping"
        with log.correlated(service=self.name):
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.gather(closed(self._consumer.stop), closed(self._worker.stop))
            await self._stop_http()
            await closed(self._relay.stop)  # after the others, so that what they committed last still goes out
            for step in (*self.closing, self.bus.close, self.database.close):
                await closed(step)
            logger.info("service_stopped")

    async def serve(self) -> None:
        """Start, answer HTTP, and return after `request_stop`. Takes no signals: several can share a process."""
        at = listen(self.settings.host, self.port)
        self.port = at.getsockname()[1]
        self._server = Server(self.front, at)
        self._http = asyncio.create_task(self._server.run_until_told())
        self.listening.set()
        try:
            await self._start_or_stop()
            await self._stop.wait()
        finally:
            await self.stop()

    def request_stop(self) -> None:
        self._stop.set()

    async def _start_or_stop(self) -> None:
        """A stop asked for while the database is away must not wait for it."""
        starting, stopping = asyncio.create_task(self.start()), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not starting.done():
                starting.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
        if not starting.cancelled():
            starting.result()

    async def _stop_http(self) -> None:
        """Answers until here: a person who waits while work finishes is still served."""
        if self._server and self._http:
            self._server.should_exit = True
            await asyncio.gather(self._http, return_exceptions=True)

    async def _migrate(self) -> None:
        await self.database.ping()
        await migrate(self.database.url, self.package)
        await check_rings(self.database, self.rings)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _app(self) -> FastAPI:
        app = FastAPI(
            title=f"Keyturn {self.name}",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            responses=ANSWERS,
            telemetry={"exclude": probes.is_probe, "operation_spans": False, "logs": False},
        )
        app.state.deps = self.deps
        app.state.database = self.database
        app.state.verifier = Verifier(self.settings.internal_key, self.name)
        install_problems(app)
        app.add_middleware(BodyLimit, most=self.body_limit, other=self.body_limits)
        app.add_middleware(Boundary, service=self.name)
        pings: dict[str, probes.Ping] = {
            "database": self.database.ping,
            "bus": self._bus_ping,
            "tasks": self._alive,
            **self.pings,
        }
        for router in (probes.router(pings, lambda: self.state), work_router(self.database), *self.routers):
            app.include_router(router)
        return app

    async def _alive(self) -> None:
        """Raises where the relay, the consumer or the worker has died: a bug, which only a restart mends."""
        if not all(part.alive() for part in (self._relay, self._consumer, self._worker)):
            raise RuntimeError


def run(build: Callable[[], Service[Any]]) -> None:
    """A service as a process of its own. Exits 0 after SIGTERM or SIGINT, 2 for wrong settings, 1 otherwise."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(build))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # everything is closed; a thread that hangs in a library must not keep the process alive


def collect_less_garbage() -> None:
    """What is there at the start stays, and little that comes later is in cycles: looking through all of it again and
    again took a tenth of the time under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


async def _run(build: Callable[[], Service[Any]]) -> int:
    try:
        service = build()
    except WRONG as error:
        print(told(error), file=sys.stderr)  # noqa: T201 - logs come later
        return 2
    log.configure(service.name, service.settings.log_format, service.settings.log_level)
    collect_less_garbage()
    if service.settings.bus_url.startswith("memory:"):
        logger.warning("memory_bus_reaches_no_other_process", setting="BUS_URL")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.request_stop)
    try:
        await service.serve()
    except Misconfigured as error:
        logger.error("service_not_started", reason=str(error))  # noqa: TRY400 - the operator's to mend
        return 2
    except Exception:
        logger.exception("service_failed")
        return 1
    return 0
