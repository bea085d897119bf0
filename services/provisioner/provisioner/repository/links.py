"""Setup links. Only the hash of a token is stored."""

from uuid import UUID

from sqlalchemy import select

from keyturn.database import Transaction
from provisioner.domain import SetupLink
from provisioner.tables import setup_links

ISSUE = """
WITH replaced AS (
  UPDATE setup_links SET state = 'replaced', claimed_until = NULL
  WHERE install_id = $2 AND state IN ('open', 'completing', 'expired'))
INSERT INTO setup_links (id, install_id, number, token_hash, state, created_at, expires_at, attempt)
SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6, 0 FROM setup_links WHERE install_id = $2
RETURNING number
"""


async def by_hash(tx: Transaction, token_hash: str, *, lock: bool = False) -> SetupLink | None:
    query = select(SetupLink).where(setup_links.c.token_hash == token_hash)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await tx.session.execute(query)).scalar_one_or_none()


async def locked(tx: Transaction, link_id: UUID) -> SetupLink | None:
    query = select(SetupLink).where(setup_links.c.id == link_id).with_for_update()
    return (await tx.session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def of_install(tx: Transaction, install_id: UUID) -> list[SetupLink]:
    """The newest first."""
    query = select(SetupLink).where(setup_links.c.install_id == install_id).order_by(setup_links.c.number.desc())
    return list((await tx.session.execute(query.limit(20))).scalars())


# Its index is for what is open: a plan for any state could not use it.
EXPIRE = """
UPDATE setup_links SET state = 'expired' WHERE id = ANY(ARRAY(
  SELECT id FROM setup_links WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at LIMIT $2
  FOR UPDATE SKIP LOCKED))
RETURNING id
"""


async def expire(tx: Transaction, limit: int) -> int:
    """Write down what time has done already, for so many at most; gives how many it was."""
    return len(await tx.run(EXPIRE, tx.now, limit))


async def issue(tx: Transaction, link: SetupLink) -> int:
    """Write the newest link of its install, and replace the others; gives its number."""
    written = await tx.run(
        ISSUE, link.id, link.install_id, link.token_hash, link.state, link.created_at, link.expires_at
    )
    return int(written[0].number)
