"""Which refunds and disputes a provider is asked about, and up to when its lists were read."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.providers import Reversal
from billing.repository.payments import dispute_by_id, refund_by_id
from billing.tables import disputes, purchases, refunds, sweeps
from keyturn.database import Transaction

_IDS = {"refund": refunds.c.refund_id, "dispute": disputes.c.dispute_id}
REVIVE = """
UPDATE work SET state = 'open', due = $3, reason = NULL, attempts = 0, started = NULL, finished = NULL,
  fence = fence + 1
WHERE state = 'dead' AND id IN (
  SELECT DISTINCT ON (key) id FROM work AS dead WHERE kind = $1 AND key = ANY($2::text[]) AND state = 'dead'
    AND NOT EXISTS (SELECT FROM work WHERE kind = $1 AND key = dead.key AND state = 'open')
  ORDER BY key, created DESC, id DESC)
RETURNING key
"""


async def swept_to(tx: Transaction, provider: str, kind: Reversal) -> datetime | None:
    """Before the first sweep: when the first purchase was opened. None: there was none, so nothing went back."""
    statement = select(sweeps.c.swept_to).where(sweeps.c.provider == provider, sweeps.c.kind == kind)
    reached: datetime | None = await tx.session.scalar(statement)
    return reached or await tx.session.scalar(select(func.min(purchases.c.opened_at)))


async def note_sweep(tx: Transaction, provider: str, kind: Reversal, until: datetime) -> None:
    values = {"provider": provider, "kind": kind, "swept_to": until}
    upsert = insert(sweeps).values(values).on_conflict_do_update(index_elements=["provider", "kind"], set_=values)
    await tx.session.execute(upsert)


async def unknown(tx: Transaction, provider: str, kind: Reversal, ids: Sequence[str]) -> list[str]:
    column = _IDS[kind]
    known = await tx.session.scalars(select(column).where(column.table.c.provider == provider, column.in_(ids)))
    return sorted(set(ids) - set(known))


async def take_looks(tx: Transaction, kind: Reversal, until: datetime, limit: int) -> Iterable[tuple[str, str]]:
    """Provider and id of what is due, longest due first. Nobody takes them again before `until`: the look under way
    settles when the next is due."""
    column = _IDS[kind]
    table = column.table
    due = select(table.c.id).where(table.c.next_look_at <= tx.now).order_by(table.c.next_look_at).limit(limit)
    taken = update(table).where(table.c.id.in_(due.with_for_update(skip_locked=True))).values(next_look_at=until)
    return [(row.provider, row[1]) for row in await tx.session.execute(taken.returning(table.c.provider, column))]


async def note_look(tx: Transaction, provider: str, kind: Reversal, id_: str) -> None:
    """With the payment locked."""
    found = await (refund_by_id if kind == "refund" else dispute_by_id)(tx, provider, id_)
    if found:
        found.looks += 1
        found.plan_look(tx.now)


async def schedule_looks(tx: Transaction, kind: str, keys: Sequence[str]) -> None:
    """Where the last look is dead, it is its row that is tried again: what is always refused is dead once."""
    revived = {row.key for row in await tx.run(REVIVE, kind, keys, tx.now)}
    if revived:
        tx.wake("work")
    for key in keys:
        if key not in revived:
            tx.schedule(kind, key, subject=key)
