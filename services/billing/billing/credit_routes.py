"""Customers' credit over HTTP: what they have, and an operator's gift."""

from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from billing import views
from billing.buying import Line, one_spelling
from billing.coupons import Currency
from billing.credits import Taking, give_by_hand, take_out
from billing.deps import BillingDeps
from billing.errors import customer_unknown
from billing.pages import LONGEST, cursor_of, place_of
from billing.repository.credits import credit_of, list_credits
from billing.repository.customers import find_customer
from keyturn.http import Named, Words
from keyturn.internal import Admin, Viewer
from keyturn.service import get_deps

router = APIRouter(prefix="/credits")
Deps = Annotated[BillingDeps, Depends(get_deps)]
Limit = Annotated[int, Query(ge=1, le=LONGEST)]
JSON = dict[str, Any]
Key = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


class Gift(BaseModel):
    """`key`: repeated with the same one it is given once."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    email: Line
    currency: Currency
    amount: int = Field(ge=1, le=10**12, strict=True)
    key: Key | None = None
    reason: Words


class _Taken(BaseModel):
    """Without an amount: all there is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    email: Line
    currency: Currency
    amount: int | None = Field(default=None, ge=1, le=10**12, strict=True)
    reason: Words


class PaidOut(_Taken):
    """`reference`: of the transfer to the customer; one is one, however often it is sent."""

    reference: Key


class Forfeited(_Taken):
    key: Key | None = None


@router.get("")
async def get_credits(deps: Deps, _: Viewer, email: Line, cursor: Named = None, limit: Limit = 50) -> JSON:
    after = place_of(cursor)
    async with deps.database.transaction("read_credits") as tx:
        customer = await find_customer(tx, one_spelling(email))
        if customer is None:
            raise customer_unknown()
        balances = await credit_of(tx, customer.id)
        found = await list_credits(tx, customer.id, after=after, limit=limit)
    following = cursor_of(found[-1].at, found[-1].id) if len(found) == limit else None
    return {"balances": views.credit_balances(balances), **views.page([views.credit(row) for row in found], following)}


@router.post("", status_code=201)
async def post_credit(body: Gift, deps: Deps, caller: Admin) -> JSON:
    key = body.key or str(uuid4())
    email = one_spelling(body.email)
    balances = await give_by_hand(deps, caller, email, body.currency, body.amount, key=key, reason=body.reason)
    return {"balances": views.balances(balances)}


@router.post("/pay-out", status_code=201)
async def post_pay_out(body: PaidOut, deps: Deps, caller: Admin) -> JSON:
    of = one_spelling(body.email), body.currency, body.amount
    return {
        "balances": views.balances(await take_out(deps, caller, Taking("pay_out", *of, body.reference, body.reason)))
    }


@router.post("/forfeit", status_code=201)
async def post_forfeit(body: Forfeited, deps: Deps, caller: Admin) -> JSON:
    of = one_spelling(body.email), body.currency, body.amount
    key = body.key or str(uuid4())
    return {"balances": views.balances(await take_out(deps, caller, Taking("forfeit", *of, key, body.reason)))}
