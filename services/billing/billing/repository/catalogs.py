"""Which catalogues were applied, when and by whom. The last one is what is sold."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select

from billing.tables import catalogs
from keyturn.database import Transaction

_APPLYING = 0x6B74_0001  # advisory lock: of those who apply at once, replicas that start too, one goes after another


@dataclass(frozen=True)
class Applied:
    digest: str
    content: str
    at: datetime
    by: str


async def lock_catalog(tx: Transaction) -> None:
    await tx.session.execute(select(func.pg_advisory_xact_lock(_APPLYING)))


async def last_applied(tx: Transaction) -> Applied | None:
    row = (await tx.session.execute(select(catalogs).order_by(catalogs.c.number.desc()).limit(1))).one_or_none()
    return _applied(row) if row else None


async def was_applied(tx: Transaction, digest: str) -> bool:
    statement = select(catalogs.c.number).where(catalogs.c.digest == digest).limit(1)
    return await tx.session.scalar(statement) is not None


async def add_applied(tx: Transaction, digest: str, content: str, by: str, reason: str | None) -> None:
    values = {"digest": digest, "content": content, "applied_at": tx.now, "applied_by": by, "reason": reason}
    await tx.session.execute(insert(catalogs).values(**values))


def _applied(row: Any) -> Applied:
    return Applied(row.digest, row.content, row.applied_at, row.applied_by)
