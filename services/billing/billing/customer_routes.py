"""Customers over HTTP: what operators see of them, and what they see themselves."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from billing import erasing, views
from billing.buying import Line, one_spelling, valid_email
from billing.deps import BillingDeps
from billing.domain import Customer, Purchase
from billing.errors import customer_unknown
from billing.pages import LONGEST, cursor_of, place_of
from billing.repository.credits import balances_of, credit_of
from billing.repository.customers import (
    customers_with_credit_left,
    find_customer,
    get_customer,
    list_customers,
    payments_of_purchases,
    purchases_of_customer,
    subscriptions_of,
)
from billing.repository.erasing import OF_CUSTOMER, PERSONAL, customers_to_erase
from keyturn.database import Transaction
from keyturn.erasing import show
from keyturn.errors import Problem
from keyturn.http import Named, Words
from keyturn.internal import Admin, Public, Viewer
from keyturn.internal import Customer as Self
from keyturn.service import get_deps

router = APIRouter(prefix="/customers")
Deps = Annotated[BillingDeps, Depends(get_deps)]
Limit = Annotated[int, Query(ge=1, le=LONGEST)]
JSON = dict[str, Any]
Wanted = Annotated[Literal["wanted"] | None, Query()]
Left = Annotated[Literal["left"] | None, Query()]


class Person(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    email: Line


class Erasing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: Words
    end_everything: bool = False


SHOWN = 100  # purchases, and payments, of one customer; all of them are in the lists


@router.get("")
async def get_customers(
    *,
    deps: Deps,
    _: Viewer,
    email: Named = None,
    erasure: Wanted = None,
    credit: Left = None,
    cursor: Named = None,
    limit: Limit = 50,
) -> JSON:
    """Newest first; with an address the one who has it; or the first who asked to be forgotten and are not yet; or
    those whose credit nothing uses any more."""
    after = place_of(cursor)
    async with deps.database.transaction("read_customers") as tx:
        if erasure:
            return views.page([views.customer(one) for one in await customers_to_erase(tx, limit)], None)
        if credit:
            return await _with_credit_left(tx, after, limit)
        if email:
            known = await find_customer(tx, one_spelling(email.strip()))
            return views.page([views.customer(known)] if known else [], None)
        found = await list_customers(tx, after=after, limit=limit)
    following = cursor_of(found[-1].created_at, found[-1].id) if len(found) == limit else None
    return views.page([views.customer(one) for one in found], following)


@router.post("/find")
async def find(body: Person, deps: Deps, _: Public) -> JSON:
    """Whose address this is, and their newest purchase, by which the notifier knows how to write to them."""
    async with deps.database.transaction("read_customer") as tx:
        customer = await find_customer(tx, _spelled(body.email))
        bought = await purchases_of_customer(tx, customer.id, limit=1) if customer else []
    if customer is None or not bought:
        raise customer_unknown()
    return {"customer_id": str(customer.id), "purchase_id": str(bought[0].id)}


@router.get("/{customer_id}/purchases")
async def get_purchases(customer_id: UUID, deps: Deps, _: Self, cursor: Named = None, limit: Limit = 50) -> JSON:
    """What they have bought, as they see it themselves: newest first."""
    after = place_of(cursor)
    async with deps.database.transaction("read_customer") as tx:
        customer = await known_customer(tx, customer_id)
        bought = await purchases_of_customer(tx, customer_id, after=after, limit=limit)
        standing = await subscriptions_of(tx, [one.id for one in bought])
        credit = await balances_of(tx, customer_id)
    following = cursor_of(bought[-1].opened_at, bought[-1].id) if len(bought) == limit else None
    own = [views.own(one, *standing.get(one.id, (None, None))) for one in bought]
    return {"customer": views.customer(customer), "credit": views.balances(credit), **views.page(own, following)}


@router.get("/{customer_id}/data")
async def get_customer_data(customer_id: UUID, deps: Deps, _: Self) -> JSON:
    """Everything that is kept here about them, beside what is kept about each purchase."""
    async with deps.database.transaction("read_data") as tx:
        return await show(tx, OF_CUSTOMER, customer_id)


@router.post("/{customer_id}/erasure-request", status_code=202)
async def post_erasure_request(customer_id: UUID, deps: Deps, _: Self) -> JSON:
    await erasing.ask_for_erasure(deps, customer_id)
    return {"success": True}


@router.post("/{customer_id}/erase", status_code=202)
async def post_erasure(customer_id: UUID, body: Erasing, deps: Deps, caller: Admin) -> JSON:
    await erasing.erase(deps, caller, customer_id, body.reason, end_everything=body.end_everything)
    async with deps.database.transaction("read_customer") as tx:
        return await erasing.progress(tx, customer_id)


@router.get("/{customer_id}")
async def get_one_customer(customer_id: UUID, deps: Deps, _: Viewer) -> JSON:
    """With the newest hundred purchases, how their subscriptions stand, and the newest hundred payments."""
    async with deps.database.transaction("read_customer") as tx:
        customer = await known_customer(tx, customer_id)
        bought = await purchases_of_customer(tx, customer_id, limit=SHOWN)
        payments = await payments_of_purchases(tx, [one.id for one in bought], SHOWN)
        return {
            **views.customer(customer),
            "purchases": await _purchases(tx, bought),
            "payments": [views.payment(one) for one in payments],
            "credit": views.credit_balances(await credit_of(tx, customer_id)),
            "erasure": await erasing.progress(tx, customer_id) if customer.erased_at else None,
        }


async def _with_credit_left(tx: Transaction, after: Any, limit: int) -> JSON:
    """Once for each currency."""
    rows = await customers_with_credit_left(tx, after=after, limit=limit)
    following = cursor_of(rows[-1].left_since, rows[-1].customer_id) if len(rows) == limit else None
    return views.page([views.customer(row.Customer) | views.left(row) for row in rows], following)


def _spelled(email: str) -> str:
    try:
        return one_spelling(valid_email(email))
    except Problem:
        raise customer_unknown() from None


async def known_customer(tx: Transaction, customer_id: UUID) -> Customer:
    found = await get_customer(tx, customer_id)
    if found is None:
        raise customer_unknown()
    return found


async def _purchases(tx: Transaction, bought: list[Purchase]) -> list[JSON]:
    standing = await subscriptions_of(tx, [one.id for one in bought])
    return [
        views.purchase(one) | {"subscription": views.subscription(*standing[one.id]) if one.id in standing else None}
        for one in bought
    ]


data = APIRouter()


@data.get("/purchases/{purchase_id}/data")
async def get_data(purchase_id: UUID, deps: Deps, _: Self) -> JSON:
    """Everything that is kept here about it."""
    async with deps.database.transaction("read_data") as tx:
        return await show(tx, PERSONAL, purchase_id)
