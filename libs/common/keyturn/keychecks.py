"""A wrong key under a known id is found at the start, not at the first value that does not open."""

from collections.abc import Mapping

from keyturn.database import Database
from keyturn.errors import Misconfigured
from keyturn.sealing import KeyRing

# Of two replicas that start at once the first one's value stands; the other compares with it.
NOTE = """
INSERT INTO key_checks (ring, key_id, check_value)
SELECT $1, key_id, check_value FROM unnest($2::text[], $3::bytea[]) AS new(key_id, check_value)
ON CONFLICT (ring, key_id) DO NOTHING
"""
KNOWN = "SELECT key_id, check_value FROM key_checks WHERE ring = $1 AND key_id = ANY($2::text[])"


async def check_rings(database: Database, rings: Mapping[str, KeyRing]) -> None:
    """`rings` by the name of their setting. Notes keys seen for the first time; raises `Misconfigured` for one that is
    not what it was."""
    for name, ring in rings.items():
        values = ring.check_values()
        async with database.transaction("key_checks") as tx:
            await tx.run(NOTE, name, list(values), list(values.values()))
            known = await tx.run(KNOWN, name, list(values))
            wrong = sorted(row.key_id for row in known if row.check_value != values[row.key_id])
            if wrong:
                raise Misconfigured(
                    f"{name}: key {', '.join(wrong)} is another one than was used under this id before. "
                    "Put the old key back, or give the new one an id of its own"
                )
