"""Links to sign in, and signed-in browsers. Only the SHA-256 of what proves anything is stored."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from keyturn.database import Transaction

BATCH = 1_000
SAME_FOR = timedelta(minutes=1)  # a token that was replaced still holds: other requests of its browser are under way

ADD_LINK = "INSERT INTO sign_in_links (hash, customer_id, created, expires) VALUES ($1, $2, $3, $4)"
USE_LINK = "DELETE FROM sign_in_links WHERE hash = $1 AND expires > $2 RETURNING customer_id"
ADD = """
INSERT INTO sessions (hash, customer_id, signed_in, made, used, expires) VALUES ($1, $2, $3, $4, $4, $5)
"""
FIND = "SELECT * FROM sessions WHERE hash = $1 AND expires > $2 AND used > $3"
USED = "UPDATE sessions SET used = $2 WHERE hash = $1"
REPLACED = "UPDATE sessions SET expires = least(expires, $2) WHERE hash = $1"
END = "DELETE FROM sessions WHERE customer_id = $1 AND signed_in = $2"
OLD = {
    "sign_in_links": """DELETE FROM sign_in_links WHERE hash = ANY(ARRAY(
      SELECT hash FROM sign_in_links WHERE expires < $1 ORDER BY expires LIMIT $2)) RETURNING 1""",
    "sessions": """DELETE FROM sessions WHERE hash = ANY(ARRAY(
      SELECT hash FROM sessions WHERE expires < $1 ORDER BY expires LIMIT $2)) RETURNING 1""",
}


@dataclass(frozen=True)
class Session:
    """One browser of one customer. `signed_in` is the same for all the tokens that it had since."""

    hash: bytes
    customer_id: UUID
    signed_in: datetime
    made: datetime
    used: datetime
    expires: datetime


async def add_link(tx: Transaction, hashed: bytes, customer_id: UUID, expires: datetime) -> None:
    await tx.run(ADD_LINK, hashed, customer_id, tx.now, expires)


async def use_link(tx: Transaction, hashed: bytes) -> UUID | None:
    """Whose link it was. It is gone with this: of several at once one gets it."""
    found = await tx.run(USE_LINK, hashed, tx.now)
    return found[0].customer_id if found else None


async def add(tx: Transaction, hashed: bytes, customer_id: UUID, *, signed_in: datetime, expires: datetime) -> None:
    await tx.run(ADD, hashed, customer_id, signed_in, tx.now, expires)


async def find(tx: Transaction, hashed: bytes, *, idle: timedelta) -> Session | None:
    found = await tx.run(FIND, hashed, tx.now, tx.now - idle)
    return Session(**dict(found[0])) if found else None


async def note_use(tx: Transaction, session: Session) -> None:
    await tx.run(USED, session.hash, tx.now)


async def replaced(tx: Transaction, session: Session) -> None:
    await tx.run(REPLACED, session.hash, tx.now + SAME_FOR)


async def end(tx: Transaction, session: Session) -> None:
    """With the tokens that it had before."""
    await tx.run(END, session.customer_id, session.signed_in)


async def delete_old(tx: Transaction) -> bool:
    """Deletes a bounded number of what has expired; whether there may be more."""
    return BATCH in [len(await tx.run(statement, tx.now, BATCH)) for statement in OLD.values()]
