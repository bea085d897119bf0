"""Operators: mails to people, and what became of them. The notifier answers."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.operators import Operator, Viewer, because

router = APIRouter(tags=["operators"])
Purchase = Annotated[UUID | None, Query(alias="purchaseId")]


@router.get("/api/messages")
async def messages(
    *,
    caller: Viewer,
    deps: Deps,
    purchase_id: Purchase = None,
    state: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    about = str(purchase_id) if purchase_id else None
    return await ask(
        deps.notifier, "/internal/messages", caller, purchase_id=about, state=state, cursor=cursor, limit=limit
    )


@router.get("/api/messages/{message_id}")
async def message(message_id: UUID, caller: Viewer, deps: Deps) -> Any:
    return await ask(deps.notifier, f"/internal/messages/{message_id}", caller)


@router.post("/api/messages/{message_id}/retry")
async def retry(message_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    path = f"/internal/messages/{message_id}/retry"
    return await tell(deps.notifier, path, because(caller, why.reason), {"reason": why.reason})
