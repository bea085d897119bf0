"""Operators: customers, and everything that each of them has bought. Billing answers."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from gateway.api.asking import Cursor, Deps, Limit, ask
from gateway.operators import Viewer

router = APIRouter(prefix="/api/customers", tags=["operators"])


@router.get("")
async def customers(
    caller: Viewer, deps: Deps, email: str | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Any:
    return await ask(deps.billing, "/internal/customers", caller, email=email, cursor=cursor, limit=limit)


@router.get("/{customer_id}")
async def customer(customer_id: UUID, caller: Viewer, deps: Deps) -> Any:
    """With the newest hundred purchases, how their subscriptions stand, and the newest hundred payments."""
    return await ask(deps.billing, f"/internal/customers/{customer_id}", caller)
