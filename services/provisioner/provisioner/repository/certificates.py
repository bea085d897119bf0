"""Certificates, who uses them, the challenges that stand for them, and our accounts at ACME servers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from keyturn.database import Transaction
from provisioner.certificates.records import Certificate
from provisioner.repository.plain import as_json
from provisioner.resources.acme_challenges import Answer
from provisioner.tables import certificates

Owner = tuple[UUID, str]  # an install's resource
START = UUID(int=0)

_COLUMNS = ", ".join(column.name for column in certificates.columns)
GET = "SELECT * FROM certificates WHERE id = $1"
LOCKED = f"{GET} FOR UPDATE"
FIND = "SELECT * FROM certificates WHERE fingerprint = $1 AND challenge = $2 FOR UPDATE"
INSERT = f"""
INSERT INTO certificates ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_record(NULL::certificates, $1::text::json)
ON CONFLICT (fingerprint, challenge) DO NOTHING RETURNING 1
"""  # noqa: S608 - our own names
SAVE = f"""
UPDATE certificates SET ({_COLUMNS}) =
  (SELECT {_COLUMNS} FROM json_populate_record(NULL::certificates, $2::text::json))
WHERE id = $1
"""  # noqa: S608 - our own names
DELETE = "DELETE FROM certificates WHERE id = $1"
PAGE = "SELECT * FROM certificates WHERE id > $1 ORDER BY id LIMIT $2"
PAGE_HELD = f"{PAGE} FOR UPDATE"
ORDERED_SINCE = "SELECT count(*) AS n FROM (SELECT FROM certificates WHERE ordered_at > $1 LIMIT $2) AS found"

USES = """
SELECT install_id FROM certificate_uses WHERE certificate_id = $1 AND NOT released ORDER BY install_id LIMIT $2
"""
USES_OF_ALL = """
SELECT wanted.id, used.install_id FROM unnest($1::uuid[]) AS wanted(id), LATERAL (
  SELECT install_id FROM certificate_uses WHERE certificate_id = wanted.id AND NOT released
  ORDER BY install_id LIMIT $2) AS used
"""
USED = "SELECT certificate_id FROM certificate_uses WHERE install_id = $1 AND resource = $2"
USE = """
INSERT INTO certificate_uses (install_id, resource, certificate_id, released) VALUES ($1, $2, $3, false)
ON CONFLICT (install_id, resource) DO UPDATE SET certificate_id = excluded.certificate_id, released = false
"""
RELEASE = """
UPDATE certificate_uses SET released = true WHERE install_id = $1 AND resource = $2 RETURNING certificate_id
"""
FORGET_RELEASED = "DELETE FROM certificate_uses WHERE certificate_id = $1 AND released"

# A name proves one certificate at a time. Whose it is, is told by the row that is there.
STAND = """
INSERT INTO challenges (place, kind, zone, certificate_id, since) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (place) DO UPDATE SET zone = excluded.zone WHERE challenges.certificate_id = excluded.certificate_id
RETURNING 1
"""
STANDING = "SELECT place, kind, zone FROM challenges WHERE certificate_id = $1 ORDER BY place LIMIT 1000"
STOOD = "DELETE FROM challenges WHERE place = $1 AND certificate_id = $2"
LEFT_OVER = """
SELECT DISTINCT challenges.certificate_id FROM challenges
LEFT JOIN certificates ON certificates.id = challenges.certificate_id
WHERE certificates.order_url IS NULL AND challenges.since <= $1 LIMIT $2
"""

ACCOUNTS = "SELECT directory, key FROM acme_accounts ORDER BY directory LIMIT $1 FOR UPDATE"
ACCOUNT = "SELECT key FROM acme_accounts WHERE directory = $1"
KEEP_ACCOUNT = """
INSERT INTO acme_accounts (directory, key, created_at) VALUES ($1, $2, $3) ON CONFLICT (directory) DO NOTHING
"""


async def get(tx: Transaction, certificate_id: UUID) -> Certificate | None:
    found = await tx.run(GET, certificate_id)
    return Certificate(**found[0]) if found else None


async def locked(tx: Transaction, certificate_id: UUID) -> Certificate | None:
    """Held until the commit, with which what is changed on it is written."""
    return _kept(tx, await tx.run(LOCKED, certificate_id))


async def found_or_new(tx: Transaction, wanted: Certificate) -> tuple[Certificate, bool]:
    """The one for these names, held until the commit, and whether it is new."""
    while True:
        new = bool(await tx.run(INSERT, as_json(wanted)))
        if found := _kept(tx, await tx.run(FIND, wanted.fingerprint, wanted.challenge)):
            return found, new


def _kept(tx: Transaction, rows: Sequence[Any]) -> Certificate | None:
    if not rows:
        return None
    found = Certificate(**rows[0])
    before = as_json(found)

    async def save() -> None:
        if (now := as_json(found)) != before:
            await tx.run(SAVE, found.id, now)

    tx.before_commit.append(save)
    return found


async def delete(tx: Transaction, certificate_id: UUID) -> None:
    await tx.run(DELETE, certificate_id)


async def page(tx: Transaction, after: UUID, limit: int, *, held: bool = False) -> list[Certificate]:
    """In the order of their ids, which is that in which they were wished for."""
    return [Certificate(**row) for row in await tx.run(PAGE_HELD if held else PAGE, after, limit)]


async def ordered_since(tx: Transaction, since: datetime, most: int) -> int:
    return int((await tx.run(ORDERED_SINCE, since, most))[0].n)


async def used_by(tx: Transaction, certificate_id: UUID, limit: int) -> list[UUID]:
    """Some of the installs that use it."""
    return [row.install_id for row in await tx.run(USES, certificate_id, limit)]


async def used_by_each(tx: Transaction, ids: Sequence[UUID], limit: int) -> dict[UUID, list[UUID]]:
    found: dict[UUID, list[UUID]] = {one: [] for one in ids}
    for row in await tx.run(USES_OF_ALL, ids, limit):
        found[row.id].append(row.install_id)
    return found


async def used(tx: Transaction, owner: Owner) -> UUID | None:
    found = await tx.run(USED, *owner)
    return found[0].certificate_id if found else None


async def use(tx: Transaction, owner: Owner, certificate_id: UUID) -> None:
    await tx.run(USE, *owner, certificate_id)


async def release(tx: Transaction, owner: Owner) -> UUID | None:
    """Which one it used, or uses still."""
    found = await tx.run(RELEASE, *owner)
    return found[0].certificate_id if found else None


async def forget_released(tx: Transaction, certificate_id: UUID) -> None:
    await tx.run(FORGET_RELEASED, certificate_id)


async def stand(tx: Transaction, certificate_id: UUID, answer: Answer) -> bool:
    """Write down what is going to be put; False where another certificate is proven there just now."""
    return bool(await tx.run(STAND, answer.place, answer.kind, answer.zone, certificate_id, tx.now))


async def standing(tx: Transaction, certificate_id: UUID) -> list[Answer]:
    return [Answer(row.kind, row.place, (), row.zone) for row in await tx.run(STANDING, certificate_id)]


async def stood(tx: Transaction, certificate_id: UUID, answer: Answer) -> None:
    await tx.run(STOOD, answer.place, certificate_id)


async def left_over(tx: Transaction, before: datetime, limit: int) -> list[UUID]:
    """Whose challenges stand though no order is under way."""
    return [row.certificate_id for row in await tx.run(LEFT_OVER, before, limit)]


async def account(tx: Transaction, directory: str) -> str | None:
    """The sealed key of our account there."""
    found = await tx.run(ACCOUNT, directory)
    return str(found[0].key) if found else None


async def accounts(tx: Transaction, limit: int) -> Sequence[Any]:
    return await tx.run(ACCOUNTS, limit)


async def keep_account(tx: Transaction, directory: str, key: str) -> None:
    """Unless somebody was faster."""
    await tx.run(KEEP_ACCOUNT, directory, key, tx.now)
