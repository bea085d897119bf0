"""Coupons over HTTP: what one would do to a price, and what operators see and do."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict

from billing import operating, views
from billing.buying import Choice, Line, choose
from billing.coupons import Code, Coupon, code_of
from billing.deps import BillingDeps
from billing.errors import coupon_unknown, coupon_used_up
from billing.invoicing import rate_for
from billing.pages import LONGEST, cursor_of, place_of
from billing.repository.coupons import find_coupon, list_coupons, redemptions_of
from billing.taxes import Buyer
from keyturn.http import Named, Words
from keyturn.internal import Operator, Public, Viewer
from keyturn.service import get_deps

router = APIRouter(prefix="/coupons")
Deps = Annotated[BillingDeps, Depends(get_deps)]
Limit = Annotated[int, Query(ge=1, le=LONGEST)]
JSON = dict[str, Any]
REDEMPTIONS = 100  # shown of one coupon


class Question(Choice):
    coupon_code: Line


class NewCoupon(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Annotated[Code, BeforeValidator(lambda given: (isinstance(given, str) and code_of(given)) or given)]
    terms: Coupon
    reason: Words


class Ending(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: Words


@router.post("/check")
async def post_check(body: Question, deps: Deps, _: Public) -> JSON:
    """What it would cost. Whether a customer has used it is told at the checkout alone, and to nobody else."""
    rate = await rate_for(deps, Buyer(email=""))  # of somebody of whom nothing is known
    async with deps.database.transaction("read_coupon") as tx:
        chosen = await choose(tx, body, deps.providers, rate)
        code = code_of(body.coupon_code) or ""
        found = await find_coupon(tx, code)
    if found and found.is_used_up:
        raise coupon_used_up(code)
    return {"coupon_code": code, **views.chosen(chosen)}


@router.get("")
async def get_coupons(deps: Deps, _: Viewer, cursor: Named = None, limit: Limit = 50) -> JSON:
    async with deps.database.transaction("read_coupons") as tx:
        found = await list_coupons(tx, after=cursor, limit=limit)
    return views.page([views.coupon(one) for one in found], found[-1].code if len(found) == limit else None)


@router.get("/{code}")
async def get_coupon(code: str, deps: Deps, _: Viewer) -> JSON:
    async with deps.database.transaction("read_coupon") as tx:
        found = await find_coupon(tx, code_of(code) or "")
        if found is None:
            raise coupon_unknown()
        redemptions = await redemptions_of(tx, found.code, REDEMPTIONS)
    return {**views.coupon(found), "redemptions": [views.redemption(row) for row in redemptions]}


@router.get("/{code}/redemptions")
async def get_redemptions(code: str, deps: Deps, _: Viewer, cursor: Named = None, limit: Limit = 50) -> JSON:
    """All of them, newest first."""
    after = place_of(cursor)
    async with deps.database.transaction("read_redemptions") as tx:
        found = await find_coupon(tx, code_of(code) or "")
        if found is None:
            raise coupon_unknown()
        rows = await redemptions_of(tx, found.code, limit, after=after)
    following = cursor_of(rows[-1].redeemed_at, rows[-1].purchase_id) if len(rows) == limit else None
    return views.page([views.redemption(row) for row in rows], following)


@router.post("", status_code=201)
async def post_coupon(body: NewCoupon, deps: Deps, caller: Operator) -> JSON:
    return views.coupon(await operating.create_coupon(deps, caller, body.code, body.terms, body.reason))


@router.post("/{code}/end")
async def post_end(code: str, body: Ending, deps: Deps, caller: Operator) -> JSON:
    return views.coupon(await operating.end(deps, caller, code_of(code) or "", body.reason))
