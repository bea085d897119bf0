"""Operators: invoices and credit notes. Billing answers."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query

from gateway.api.asking import Cursor, Deps, Limit, ask
from gateway.operators import Viewer

router = APIRouter(tags=["operators"])
Number = Annotated[str, Path(max_length=40, pattern=r"^[A-Z0-9-]+$")]


@router.get("/api/invoices")
async def invoices(
    *,
    caller: Viewer,
    deps: Deps,
    kind: Literal["invoice", "credit_note"] | None = None,
    status: str | None = None,
    email: str | None = None,
    purchase: Annotated[UUID | None, Query(alias="purchaseId")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    asked = {"kind": kind, "status": status, "email": email, "purchase": str(purchase) if purchase else None}
    return await ask(deps.billing, "/internal/invoices", caller, **asked, cursor=cursor, limit=limit)


@router.get("/api/invoices/{number}")
async def invoice(number: Number, caller: Viewer, deps: Deps) -> Any:
    """As it was issued: lines, taxes, seller and buyer."""
    return await ask(deps.billing, f"/internal/invoices/{number}", caller)
