"""The customer's view of an install. An order id alone shows its status and domain; the rest needs proof."""

import hmac
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from gateway import limits
from gateway.access import LIFETIME
from gateway.api import proofs, views
from gateway.deps import GatewayDeps
from gateway.domain import Journey
from gateway.journeys import uuid
from gateway.repository import journeys
from keyturn.service import get_deps

router = APIRouter(tags=["installs"], dependencies=[Depends(proofs.private), limits.STATUS])
Deps = Annotated[GatewayDeps, Depends(get_deps)]


class Owner(BaseModel):
    """What proves that a purchase is mine where its access token is gone."""

    email: str = Field(max_length=320)


@router.get("/api/install/by-purchase/{order_id}")
async def by_purchase(order_id: str, request: Request, deps: Deps) -> dict[str, Any]:
    purchase = await _of_order(deps, order_id)
    if purchase is None:
        raise proofs.unknown()
    whole = await proofs.seer(request, deps, purchase) != "nobody"
    found = await read(deps, purchase)
    if found is None and not whole:
        raise proofs.unknown()
    journey = found or Journey(str(purchase))
    return views.customer(journey) if whole else views.short(journey)


@router.get("/api/install/{install_id}")
async def install(install_id: str, request: Request, deps: Deps) -> dict[str, Any]:
    purchase, _ = await proofs.must_see(request, deps, install_id)
    return views.customer(await read(deps, purchase) or Journey(install_id))


@router.post("/api/install/{install_id}/access", dependencies=[limits.SIGN_IN])
async def access(install_id: str, owner: Owner, deps: Deps) -> dict[str, Any]:
    """An access token for whoever knows the id and the e-mail address of a purchase."""
    purchase = await owned(deps, install_id, owner.email)
    token = deps.access.sign(purchase, "access", deps.clock.now())
    return {"accessToken": token, "expiresIn": int(LIFETIME["access"].total_seconds())}


async def owned(deps: GatewayDeps, purchase_id: str, email: str) -> UUID:
    """The purchase, if the address is its customer's. Raises `Problem` 404 otherwise, whatever is wrong."""
    known = uuid(purchase_id)
    journey = await read(deps, known) if known else None
    right = (journey and journey.email) or ""
    if known is None or not right or not hmac.compare_digest(right.encode(), email.strip().lower().encode()):
        raise proofs.unknown()
    return known


async def read(deps: GatewayDeps, purchase: UUID) -> Journey | None:
    """A purchase whose first event has not arrived yet has no journey."""
    async with deps.database.transaction("read_install") as tx:
        found = await journeys.find(tx, purchase)
    return found.journey if found else None


async def _of_order(deps: GatewayDeps, order_id: str) -> UUID | None:
    known = uuid(order_id)
    if known or len(order_id) > 255:
        return known
    async with deps.database.transaction("find_order") as tx:
        return await journeys.find_ref(tx, order_id)
