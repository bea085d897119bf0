"""Installs and what belongs to each: resources, secrets, history."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import delete, select

from keyturn.database import Transaction
from provisioner.domain import Install
from provisioner.records import Record
from provisioner.repository.plain import as_json
from provisioner.tables import history, installs, secrets, slots

_COLUMNS = ", ".join(column.name for column in installs.columns)
GET = "SELECT * FROM installs WHERE id = $1"
LOCKED = f"{GET} FOR NO KEY UPDATE"  # rows that refer to it are written meanwhile
INSERT = f"""
INSERT INTO installs ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_record(NULL::installs, $1::text::json)
ON CONFLICT DO NOTHING RETURNING 1
"""  # noqa: S608 - our own names
SAVE = f"""
UPDATE installs SET ({_COLUMNS}) = (SELECT {_COLUMNS} FROM json_populate_record(NULL::installs, $2::text::json))
WHERE id = $1
"""  # noqa: S608 - our own names


async def locked(tx: Transaction, install_id: UUID) -> Install | None:
    """The install, held until the commit: everything that changes its level or state begins here. What is changed on
    it is written with the commit."""
    found = await tx.run(LOCKED, install_id)
    if not found:
        return None
    install = Install(**found[0])
    before = as_json(install)

    async def save() -> None:
        if (now := as_json(install)) != before:
            await tx.run(SAVE, install_id, now)

    tx.before_commit.append(save)
    return install


async def get(tx: Transaction, install_id: UUID) -> Install | None:
    found = await tx.run(GET, install_id)
    return Install(**found[0]) if found else None


async def insert(tx: Transaction, install: Install) -> bool:
    """False where there is one with its id."""
    return bool(await tx.run(INSERT, as_json(install)))


# Compared as rows, so that only the index of what is present will do.
STANDING = """
SELECT resources.* FROM resources JOIN installs ON installs.id = resources.install_id
WHERE resources.state = 'present' AND installs.settled AND installs.state IN ('active', 'setup_pending')
  AND resources.kind <= $1 AND (resources.kind, resources.install_id, resources.name) > ($1, $2, $3)
ORDER BY resources.kind, resources.install_id, resources.name LIMIT $4
"""
START = (UUID(int=0), "")


async def standing(tx: Transaction, kind: str, after: tuple[UUID, str], limit: int) -> list[Record]:
    """Resources of this kind that should be up now, in pages."""
    return [Record(**row) for row in await tx.run(STANDING, kind, *after, limit)]


def secret_place(install_id: UUID, name: str) -> tuple[str, ...]:
    return ("secrets", f"{install_id}/{name}", "value")


async def forget_secrets(tx: Transaction, install_id: UUID) -> None:
    await tx.session.execute(delete(secrets).where(secrets.c.install_id == install_id))


async def leave_slots(tx: Transaction, install_id: UUID) -> None:
    await tx.session.execute(delete(slots).where(slots.c.install_id == install_id))


NOTE = """
INSERT INTO history (install_id, at, what, actor, reason, detail) VALUES ($1, $2, $3, $4, $5, $6::text::jsonb)
"""


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
    await tx.run(NOTE, install_id, tx.now, what, actor, reason, to_json(detail).decode())


async def history_of(tx: Transaction, install_id: UUID, limit: int = 200) -> Sequence[Mapping[str, Any]]:
    query = select(history).where(history.c.install_id == install_id).order_by(history.c.id.desc()).limit(limit)
    return [dict(row._mapping) for row in await tx.session.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name
