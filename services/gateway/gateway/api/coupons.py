"""Operators: coupons, and who redeemed them. Billing answers, and says what is wrong with new ones."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.api.camel import camel_name
from gateway.operators import Operator, Viewer, because

router = APIRouter(tags=["operators"])
Code = Annotated[str, Path(max_length=40, pattern=r"^[A-Za-z0-9_-]+$")]


class NewCoupon(Reason):
    """Terms as in the catalogue: `percent` or `amount` (in minor units, by currency), and what it holds for."""

    model_config = ConfigDict(alias_generator=camel_name, extra="forbid")

    code: str
    percent: int | None = None
    amount: dict[str, int] | None = None
    duration: int | str = "first"
    products: list[str] = Field(default_factory=list)
    currencies: list[str] = Field(default_factory=list)
    limit: int | None = None
    limit_per_customer: int | None = None
    starts: str | None = Field(default=None, alias="from")
    until: str | None = None


@router.get("/api/coupons")
async def coupons(caller: Viewer, deps: Deps, cursor: Cursor = None, limit: Limit = 50) -> Any:
    return await ask(deps.billing, "/internal/coupons", caller, cursor=cursor, limit=limit)


@router.get("/api/coupons/{code}")
async def coupon(code: Code, caller: Viewer, deps: Deps) -> Any:
    """With the newest hundred redemptions."""
    return await ask(deps.billing, f"/internal/coupons/{code}", caller)


@router.get("/api/coupons/{code}/redemptions")
async def redemptions(code: Code, caller: Viewer, deps: Deps, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """All of them, newest first: which purchase, what was taken off, and whether it was given back."""
    return await ask(deps.billing, f"/internal/coupons/{code}/redemptions", caller, cursor=cursor, limit=limit)


@router.post("/api/coupons", status_code=201)
async def create(wanted: NewCoupon, caller: Operator, deps: Deps) -> Any:
    terms = wanted.model_dump(exclude={"code", "reason", "starts"}) | {"from": wanted.starts}
    body = {"code": wanted.code, "terms": terms, "reason": wanted.reason}
    return await tell(deps.billing, "/internal/coupons", because(caller, wanted.reason), body)


@router.post("/api/coupons/{code}/end")
async def end(code: Code, why: Reason, caller: Operator, deps: Deps) -> Any:
    """For good. Whoever has redeemed it keeps what was sold."""
    path = f"/internal/coupons/{code}/end"
    return await tell(deps.billing, path, because(caller, why.reason), {"reason": why.reason})
