"""Invoices over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from billing import views
from billing.buying import one_spelling
from billing.deps import BillingDeps
from billing.errors import invoice_unknown
from billing.invoices import InvoiceKind, InvoiceState
from billing.pages import LONGEST, cursor_of, place_of
from billing.repository.invoices import invoice_by_number, list_invoices
from keyturn.http import Named
from keyturn.internal import Viewer
from keyturn.service import get_deps

router = APIRouter(prefix="/invoices")
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
    following = cursor_of(found[-1].issued_at, found[-1].id) if len(found) == limit else None
    return views.page([views.invoice(one) for one in found], following)


@router.get("/{number}")
async def get_invoice(number: str, deps: Deps, _: Viewer) -> JSON:
    async with deps.database.transaction("read_invoice") as tx:
        found = await invoice_by_number(tx, number)
    if found is None:
        raise invoice_unknown()
    return views.whole_invoice(found)
