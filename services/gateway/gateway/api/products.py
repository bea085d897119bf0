"""The price list: what is sold, for whoever builds a page of their own."""

from typing import Any

from fastapi import APIRouter

from gateway import checkout, limits
from gateway.api.asking import Deps
from gateway.api.camel import camel

router = APIRouter(tags=["checkout"])


@router.get("/api/products", dependencies=[limits.STATUS])
async def products(deps: Deps) -> Any:
    return camel(await deps.billing.request("GET", "/internal/products", checkout.VISITOR))
