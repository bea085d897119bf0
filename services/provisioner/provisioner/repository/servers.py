"""Servers: hosts with room for so much, and which resource has its place on which of them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from keyturn.database import Transaction
from provisioner.resources.port import Needs

Owner = tuple[UUID, str]

# One at a time: whoever comes second finds what the first has left.
ALONE = "SELECT pg_advisory_xact_lock(hashtext('placements'))"
HELD = "SELECT server, memory, millicpus FROM placements WHERE install_id = $1 AND resource = $2"
_ROOM = "used_memory + $3 <= memory AND used_millicpus + $4 <= millicpus"
TAKE = f"""
WITH chosen AS (
  SELECT name FROM servers
  WHERE target = $5 AND enabled AND labels @> $6::text::jsonb AND used_slots < slots AND {_ROOM}
  ORDER BY greatest(
    used_slots::float8 / slots, used_memory::float8 / memory, used_millicpus::float8 / millicpus), name LIMIT 1),
taken AS (
  UPDATE servers SET used_slots = used_slots + 1, used_memory = used_memory + $3, used_millicpus = used_millicpus + $4
  FROM chosen WHERE servers.name = chosen.name RETURNING servers.name)
INSERT INTO placements (install_id, resource, server, memory, millicpus)
SELECT $1::uuid, $2::text, name, $3, $4 FROM taken
RETURNING server
"""  # noqa: S608 - our own words
ANY_ROOM = f"""
SELECT FROM servers
WHERE target = $1 AND enabled AND labels @> $2::text::jsonb AND used_slots < slots AND {_ROOM} LIMIT 1
"""
RESIZE = """
WITH resized AS (
  UPDATE servers SET used_memory = used_memory + $3, used_millicpus = used_millicpus + $4
  WHERE name = $5 AND ($3 <= 0 OR used_memory + $3 <= memory) AND ($4 <= 0 OR used_millicpus + $4 <= millicpus)
  RETURNING name)
UPDATE placements SET memory = placements.memory + $3, millicpus = placements.millicpus + $4
FROM resized WHERE install_id = $1 AND resource = $2 RETURNING server
"""
LEAVE = """
WITH gone AS (DELETE FROM placements WHERE install_id = $1 AND resource = $2 RETURNING server, memory, millicpus)
UPDATE servers SET used_slots = used_slots - 1, used_memory = used_memory - gone.memory,
  used_millicpus = used_millicpus - gone.millicpus
FROM gone WHERE name = gone.server RETURNING name
"""
FIND = "SELECT name, target, address, publish_on FROM servers WHERE target = $1 AND name = $2"


async def place(tx: Transaction, owner: Owner, target: str, needs: Needs, labels: Mapping[str, str]) -> str | None:
    """The server on which the resource has its place now; None where none has room."""
    await tx.run(ALONE)
    memory, millicpus = needs.memory, round(needs.cpus * 1000)
    held = await tx.run(HELD, *owner)
    if not held:
        taken = await tx.run(TAKE, *owner, memory, millicpus, target, to_json(labels).decode())
        return str(taken[0].server) if taken else None
    more = memory - held[0].memory, millicpus - held[0].millicpus
    resized = more == (0, 0) or await tx.run(RESIZE, *owner, *more, held[0].server)
    return str(held[0].server) if resized else None


async def any_room(tx: Transaction, target: str, needs: Needs, labels: Mapping[str, str]) -> bool:
    """Whether a place would be found now. Nothing is taken."""
    found = await tx.run(ANY_ROOM, target, to_json(labels).decode(), needs.memory, round(needs.cpus * 1000))
    return bool(found)


async def leave(tx: Transaction, owner: Owner) -> bool:
    return bool(await tx.run(LEAVE, *owner))


PAGE = """
SELECT name, target, address, publish_on, memory, millicpus, slots, labels, enabled, used_memory, used_millicpus,
  used_slots, created_at
FROM servers WHERE name > $1 ORDER BY name LIMIT $2
"""
ONE = "SELECT * FROM servers WHERE name = $1 FOR UPDATE"
SET = """
INSERT INTO servers (name, target, address, publish_on, memory, millicpus, slots, labels, enabled, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10)
ON CONFLICT (name) DO UPDATE SET (address, publish_on, memory, millicpus, slots, labels, enabled) =
  (excluded.address, excluded.publish_on, excluded.memory, excluded.millicpus, excluded.slots, excluded.labels,
   excluded.enabled)
WHERE servers.target = excluded.target RETURNING *
"""
REMOVE = "DELETE FROM servers WHERE name = $1 AND used_slots = 0 RETURNING *"


async def page(tx: Transaction, after: str, limit: int) -> Sequence[Mapping[str, Any]]:
    return [dict(row) for row in await tx.run(PAGE, after, limit)]


async def locked(tx: Transaction, name: str) -> Mapping[str, Any] | None:
    found = await tx.run(ONE, name)
    return dict(found[0]) if found else None


async def save(tx: Transaction, name: str, said: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """New, or changed; None where it is one of another target."""
    values = (said[column] for column in ("target", "address", "publish_on", "memory", "millicpus", "slots"))
    written = await tx.run(SET, name, *values, to_json(said["labels"]).decode(), said["enabled"], tx.now)
    return dict(written[0]) if written else None


async def remove(tx: Transaction, name: str) -> bool:
    """False where something has its place there."""
    return bool(await tx.run(REMOVE, name))
