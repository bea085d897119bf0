"""Invoices, their numbers, and who sells. Numbers are given with the series' row held: none is left out, none twice."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert

from billing.catalog import Catalog
from billing.invoices import Invoice, InvoiceKind, InvoiceState, numbered
from billing.repository.rows import first
from billing.tables import customers, invoices, shop
from billing.taxes import Seller, TaxRule
from keyturn.database import Transaction

SHOP = "SELECT seller, taxes FROM shop"
NUMBER = """
INSERT INTO invoice_series (series, last) VALUES ($1, 1)
ON CONFLICT (series) DO UPDATE SET last = invoice_series.last + 1 RETURNING last
"""
STANDING = "SELECT * FROM invoices WHERE purchase_id = $1 AND source = $2 AND state <> 'void'"
Position = tuple[datetime, UUID]


async def put_shop(tx: Transaction, catalog: Catalog) -> None:
    taxes = {country: rule.model_dump(mode="json") for country, rule in catalog.tax.items()}
    values = {"seller": catalog.seller.model_dump(mode="json"), "taxes": taxes}
    statement = insert(shop).values(one=True, **values)
    await tx.session.execute(statement.on_conflict_do_update(index_elements=["one"], set_=values))


def shop_in(row: Any) -> tuple[Seller, dict[str, TaxRule]]:
    rules = {country: TaxRule.model_validate(rule) for country, rule in row.taxes.items()}
    return Seller.model_validate(row.seller), rules


async def read_shop(tx: Transaction) -> tuple[Seller, dict[str, TaxRule]]:
    return shop_in((await tx.run(SHOP))[0])


async def seller(tx: Transaction) -> Seller:
    return (await read_shop(tx))[0]


async def next_number(tx: Transaction, series: str) -> str:
    """Until the commit nobody else gets one of this series; with a rollback it is free again."""
    return numbered(series, (await tx.run(NUMBER, series))[0].last)


async def add_invoice(tx: Transaction, invoice: Invoice) -> None:
    tx.session.add(invoice)
    await tx.session.flush()


async def invoice_for(tx: Transaction, purchase_id: UUID, source: str) -> Invoice | None:
    """The one that stands. Whoever changes it holds its purchase's lock."""
    return await first(tx, Invoice, STANDING, purchase_id, source)


async def invoice_paid_by(tx: Transaction, purchase_id: UUID, payment_id: UUID) -> Invoice | None:
    of = invoices.c.purchase_id == purchase_id, invoices.c.payment_id == payment_id, invoices.c.kind == "invoice"
    return (await tx.session.scalars(select(Invoice).where(*of))).one_or_none()


async def notes_to(tx: Transaction, number: str) -> list[Invoice]:
    """The credit notes that stand."""
    statement = select(Invoice).where(invoices.c.corrects == number, invoices.c.state != "void")
    return list(await tx.session.scalars(statement))


async def invoice_by_number(tx: Transaction, number: str) -> Invoice | None:
    return (await tx.session.scalars(select(Invoice).where(invoices.c.number == number))).one_or_none()


async def list_invoices(
    tx: Transaction,
    *,
    kind: InvoiceKind | None = None,
    state: InvoiceState | None = None,
    email: str | None = None,
    purchase_id: UUID | None = None,
    after: Position | None = None,
    limit: int,
) -> list[Invoice]:
    """Newest first."""
    place = invoices.c.issued_at, invoices.c.id
    statement = select(Invoice).order_by(*(column.desc() for column in place))
    if kind:
        statement = statement.where(invoices.c.kind == kind)
    if state:
        statement = statement.where(invoices.c.state == state)
    if purchase_id:
        statement = statement.where(invoices.c.purchase_id == purchase_id)
    if email:
        customer = select(customers.c.id).where(customers.c.email == email).scalar_subquery()
        statement = statement.where(invoices.c.customer_id == customer)
    if after:
        statement = statement.where(tuple_(*place) < after)
    return list(await tx.session.scalars(statement.limit(limit)))
