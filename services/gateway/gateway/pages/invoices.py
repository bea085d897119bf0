"""A purchase's invoices, for whoever may see its status page."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from gateway import limits
from gateway.api import proofs
from gateway.api.asking import Cursor
from gateway.deps import GatewayDeps
from gateway.pages.documents import STATES, TITLES, document
from gateway.pages.rendering import PageRoute, money, page
from keyturn.internal import Caller
from keyturn.service import get_deps

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Deps = Annotated[GatewayDeps, Depends(get_deps)]
Number = Annotated[str, Path(max_length=40, pattern=r"^[A-Z0-9-]+$")]
PAGE = 50
CUSTOMER = Caller(actor="customer", role="customer")


@router.get("/purchases/{purchase}/invoices", dependencies=[limits.STATUS])
async def invoices(purchase: str, request: Request, deps: Deps, cursor: Cursor = None) -> Response:
    """Newest first."""
    known, _ = await proofs.must_see(request, deps, purchase)
    path, asked = f"/internal/purchases/{known}/invoices", {"cursor": cursor, "limit": PAGE}
    found = await deps.billing.request("GET", path, CUSTOMER, params=asked)
    shown = [
        {
            "number": one["number"],
            "title": TITLES[one["kind"]],
            "total": money(one["total"], one["currency"]),
            "status": STATES[one["status"]],
        }
        for one in found["items"]
    ]
    return page("invoices.html", purchase=str(known), invoices=shown, more=found["cursor"])


@router.get("/purchases/{purchase}/invoices/{number}", dependencies=[limits.STATUS])
async def invoice(purchase: str, number: Number, request: Request, deps: Deps) -> Response:
    known, _ = await proofs.must_see(request, deps, purchase)
    found = await deps.billing.request("GET", f"/internal/purchases/{known}/invoices/{number}", CUSTOMER)
    return page("invoice.html", purchase=str(known), document=document(found))
