"""Operators, their tokens, and the audit log in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from gateway.tables import AuditRow, OperatorRow, TokenRow
from keyturn.database import Transaction
from keyturn.events import Envelope, OperatorActed, uuid7

OPERATORS = OperatorRow
TOKENS = TokenRow
AUDIT = AuditRow
USE_NOTED_EVERY = timedelta(minutes=1)  # a write a minute, not one a request
TOKENS_MOST = 500
END = (1 << 63) - 1


@dataclass(frozen=True)
class Token:
    """A token as operators see it."""

    id: UUID
    name: str
    operator: str
    role: str
    hint: str
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None


async def any_operator(tx: Transaction) -> bool:
    return bool((await tx.session.execute(select(exists(select(OPERATORS.id))))).scalar())


async def add_operator(tx: Transaction, name: str) -> UUID | None:
    """The new operator's id; None where the name is taken, also by a replica that is just now taking it."""
    new = insert(OPERATORS).values(id=uuid7(), name=name, created=tx.now).on_conflict_do_nothing()
    return (await tx.session.execute(new.returning(OPERATORS.id))).scalar_one_or_none()


async def operator_id(tx: Transaction, name: str) -> UUID | None:
    return (await tx.session.execute(select(OPERATORS.id).where(OPERATORS.name == name))).scalar_one_or_none()


async def add_token(tx: Transaction, operator: UUID, **values: Any) -> UUID:
    added = insert(TOKENS).values(id=uuid7(), operator_id=operator, created=tx.now, **values).returning(TOKENS.id)
    return (await tx.session.execute(added)).scalar_one()


_SEEN = (
    TOKENS.id,
    TOKENS.name,
    OPERATORS.name.label("operator"),
    TOKENS.role,
    TOKENS.hint,
    TOKENS.created,
    TOKENS.expires,
    TOKENS.last_used,
    TOKENS.revoked,
)
_TOKENS = select(*_SEEN).join(OPERATORS, OPERATORS.id == TOKENS.operator_id)


async def valid_token(tx: Transaction, hashed: bytes) -> Token | None:
    """The token with this hash, if it may be used now; notes that it was."""
    alive = TOKENS.revoked.is_(None), or_(TOKENS.expires.is_(None), TOKENS.expires > tx.now)
    row = (await tx.session.execute(_TOKENS.where(TOKENS.hash == hashed, *alive))).one_or_none()
    if row and (row.last_used is None or row.last_used < tx.now - USE_NOTED_EVERY):
        await tx.session.execute(update(TOKENS).where(TOKENS.id == row.id).values(last_used=tx.now))
    return Token(*row) if row else None


async def tokens(tx: Transaction) -> list[Token]:
    """Newest first."""
    return [Token(*row) for row in await tx.session.execute(_TOKENS.order_by(TOKENS.id.desc()).limit(TOKENS_MOST))]


async def revoke_token(tx: Transaction, token: UUID) -> Token | None:
    """Ends a token. The token as it was, or None where there is none."""
    row = (await tx.session.execute(_TOKENS.where(TOKENS.id == token).with_for_update(of=TOKENS))).one_or_none()
    if row and row.revoked is None:
        await tx.session.execute(update(TOKENS).where(TOKENS.id == token).values(revoked=tx.now))
    return Token(*row) if row else None


async def add_audit(tx: Transaction, envelope: Envelope, acted: OperatorActed) -> None:
    values = acted.model_dump(include={"actor", "role", "action", "target", "reason", "before", "after"})
    values |= {"event_id": envelope.id, "time": envelope.time, "service": envelope.publisher}
    await tx.session.execute(insert(AUDIT).values(subject=envelope.subject, **values).on_conflict_do_nothing())


async def audit(tx: Transaction, wanted: dict[str, str], before: int | None, most: int) -> Sequence[dict[str, Any]]:
    """The newest entries with exactly these values of actor, action, target; `before`: going on below this id.

    One value is looked for by comparing rows, so that only its own index will do."""
    columns = AUDIT.__table__.c
    query = select(*columns).where(AUDIT.id < (END if before is None else before)).limit(most)
    for name, value in list(wanted.items())[:1]:
        query = query.where(columns[name] >= value, columns[name] <= value).order_by(columns[name].desc())
    query = query.where(*(columns[name] == value for name, value in list(wanted.items())[1:]))
    rows = await tx.session.execute(query.order_by(AUDIT.id.desc()))
    return [dict(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it
