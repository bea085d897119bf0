"""Operators: who did what, and how things stand in numbers."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from gateway.api.asking import Deps, Limit
from gateway.api.camel import camel
from gateway.operators import Viewer
from gateway.repository import journeys, operators
from keyturn.errors import Problem

router = APIRouter(tags=["operators"])
Days = Annotated[int, Query(ge=1, le=366)]


@router.get("/api/audit")
async def audit(
    *,
    _: Viewer,
    deps: Deps,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    cursor: str | None = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Newest first."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise Problem(422, "invalid_cursor", "the cursor is not one that this list gave")
    wanted = {"actor": actor, "action": action, "target": target}
    given = {name: value for name, value in wanted.items() if value is not None}
    async with deps.database.transaction("read_audit") as tx:
        found = await operators.audit(tx, given, int(cursor) if cursor else None, limit)
    more = str(found[-1]["id"]) if len(found) == limit else None
    return {"items": [camel(entry) for entry in found], "nextCursor": more}


@router.get("/api/stats")
async def stats(_: Viewer, deps: Deps, days: Days = 30) -> dict[str, Any]:
    """How many purchases and installs of the last days are in which state."""
    async with deps.database.transaction("read_stats") as tx:
        return {"days": days, **await journeys.stats(tx, timedelta(days=days))}


@router.get("/api/provisioning/stats")
async def provisioning_stats(_: Viewer, deps: Deps, days: Days = 30) -> dict[str, Any]:
    async with deps.database.transaction("read_stats") as tx:
        return {"days": days, **(await journeys.stats(tx, timedelta(days=days)))["installs"]}
