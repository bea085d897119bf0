"""Operators: what customers have with us, and what is given to them. Billing answers."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.api.shapes import Address, Currency, Line
from gateway.operators import Admin, Viewer, because

router = APIRouter(prefix="/api/credits", tags=["operators"])


class Gift(Reason):
    """`amount` in minor units. Repeated with the same `key` it is given once."""

    email: Address
    currency: Currency
    amount: int = Field(gt=0)
    key: Line | None = None


class _Taken(Reason):
    """Without an amount: all there is."""

    email: Address
    currency: Currency
    amount: int | None = Field(default=None, gt=0)


class PaidOut(_Taken):
    """`reference`: of the transfer to the customer. Sent again it is the same one."""

    reference: Line = Field(max_length=100)


class Forfeited(_Taken):
    key: Line | None = None


@router.get("")
async def show(caller: Viewer, deps: Deps, email: str, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """What a customer has, and every amount that was given or used."""
    return await ask(deps.billing, "/internal/credits", caller, email=email, cursor=cursor, limit=limit)


@router.post("", status_code=201)
async def give(wanted: Gift, caller: Admin, deps: Deps) -> Any:
    body = wanted.model_dump(exclude_none=True)
    return await tell(deps.billing, "/internal/credits", because(caller, wanted.reason), body)


@router.post("/pay-out", status_code=201)
async def pay_out(wanted: PaidOut, caller: Admin, deps: Deps) -> Any:
    """The customer got it as money, in a way of your own: it is no credit any more."""
    body = wanted.model_dump(exclude_none=True)
    return await tell(deps.billing, "/internal/credits/pay-out", because(caller, wanted.reason), body)


@router.post("/forfeit", status_code=201)
async def forfeit(wanted: Forfeited, caller: Admin, deps: Deps) -> Any:
    """It is gone, for the reason given."""
    body = wanted.model_dump(exclude_none=True)
    return await tell(deps.billing, "/internal/credits/forfeit", because(caller, wanted.reason), body)
