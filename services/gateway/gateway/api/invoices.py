"""Invoices and credit notes: operators see all, customers those of their purchase. Billing answers."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from gateway import limits
from gateway.api import proofs
from gateway.api.asking import Cursor, Deps, Limit, ask
from gateway.api.printed import printed
from gateway.operators import Viewer
from gateway.pages.documents import document
from keyturn.internal import Caller

router = APIRouter(tags=["invoices"])
Number = Annotated[str, Path(max_length=40, pattern=r"^[A-Z0-9-]+$")]
Private = Depends(proofs.private)
CUSTOMER = Caller(actor="customer", role="customer")
PDF: dict[int | str, dict[str, Any]] = {200: {"content": {"application/pdf": {}}}}


@router.get("/api/invoices", tags=["operators"])
async def invoices(
    *,
    caller: Viewer,
    deps: Deps,
    kind: Literal["invoice", "credit_note"] | None = None,
    status: str | None = None,
    email: str | None = None,
    purchase: Annotated[UUID | None, Query(alias="purchaseId")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    asked = {"kind": kind, "status": status, "email": email, "purchase": str(purchase) if purchase else None}
    return await ask(deps.billing, "/internal/invoices", caller, **asked, cursor=cursor, limit=limit)


@router.get("/api/invoices/{number}.pdf", tags=["operators"], response_class=Response, responses=PDF)
async def invoice_pdf(number: Number, caller: Viewer, deps: Deps) -> Response:
    return await printed(document(await deps.billing.request("GET", f"/internal/invoices/{number}", caller)))


@router.get("/api/invoices/{number}", tags=["operators"])
async def invoice(number: Number, caller: Viewer, deps: Deps) -> Any:
    """As it was issued: lines, taxes, seller and buyer."""
    return await ask(deps.billing, f"/internal/invoices/{number}", caller)


@router.get("/api/install/{install_id}/invoices", dependencies=[limits.STATUS, Private])
async def own_invoices(install_id: str, request: Request, deps: Deps, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Newest first."""
    known, _ = await proofs.must_see(request, deps, install_id)
    path = f"/internal/purchases/{known}/invoices"
    return await ask(deps.billing, path, CUSTOMER, cursor=cursor, limit=limit)


@router.get(
    "/api/install/{install_id}/invoices/{number}.pdf",
    dependencies=[limits.DOCUMENT, Private],
    response_class=Response,
    responses=PDF,
)
async def own_invoice_pdf(install_id: str, number: Number, request: Request, deps: Deps) -> Response:
    return await printed(document(await _own(install_id, number, request, deps)))


@router.get("/api/install/{install_id}/invoices/{number}", dependencies=[limits.STATUS, Private])
async def own_invoice(install_id: str, number: Number, request: Request, deps: Deps) -> Any:
    known, _ = await proofs.must_see(request, deps, install_id)
    return await ask(deps.billing, f"/internal/purchases/{known}/invoices/{number}", CUSTOMER)


async def _own(install_id: str, number: str, request: Request, deps: Deps) -> Any:
    known, _ = await proofs.must_see(request, deps, install_id)
    return await deps.billing.request("GET", f"/internal/purchases/{known}/invoices/{number}", CUSTOMER)
