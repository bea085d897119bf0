"""Scheduled runs over HTTP: what they did, when they are due, and one by hand."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from billing import scheduling, views
from billing.deps import BillingDeps
from billing.errors import run_unknown
from billing.pages import LONGEST, cursor_of, place_of
from billing.repository.runs import get_run, list_parts, list_runs, list_schedules
from keyturn.http import Named, Words
from keyturn.internal import Operator, Viewer
from keyturn.service import get_deps

router = APIRouter(prefix="/runs")
Deps = Annotated[BillingDeps, Depends(get_deps)]
Limit = Annotated[int, Query(ge=1, le=LONGEST)]
JSON = dict[str, Any]


class NewRun(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Words
    dry_run: bool = False
    reason: Words


@router.get("")
async def get_runs(deps: Deps, _: Viewer, name: Named = None, cursor: Named = None, limit: Limit = 50) -> JSON:
    after = place_of(cursor)
    async with deps.database.transaction("read_runs") as tx:
        found = await list_runs(tx, name=name, after=after, limit=limit)
    following = cursor_of(found[-1].started_at, found[-1].id) if len(found) == limit else None
    return views.page([views.run(one) for one in found], following)


@router.get("/schedules")
async def get_schedules(deps: Deps, _: Viewer) -> JSON:
    async with deps.database.transaction("read_schedules") as tx:
        return views.page(await list_schedules(tx), None)


@router.get("/{run_id}")
async def get_one_run(run_id: UUID, deps: Deps, _: Viewer, cursor: Named = None, limit: Limit = 100) -> JSON:
    """With what it did for each customer, a page of it."""
    async with deps.database.transaction("read_run") as tx:
        found = await get_run(tx, run_id)
        if found is None:
            raise run_unknown()
        parts = await list_parts(tx, run_id, after=cursor, limit=limit)
    following = parts[-1].customer if len(parts) == limit else None
    return views.run(found) | views.page([views.part(one) for one in parts], following)


@router.post("", status_code=202)
async def post_run(body: NewRun, deps: Deps, caller: Operator) -> JSON:
    return views.run(await scheduling.start(deps, caller, body.name, body.reason, dry_run=body.dry_run))
