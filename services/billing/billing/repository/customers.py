"""Customers, and what each of them has bought."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_

from billing.domain import Customer, Payment, Purchase
from billing.repository.purchases import Position
from billing.subscriptions import Renewal, Subscription
from billing.tables import credit_balances, customers, payments, purchases, renewals, subscriptions
from keyturn.database import Transaction


async def get_customer(tx: Transaction, customer_id: UUID, *, lock: bool = False) -> Customer | None:
    return await tx.session.get(Customer, customer_id, with_for_update=lock or None)


async def find_customer(tx: Transaction, email: str) -> Customer | None:
    """By the one spelling of the address."""
    return (await tx.session.scalars(select(Customer).where(customers.c.email == email))).one_or_none()


async def list_customers(tx: Transaction, *, after: Position | None, limit: int) -> list[Customer]:
    """Newest first."""
    place = customers.c.created_at, customers.c.id
    statement = select(Customer).order_by(*(column.desc() for column in place))
    if after:
        statement = statement.where(tuple_(*place) < after)
    return list(await tx.session.scalars(statement.limit(limit)))


async def customers_with_credit_left(tx: Transaction, *, after: Position | None, limit: int) -> list[Any]:
    """The longest first: `Customer`, and since when. Once for each currency."""
    place = credit_balances.c.left_since, credit_balances.c.customer_id
    statement = select(Customer, *place, credit_balances.c.currency, credit_balances.c.balance)
    statement = statement.join(credit_balances, credit_balances.c.customer_id == customers.c.id)
    statement = statement.where(place[0].is_not(None))
    if after:
        statement = statement.where(tuple_(*place) > after)
    return list(await tx.session.execute(statement.order_by(*place).limit(limit)))


async def purchases_of_customer(
    tx: Transaction, customer_id: UUID, *, after: Position | None = None, limit: int
) -> list[Purchase]:
    """Newest first."""
    place = purchases.c.opened_at, purchases.c.id
    statement = select(Purchase).where(purchases.c.customer_id == customer_id)
    if after:
        statement = statement.where(tuple_(*place) < after)
    ordered = statement.order_by(*(column.desc() for column in place))
    return list(await tx.session.scalars(ordered.limit(limit)))


async def subscriptions_of(
    tx: Transaction, purchase_ids: Collection[UUID]
) -> dict[UUID, tuple[Subscription, Renewal | None]]:
    """Each with what can be paid for its next period."""
    wanted = select(Subscription).where(subscriptions.c.purchase_id.in_(purchase_ids))
    asked = select(Renewal).where(renewals.c.purchase_id.in_(purchase_ids), renewals.c.state == "open")
    due = {renewal.purchase_id: renewal for renewal in await tx.session.scalars(asked)}
    return {one.purchase_id: (one, due.get(one.purchase_id)) for one in await tx.session.scalars(wanted)}


async def payments_of_purchases(tx: Transaction, purchase_ids: Collection[UUID], limit: int) -> list[Payment]:
    """Newest first."""
    statement = select(Payment).where(payments.c.purchase_id.in_(purchase_ids))
    return list(await tx.session.scalars(statement.order_by(payments.c.recorded_at.desc()).limit(limit)))
