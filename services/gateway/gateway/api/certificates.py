"""Operators: the certificates of installs. The provisioner answers."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.operators import Operator, Viewer, because

router = APIRouter(tags=["operators"])


@router.get("/api/certificates")
async def certificates(caller: Viewer, deps: Deps, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Names, until when they are valid, when they are renewed, and what keeps them from being."""
    return await ask(deps.provisioner, "/internal/certificates", caller, cursor=cursor, limit=limit)


@router.post("/api/certificates/{certificate_id}/renew")
async def renew(certificate_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    """Order it anew, now."""
    path = f"/internal/certificates/{certificate_id}/renew"
    return await tell(deps.provisioner, path, because(caller, why.reason), {"reason": why.reason})
