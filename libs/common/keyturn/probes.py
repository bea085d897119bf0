"""What a load balancer, an orchestrator and Prometheus ask: /healthz, /readyz, /metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from keyturn.log import get_logger

Ping = Callable[[], Awaitable[None]]
PING_WITHIN = 2.0  # seconds; an orchestrator's probe waits about as long
WATCH_EVERY = 2.0

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

log = get_logger()


class MayGoAway:
    """A ping of what the service waits for at its start and can do without later: docs/decisions/0006-readiness.md."""

    def __init__(self, ping: Ping, gauge: Gauge) -> None:
        self._ping = ping
        self._gauge = gauge
        self.was_there = False

    async def __call__(self) -> None:
        try:
            await self._ping()
        except BaseException:  # a time-out, too
            self._gauge.set(0)
            raise
        self._gauge.set(1)
        self.was_there = True

    async def watch(self) -> None:
        """For ever, so that the gauge is right and the first meeting is noticed when nobody probes."""
        while True:
            await _asked(self, PING_WITHIN)
            await asyncio.sleep(WATCH_EVERY)


def is_probe(scope: MutableMapping[str, Any]) -> bool:
    """Probes are not worth a trace."""
    return scope.get("path") in PATHS


async def failures(pings: Mapping[str, Ping], within: float = PING_WITHIN) -> dict[str, str]:
    """Asks every dependency at once; those that do not answer, with the kind of failure and nothing more."""
    answers = await asyncio.gather(*(_asked(ping, within) for ping in pings.values()))
    return {name: failure for name, failure in zip(pings, answers, strict=True) if failure}


async def _asked(ping: Ping, within: float) -> str | None:
    try:
        async with asyncio.timeout(within):
            await ping()
    except TimeoutError:
        return "no answer in time"
    except Exception as error:  # noqa: BLE001 - any failure of a dependency means not ready, whatever its class
        return type(error).__name__
    return None


def _can_do_without(ping: Ping) -> bool:
    return isinstance(ping, MayGoAway) and ping.was_there


def router(pings: Mapping[str, Ping], state: Callable[[], str]) -> APIRouter:
    """`state` says `ready`, or why the service takes no traffic whatever its dependencies say."""
    found = APIRouter(include_in_schema=False)
    told: dict[str, str] | None = None  # what failed at the last probe; None: it was never ready, and is starting

    @found.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @found.get("/readyz")
    async def ready() -> JSONResponse:
        if (status := state()) != "ready":
            return JSONResponse({"status": status}, 503)
        nonlocal told
        away = await failures(pings)
        degraded = {name: why for name, why in away.items() if _can_do_without(pings[name])}
        failed = {name: why for name, why in away.items() if name not in degraded}
        if away and told is not None and away != told:
            log.warning("not_ready" if failed else "degraded", failed=away)
        told = away if told is not None or not failed else None
        answer = {"status": "not ready" if failed else "ready", "failed": failed}
        return JSONResponse(answer | ({"degraded": degraded} if degraded else {}), 503 if failed else 200)

    @found.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return found
