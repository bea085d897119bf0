"""Operators: scheduled runs, their reports, and one by hand. Billing answers."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.operators import Operator, Viewer, because

router = APIRouter(tags=["operators"])


class NewRun(Reason):
    """A dry run tells what would be done, and changes nothing."""

    name: str = Field(min_length=1, max_length=100)
    dry_run: bool = Field(default=False, alias="dryRun")


@router.get("/api/runs")
async def runs(caller: Viewer, deps: Deps, name: str | None = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
    return await ask(deps.billing, "/internal/runs", caller, name=name, cursor=cursor, limit=limit)


@router.get("/api/runs/schedules")
async def schedules(caller: Viewer, deps: Deps) -> Any:
    """When each is due next."""
    return await ask(deps.billing, "/internal/runs/schedules", caller)


@router.get("/api/runs/{run_id}")
async def run(run_id: UUID, caller: Viewer, deps: Deps, cursor: Cursor = None, limit: Limit = 100) -> Any:
    """With what was done for each customer, a page of it."""
    return await ask(deps.billing, f"/internal/runs/{run_id}", caller, cursor=cursor, limit=limit)


@router.post("/api/runs", status_code=202)
async def start(wanted: NewRun, caller: Operator, deps: Deps) -> Any:
    return await tell(deps.billing, "/internal/runs", because(caller, wanted.reason), wanted.model_dump())
