"""A journey as it happens, as server-sent events: `install` is the customer's view, `journey` one event.

The id of each event is its place in the journey; a browser that comes back names the last it saw and misses nothing.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import StreamingResponse

from gateway import clients, limits
from gateway.access import LIFETIME
from gateway.api import proofs, views
from gateway.deps import GatewayDeps
from gateway.domain import Journey
from gateway.live import Watcher, uncut
from gateway.operators import Viewer
from gateway.repository import journeys
from gateway.repository.journeys import StoredJourney
from keyturn.errors import Unavailable
from keyturn.service import get_deps

router = APIRouter(tags=["journeys"], dependencies=[limits.STATUS])
JSON = dict[str, Any]
Deps = Annotated[GatewayDeps, Depends(get_deps)]
MOST = 500
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/api/journeys/{purchase_id}")
async def journey(purchase_id: str, _: Viewer, request: Request, deps: Deps) -> dict[str, Any]:
    """The whole journey, for operators."""
    purchase, _seer = await proofs.must_see(request, deps, purchase_id)
    async with deps.database.transaction("read_journey") as tx:
        found = await journeys.find(tx, purchase)
        events = await journeys.events_after(tx, purchase, 0, MOST + 1)
    if found is None:
        raise proofs.unknown()
    told = [views.event(event, whole=True) for event in events[:MOST]]
    return views.operator(found.journey) | {"events": told, "truncated": len(events) > MOST}


@router.post("/api/journeys/{purchase_id}/ticket")
async def ticket(purchase_id: str, request: Request, deps: Deps) -> dict[str, Any]:
    """A short-lived ticket for `?ticket=` of the stream: an EventSource can send no header."""
    purchase, _ = await proofs.must_see(request, deps, purchase_id)
    made = deps.access.sign(purchase, "ticket", deps.clock.now())
    return {"ticket": made, "expiresIn": int(LIFETIME["ticket"].total_seconds())}


@router.get(
    "/api/journeys/{purchase_id}/events",
    response_class=StreamingResponse,
    responses={200: {"description": "Without an end", "content": {"text/event-stream": {}}}},
)
async def events(
    purchase_id: str, request: Request, deps: Deps, last_event_id: Annotated[str, Header()] = ""
) -> StreamingResponse:
    purchase, seer = await proofs.must_see(request, deps, purchase_id, by_ticket=True)
    ours = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19  # as PostgreSQL counts
    after = int(last_event_id) if ours else 0
    client = clients.address(request.scope, deps.settings.trusted_proxies)

    async def proven() -> bool:
        return await proofs.seer(request, deps, purchase, by_ticket=True) == seer

    watching = deps.live.watch(purchase, after, client, proven)
    stream = _stream(deps, purchase, watching, whole=seer == "operator")
    first = await anext(stream)  # a refusal must come before the answer begins
    return StreamingResponse(_chain(first, stream), media_type="text/event-stream", headers=HEADERS)


async def _stream(
    deps: GatewayDeps, purchase: UUID, watching: AbstractContextManager[Watcher], *, whole: bool
) -> AsyncIterator[str]:
    with watching as watcher:
        yield "retry: 2000\n\n"
        shown: JSON | None = None
        async for batch in deps.live.events(purchase, watcher):
            for event in batch:
                yield _event("journey", views.event(event, whole=whole), event.id)
            view = shown if batch else await _view(deps, purchase, watcher.last, shown)
            if view != shown:
                yield _event("install", view or {})
            elif not batch:
                yield ": still here\n\n"
            shown = view


async def _view(deps: GatewayDeps, purchase: UUID, told: int, shown: JSON | None) -> JSON | None:
    """The install as it stands. Where it is already ahead of the events told so far it is told after those."""

    async def read() -> StoredJourney | None:
        async with deps.database.transaction("read_install") as tx:
            return await journeys.find(tx, purchase)

    try:
        found = await uncut(read())
    except Unavailable:
        return shown
    if found and found.last_event > told:
        return shown
    return views.customer(found.journey if found else Journey(str(purchase)))


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for part in rest:
        yield part


def _event(name: str, data: dict[str, Any], number: int | None = None) -> str:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
