"""Operators: purchases, and the payments that wait for a decision. Billing answers."""

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.operators import Admin, Operator, Viewer, because

router = APIRouter(tags=["operators"])


class Refund(Reason):
    """Without an amount: all that is left, money and credit. With one: that much money. `credit`: how much of what the
    customer's credit paid is credit again."""

    amount: int | None = Field(default=None, ge=0)
    credit: int | None = Field(default=None, ge=0)


class MarkedPaid(Reason):
    """Without an amount: what is owed. A reference, of a transfer say, is one payment however often it is sent."""

    amount: int | None = Field(default=None, ge=0)
    reference: str | None = Field(default=None, min_length=1, max_length=100)


class Decision(Reason):
    """A payment in review belongs to a purchase, or is none of ours."""

    decision: Literal["match", "foreign"]
    purchase_id: UUID | None = Field(default=None, alias="purchaseId")


@router.get("/api/purchases")
async def purchases(
    *,
    caller: Viewer,
    deps: Deps,
    status: str | None = None,
    email: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    return await ask(
        deps.billing, "/internal/purchases", caller, status=status, email=email, cursor=cursor, limit=limit
    )


@router.get("/api/purchases/{purchase_id}")
async def purchase(purchase_id: UUID, caller: Viewer, deps: Deps) -> Any:
    return await ask(deps.billing, f"/internal/purchases/{purchase_id}", caller)


@router.post("/api/purchases/{purchase_id}/mark-paid")
async def mark_paid(purchase_id: UUID, receipt: MarkedPaid, caller: Operator, deps: Deps) -> Any:
    """The money came another way; an operator answers for it."""
    path = f"/internal/purchases/{purchase_id}/mark-paid"
    body = receipt.model_dump(exclude_none=True)
    return await tell(deps.billing, path, because(caller, receipt.reason), body)


@router.post("/api/purchases/{purchase_id}/refund")
async def refund(purchase_id: UUID, wanted: Refund, caller: Admin, deps: Deps) -> Any:
    path = f"/internal/purchases/{purchase_id}/refund"
    body = wanted.model_dump(exclude_none=True)
    return await tell(deps.billing, path, because(caller, wanted.reason), body)


@router.get("/api/payments")
async def payments(caller: Viewer, deps: Deps, state: str = "review", cursor: Cursor = None, limit: Limit = 50) -> Any:
    return await ask(deps.billing, "/internal/payments", caller, state=state, cursor=cursor, limit=limit)


@router.post("/api/payments/{payment_id}/refund")
async def refund_payment(payment_id: UUID, wanted: Refund, caller: Admin, deps: Deps) -> Any:
    """For a payment that is not the purchase's own: a second one, or money that did not fit."""
    path = f"/internal/payments/{payment_id}/refund"
    return await tell(deps.billing, path, because(caller, wanted.reason), wanted.model_dump(exclude_none=True))


@router.post("/api/payments/{payment_id}/decide")
async def decide(payment_id: UUID, decision: Decision, caller: Operator, deps: Deps) -> Any:
    path = f"/internal/payments/{payment_id}/decide"
    body = decision.model_dump(mode="json", exclude_none=True)
    return await tell(deps.billing, path, because(caller, decision.reason), body)
