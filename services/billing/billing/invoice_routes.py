"""Invoices over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from billing import views
from billing.buying import one_spelling
from billing.deps import BillingDeps
from billing.errors import invoice_unknown
from billing.invoices import Invoice, InvoiceKind, InvoiceState
from billing.pages import LONGEST, cursor_of, place_of
from billing.repository.invoices import invoice_by_number, list_invoices
from keyturn.http import Named
from keyturn.internal import Customer, Viewer
from keyturn.service import get_deps

router = APIRouter(prefix="/invoices")
of_purchase = APIRouter(prefix="/purchases/{purchase_id}/invoices")
Deps = Annotated[BillingDeps, Depends(get_deps)]
Limit = Annotated[int, Query(ge=1, le=LONGEST)]
JSON = dict[str, Any]


@router.get("")
async def get_invoices(
    deps: Deps,
    _: Viewer,
    *,
    kind: InvoiceKind | None = None,
    status: InvoiceState | None = None,
    email: Named = None,
    purchase: UUID | None = None,
    cursor: Named = None,
    limit: Limit = 50,
) -> JSON:
    spelling, after = one_spelling(email) if email else None, place_of(cursor)
    async with deps.database.transaction("read_invoices") as tx:
        found = await list_invoices(
            tx, kind=kind, state=status, email=spelling, purchase_id=purchase, after=after, limit=limit
        )
    return _page(found, limit)


@router.get("/{number}")
async def get_invoice(number: str, deps: Deps, _: Viewer) -> JSON:
    return await _whole(deps, number)


@of_purchase.get("")
async def get_own_invoices(purchase_id: UUID, deps: Deps, _: Customer, cursor: Named = None, limit: Limit = 50) -> JSON:
    """Newest first."""
    after = place_of(cursor)
    async with deps.database.transaction("read_invoices") as tx:
        found = await list_invoices(tx, purchase_id=purchase_id, after=after, limit=limit)
    return _page(found, limit)


@of_purchase.get("/{number}")
async def get_own_invoice(purchase_id: UUID, number: str, deps: Deps, _: Customer) -> JSON:
    return await _whole(deps, number, purchase_id)


async def _whole(deps: BillingDeps, number: str, purchase_id: UUID | None = None) -> JSON:
    """Another purchase's is as one that does not exist."""
    async with deps.database.transaction("read_invoice") as tx:
        found = await invoice_by_number(tx, number)
    if found is None or purchase_id not in {None, found.purchase_id}:
        raise invoice_unknown()
    return views.whole_invoice(found)


def _page(found: list[Invoice], limit: int) -> JSON:
    following = cursor_of(found[-1].issued_at, found[-1].id) if len(found) == limit else None
    return views.page([views.invoice(one) for one in found], following)
