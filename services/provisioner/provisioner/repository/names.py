"""Names that must be unique: one row for each, whoever reserved or claimed it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert

from keyturn.database import Transaction
from provisioner.tables import names


async def take(tx: Transaction, kind: str, name: str, owner: UUID, until: datetime | None) -> bool:
    """Reserve until a time, or claim (None); False where it is somebody else's. What one has claimed stays claimed.
    The unique key decides between two who ask at once."""
    statement = upsert(names).values(kind=kind, name=name, owner=owner, reserved_until=until)
    lapsed = and_(names.c.reserved_until.is_not(None), names.c.reserved_until <= tx.now)
    mine = names.c.owner == owner
    if until is not None:
        mine = and_(mine, names.c.reserved_until.is_not(None))
    taken = statement.on_conflict_do_update(
        index_elements=["kind", "name"],
        set_={"owner": owner, "reserved_until": until},
        where=or_(mine, lapsed),
    )
    if (await tx.session.execute(taken.returning(names.c.name))).scalar_one_or_none() is not None:
        return True
    query = select(names.c.owner).where(names.c.kind == kind, names.c.name == name)
    return (await tx.session.execute(query)).scalar_one_or_none() == owner


async def is_free(tx: Transaction, kind: str, name: str) -> bool:
    query = select(names.c.reserved_until).where(names.c.kind == kind, names.c.name == name)
    row = (await tx.session.execute(query)).one_or_none()
    return row is None or (row.reserved_until is not None and row.reserved_until <= tx.now)


async def free(tx: Transaction, owner: UUID) -> None:
    await tx.session.execute(delete(names).where(names.c.owner == owner))


async def release_reserved(tx: Transaction, owner: UUID) -> None:
    """What was never claimed."""
    await tx.session.execute(delete(names).where(names.c.owner == owner, names.c.reserved_until.is_not(None)))


async def release_others(tx: Transaction, owner: UUID, kind: str, keep: str) -> None:
    """What the owner reserved and did not take in the end."""
    others = names.c.owner == owner, names.c.kind == kind, names.c.name != keep
    await tx.session.execute(delete(names).where(*others))


async def forget_lapsed(tx: Transaction, before: datetime) -> None:
    await tx.session.execute(delete(names).where(names.c.reserved_until <= before))
