"""Operators: customers, what each of them has bought, what is kept about them, and forgetting them. Billing answers."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from gateway.api import exports
from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.operators import Admin, Operator, Viewer, because

router = APIRouter(prefix="/api/customers", tags=["operators"])
Wanted = Annotated[Literal["wanted"] | None, Query()]
Left = Annotated[Literal["left"] | None, Query()]


class Erasing(Reason):
    """`endEverything`: what runs is ended now; without it the customer has nothing that runs."""

    end_everything: bool = Field(default=False, alias="endEverything")


@router.get("")
async def customers(
    *,
    caller: Viewer,
    deps: Deps,
    email: str | None = None,
    erasure: Wanted = None,
    credit: Left = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """`erasure=wanted`: those who asked to be forgotten and are not yet. `credit=left`: those whose credit nothing uses
    any more, once for each currency."""
    asked = {"email": email, "erasure": erasure, "credit": credit, "cursor": cursor, "limit": limit}
    return await ask(deps.billing, "/internal/customers", caller, **asked)


@router.get("/{customer_id}")
async def customer(customer_id: UUID, caller: Viewer, deps: Deps) -> Any:
    """With the newest hundred purchases, how their subscriptions stand, the newest hundred payments, and their credit;
    of one who is forgotten also how far that is."""
    return await ask(deps.billing, f"/internal/customers/{customer_id}", caller)


@router.get("/{customer_id}/export", response_class=StreamingResponse, responses=exports.RESPONSES)
async def export(customer_id: UUID, caller: Operator, deps: Deps) -> StreamingResponse:
    """Everything that the four services keep about them."""
    return await exports.document(deps, caller, customer_id)


@router.post("/{customer_id}/erase", status_code=202)
async def erase(customer_id: UUID, wanted: Erasing, caller: Admin, deps: Deps) -> Any:
    """For good, in all four services; what the law wants kept stays. The answer says how far it is."""
    path = f"/internal/customers/{customer_id}/erase"
    return await tell(deps.billing, path, because(caller, wanted.reason), wanted.model_dump())
