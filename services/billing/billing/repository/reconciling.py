"""What the daily comparison with the providers asks about, a list at a time."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, text, tuple_

from billing.providers import REVERSALS
from billing.repository.runs import Found
from billing.tables import checkouts, collected, disputes, payments, refunds, subscriptions
from keyturn.database import Transaction

PROVIDERS = ("stripe", "razorpay")
COLLECTED_HERE = "collection = 'provider' AND state <> 'ended'"  # as the index says it: parameters would not find that
Place = tuple[Any, ...] | None
Source = Callable[[Transaction, datetime, Place, int], Awaitable[list[Found]]]


async def _lists(tx: Transaction, since: datetime, after: Place, limit: int) -> list[Found]:  # noqa: ARG001
    every = [f"list {provider}:{kind}" for provider in PROVIDERS for kind in REVERSALS]
    return [] if after else [Found(key, (key,)) for key in every]


async def _open_checkouts(tx: Transaction, since: datetime, after: Place, limit: int) -> list[Found]:  # noqa: ARG001
    """Those of which a provider may know more than we do, however long the pause has grown."""
    look = checkouts.c.next_look_at
    statement = select(look, checkouts.c.id, checkouts.c.purchase_id).where(look.is_not(None))
    rows = await _rows(tx, statement, (look, checkouts.c.id), after, limit)
    return [Found(f"purchase {row.purchase_id}", (row.next_look_at, row.id)) for row in rows]


async def _refunds(tx: Transaction, since: datetime, after: Place, limit: int) -> list[Found]:  # noqa: ARG001
    place = refunds.c.next_look_at, refunds.c.id
    statement = select(*place, refunds.c.provider, refunds.c.refund_id).where(place[0].is_not(None))
    rows = await _rows(tx, statement, place, after, limit)
    return [Found(f"refund {row.provider}:{row.refund_id}", (row.next_look_at, row.id)) for row in rows]


async def _disputes(tx: Transaction, since: datetime, after: Place, limit: int) -> list[Found]:  # noqa: ARG001
    place = disputes.c.next_look_at, disputes.c.id
    statement = select(*place, disputes.c.provider, disputes.c.dispute_id).where(place[0].is_not(None))
    rows = await _rows(tx, statement, place, after, limit)
    return [Found(f"dispute {row.provider}:{row.dispute_id}", (row.next_look_at, row.id)) for row in rows]


async def _collected(tx: Transaction, since: datetime, after: Place, limit: int) -> list[Found]:  # noqa: ARG001
    """Of those that run here."""
    place = subscriptions.c.purchase_id
    statement = select(place).where(text(COLLECTED_HERE))
    rows = await _rows(tx, statement, (place,), after, limit)
    return [Found(f"collected {row.purchase_id}", (row.purchase_id,)) for row in rows]


async def _collected_there(tx: Transaction, since: datetime, after: Place, limit: int) -> list[Found]:  # noqa: ARG001
    """Those that run at the provider, as far as we know."""
    place = collected.c.next_look_at, collected.c.purchase_id
    rows = await _rows(tx, select(*place).where(place[0].is_not(None)), place, after, limit)
    return [Found(f"collected {row.purchase_id}", (row.next_look_at, row.purchase_id)) for row in rows]


async def _payments(tx: Transaction, since: datetime, after: Place, limit: int) -> list[Found]:
    """Of the last days, whoever told of them."""
    place = payments.c.recorded_at, payments.c.id
    statement = select(*place).where(payments.c.recorded_at >= since, payments.c.provider.in_(PROVIDERS))
    rows = await _rows(tx, statement.where(payments.c.purchase_id.is_not(None)), place, after, limit)
    return [Found(f"payment {row.id}", (row.recorded_at, row.id)) for row in rows]


async def _rows(tx: Transaction, statement: Select[Any], place: Any, after: Place, limit: int) -> Sequence[Any]:
    if after:
        statement = statement.where(tuple_(*place) > after)
    rows: Sequence[Any] = (await tx.session.execute(statement.order_by(*place).limit(limit))).all()
    return rows


SOURCES: Sequence[Source] = (
    _lists,
    _open_checkouts,
    _refunds,
    _disputes,
    _collected,
    _collected_there,
    _payments,
)
