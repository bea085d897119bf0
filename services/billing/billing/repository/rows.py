"""Rows of plain SQL as objects of the session: it costs a third of what the session's own queries do.

Who holds the lock of a purchase is alone with what belongs to it, so that is read once in a transaction.
"""

from collections.abc import Collection
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import inspect
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from keyturn.database import Transaction

T = TypeVar("T")


async def objects(tx: Transaction, kind: type[T], sql: str, *parameters: object) -> list[T]:
    """The rows of a statement that selects all columns of a table; what was changed of such rows is written first."""
    if any(type(changed) is kind for changed in (*tx.session.new, *tx.session.dirty)):
        await tx.session.flush()
    return [attached(tx, kind, dict(row)) for row in await tx.run(sql, *parameters)]


async def first(tx: Transaction, kind: type[T], sql: str, *parameters: object) -> T | None:
    return next(iter(await objects(tx, kind, sql, *parameters)), None)


async def of_purchase(tx: Transaction, kind: type[T], sql: str, purchase_id: UUID) -> T | None:
    """The one that the statement finds for the purchase. Whoever adds another one says so with `remember`."""
    known = tx.session.info.get(purchase_id)
    if known is None:
        return await first(tx, kind, sql, purchase_id)
    if kind not in known:
        known[kind] = await first(tx, kind, sql, purchase_id)
    found: T | None = known[kind]
    return found


async def open_of_purchase(
    tx: Transaction, kind: type[T], sql: str, purchase_id: UUID, states: Collection[str]
) -> T | None:
    """The same of those of which one alone is in these states. That it has left them is written before another one is
    added."""
    found: Any = await of_purchase(tx, kind, sql, purchase_id)
    if found is None or found.state in states:
        return found  # type: ignore[no-any-return]
    await tx.session.flush()
    return None


def hold(tx: Transaction, purchase: Any) -> None:
    """It is locked until the commit."""
    tx.session.info.setdefault(purchase.id, {})[type(purchase)] = purchase


def held(tx: Transaction, kind: type[T], purchase_id: UUID) -> T | None:
    """The purchase, if it is locked already."""
    found: T | None = tx.session.info.get(purchase_id, {}).get(kind)
    return found


def remember(tx: Transaction, row: Any) -> None:
    """This is the one of its purchase now."""
    known = tx.session.info.get(row.purchase_id)
    if known is not None:
        known[type(row)] = row


def forget(tx: Transaction, kind: type[Any], purchase_id: UUID) -> None:
    """It has none any more."""
    tx.session.info.get(purchase_id, {})[kind] = None


def attached(tx: Transaction, kind: type[T], row: dict[str, Any]) -> T:
    """The session's object for this row, which the database holds: what is changed on it is written with the commit."""
    session, mapper = tx.session.sync_session, inspect(kind)
    key = tuple(row[column.name] for column in mapper.primary_key)
    known: T | None = session.identity_map.get(session.identity_key(kind, key))
    if known is not None:
        for name, value in row.items():
            set_committed_value(known, name, value)
        return known
    new: T = mapper.class_manager.new_instance()  # a third faster than setting one attribute after the other
    new.__dict__.update(row)
    make_transient_to_detached(new)
    session.add(new)
    return new
