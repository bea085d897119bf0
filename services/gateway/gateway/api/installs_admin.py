"""Operators: installs, and the same under the paths of the systems this one replaces. The provisioner answers."""

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter

from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.deps import GatewayDeps
from gateway.operators import Admin, Operator, Viewer, because
from keyturn.internal import Caller

router = APIRouter(tags=["operators"])
Action = Literal["retry", "suspend", "resume", "reissue"]


class Deletion(Reason):
    """`now`: the data is not kept for the retention time."""

    now: bool = False


@router.get("/api/installs")
async def installs(
    caller: Viewer, deps: Deps, status: str | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Any:
    return await ask(deps.provisioner, "/internal/installs", caller, status=status, cursor=cursor, limit=limit)


@router.get("/api/installs/{install_id}")
async def install(install_id: UUID, caller: Viewer, deps: Deps) -> Any:
    return await ask(deps.provisioner, f"/internal/installs/{install_id}", caller)


@router.post("/api/installs/{install_id}/retry")
async def retry(install_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    return await _act(deps, install_id, "retry", because(caller, why.reason))


@router.post("/api/installs/{install_id}/suspend")
async def suspend(install_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    return await _act(deps, install_id, "suspend", because(caller, why.reason))


@router.post("/api/installs/{install_id}/resume")
async def resume(install_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    return await _act(deps, install_id, "resume", because(caller, why.reason))


@router.post("/api/installs/{install_id}/reissue")
async def reissue(install_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    """A new setup link by mail; the old one is dead."""
    return await _act(deps, install_id, "reissue", because(caller, why.reason))


@router.post("/api/installs/{install_id}/delete")
async def delete(install_id: UUID, wanted: Deletion, caller: Admin, deps: Deps) -> Any:
    path = f"/internal/installs/{install_id}/delete"
    return await tell(deps.provisioner, path, because(caller, wanted.reason), wanted.model_dump())


@router.get("/api/orphans")
async def orphans(caller: Viewer, deps: Deps, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """What could not be removed, and is tried again."""
    return await ask(deps.provisioner, "/internal/orphans", caller, cursor=cursor, limit=limit)


@router.get("/api/provisioning/tasks")
async def tasks(caller: Viewer, deps: Deps, status: str | None = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
    return await ask(deps.provisioner, "/internal/installs", caller, status=status, cursor=cursor, limit=limit)


@router.get("/api/provisioning/tasks/{task_id}")
async def task(task_id: UUID, caller: Viewer, deps: Deps) -> Any:
    """A task is the job of an install, under the install's id."""
    return await ask(deps.provisioner, f"/internal/installs/{task_id}", caller)


@router.post("/api/provisioning/retry/{task_id}")
async def retry_task(task_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    return await _act(deps, task_id, "retry", because(caller, why.reason))


@router.get("/api/provisioning/failed")
async def failed(caller: Viewer, deps: Deps, cursor: Cursor = None, limit: Limit = 50) -> Any:
    return await ask(deps.provisioner, "/internal/installs", caller, status="failed", cursor=cursor, limit=limit)


async def _act(deps: GatewayDeps, install_id: UUID, action: Action, caller: Caller) -> Any:
    return await tell(deps.provisioner, f"/internal/installs/{install_id}/{action}", caller, {"reason": caller.reason})
