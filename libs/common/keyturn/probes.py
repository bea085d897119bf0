"""What a load balancer, an orchestrator and Prometheus ask: /healthz, /readyz, /metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from keyturn.log import get_logger

Ping = Callable[[], Awaitable[None]]
PING_WITHIN = 2.0  # seconds; an orchestrator's probe waits about as long

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

log = get_logger()


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
        failed = await failures(pings)
        if failed and told is not None and failed != told:
            log.warning("not_ready", failed=failed)
        told = failed if told is not None or not failed else None
        return JSONResponse({"status": "not ready" if failed else "ready", "failed": failed}, 503 if failed else 200)

    @found.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return found
