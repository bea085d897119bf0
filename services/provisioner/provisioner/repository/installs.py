"""Installs and what belongs to each: resources, secrets, history."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert

from keyturn.database import Transaction
from keyturn.events.sealed import Sealed
from keyturn.sealing import KeyRing
from provisioner.domain import Install
from provisioner.records import Record
from provisioner.tables import allocations, history, installs, resources, secrets, slots


async def locked(tx: Transaction, install_id: UUID) -> Install | None:
    """The install, held until the commit: everything that changes its level or state begins here."""
    query = select(Install).where(installs.c.id == install_id).with_for_update()
    return (await tx.session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def get(tx: Transaction, install_id: UUID) -> Install:
    return await tx.session.get_one(Install, install_id)


async def claim_id(tx: Transaction, install: Install) -> Install:
    """Write the install unless there is one with its id; whichever it is comes back held until the commit."""
    values = {column.name: getattr(install, column.name) for column in installs.columns}
    await tx.session.execute(upsert(installs).values(values).on_conflict_do_nothing())
    found = await locked(tx, install.id)
    assert found is not None
    return found


async def records(tx: Transaction, install_id: UUID) -> list[Record]:
    query = select(Record).where(resources.c.install_id == install_id).order_by(resources.c.position)
    return list((await tx.session.execute(query)).scalars())


async def record(tx: Transaction, install_id: UUID, name: str) -> Record | None:
    return await tx.session.get(Record, (install_id, name), populate_existing=True)


async def standing(tx: Transaction, kinds: Sequence[str], after: tuple[UUID, str] | None, limit: int) -> list[Record]:
    """Resources of these kinds that should be up now, in pages."""
    query = (
        select(Record)
        .join(installs, installs.c.id == resources.c.install_id)
        .where(resources.c.state == "present", resources.c.kind.in_(kinds), installs.c.settled)
        .where(installs.c.state.in_(("active", "setup_pending")))
        .order_by(resources.c.install_id, resources.c.name)
        .limit(limit)
    )
    if after:
        query = query.where(tuple_(resources.c.install_id, resources.c.name) > tuple_(*after))
    return list((await tx.session.execute(query)).scalars())


def add(tx: Transaction, *rows: object) -> None:
    tx.session.add_all(rows)


async def secrets_of(tx: Transaction, install_id: UUID) -> dict[str, Sealed[str]]:
    rows = await tx.session.execute(select(secrets.c.name, secrets.c.sealed).where(secrets.c.install_id == install_id))
    return {name: Sealed(sealed) for name, sealed in rows}


async def make_secrets(tx: Transaction, install_id: UUID, made: Mapping[str, str], keys: KeyRing) -> None:
    """Write those that are not there yet: a secret is made once, whatever is tried how often."""
    if made:
        rows = [
            {"install_id": install_id, "name": name, "created_at": tx.now, "sealed": _sealed(keys, install_id, name, v)}
            for name, v in made.items()
        ]
        await tx.session.execute(upsert(secrets).values(rows).on_conflict_do_nothing())


def _sealed(keys: KeyRing, install_id: UUID, name: str, value: str) -> str:
    return keys.seal(value, place=secret_place(install_id, name)).ciphertext


def secret_place(install_id: UUID, name: str) -> tuple[str, ...]:
    return ("secrets", f"{install_id}/{name}", "value")


async def forget_secrets(tx: Transaction, install_id: UUID) -> None:
    await tx.session.execute(delete(secrets).where(secrets.c.install_id == install_id))


async def give_back(tx: Transaction, install_id: UUID, name: str) -> None:
    """Every number that a resource held."""
    held = allocations.c.install_id == install_id, allocations.c.resource == name
    await tx.session.execute(delete(allocations).where(*held))


async def leave_slots(tx: Transaction, install_id: UUID, name: str | None = None) -> None:
    held = [slots.c.install_id == install_id, *([slots.c.resource == name] if name else [])]
    await tx.session.execute(delete(slots).where(*held))


async def note(
    tx: Transaction,
    install_id: UUID,
    what: str,
    *,
    actor: str | None = None,
    reason: str | None = None,
    **detail: Any,
) -> None:
    """Add a line to the install's history."""
    row = {"install_id": install_id, "at": tx.now, "what": what, "actor": actor, "reason": reason, "detail": detail}
    await tx.session.execute(insert(history).values(row))


async def history_of(tx: Transaction, install_id: UUID, limit: int = 200) -> Sequence[Mapping[str, Any]]:
    query = select(history).where(history.c.install_id == install_id).order_by(history.c.id.desc()).limit(limit)
    return [dict(row._mapping) for row in await tx.session.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name
