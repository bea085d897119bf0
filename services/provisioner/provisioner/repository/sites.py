"""Which host names nginx serves, and how: everything that its configuration is made from."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from keyturn.database import Database, Transaction
from provisioner.errors import NameConflictError
from provisioner.resources.nginx_sites import Site, State

PAGE = 2_000
_COLUMNS = "hostname, install_id, resource, upstream, state, body_size, certificate, certificate_key"

OF = f"SELECT {_COLUMNS} FROM sites WHERE install_id = $1 AND resource = $2 ORDER BY hostname"  # noqa: S608 - our names
# A name that is somebody else's stays theirs, and is not returned.
PUT = f"""
INSERT INTO sites ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_recordset(NULL::sites, $1::text::json)
ON CONFLICT (hostname) DO UPDATE SET upstream = excluded.upstream, state = excluded.state,
  body_size = excluded.body_size, certificate = excluded.certificate, certificate_key = excluded.certificate_key
WHERE sites.install_id = excluded.install_id AND sites.resource = excluded.resource
RETURNING hostname
"""  # noqa: S608 - our own names
WITHDRAW = "DELETE FROM sites WHERE install_id = $1 AND resource = $2 AND hostname <> ALL($3::text[]) RETURNING 1"
SWITCH = "UPDATE sites SET state = $3 WHERE install_id = $1 AND resource = $2"
READ = f"SELECT {_COLUMNS} FROM sites WHERE hostname > $1 ORDER BY hostname LIMIT $2"  # noqa: S608 - our own names

Owner = tuple[UUID, str]  # an install's resource


async def put(tx: Transaction, owner: Owner, sites: Sequence[Site]) -> Sequence[Site]:
    before = [_site(row) for row in await tx.run(OF, *owner)]
    state: State = before[0].state if before else "on"
    rows = [{**vars(site), "state": state} for site in sites]
    await tx.run(WITHDRAW, *owner, [site.hostname for site in sites])
    ours = {row.hostname for row in await tx.run(PUT, to_json(rows).decode())}
    if theirs := [site.hostname for site in sites if site.hostname not in ours]:
        raise NameConflictError("host name", theirs[0])
    return before


async def switch(tx: Transaction, owner: Owner, state: State) -> None:
    await tx.run(SWITCH, *owner, state)


async def remove(tx: Transaction, owner: Owner) -> int:
    return len(await tx.run(WITHDRAW, *owner, []))


async def all_of_them(database: Database) -> list[Site]:
    """In the order of their names, byte by byte (the column's own). In pages: each statement is a short one."""
    found: list[Site] = []
    while True:
        after = found[-1].hostname if found else ""
        rows = await database.run("sites.read", READ, after, PAGE)
        found += [_site(row) for row in rows]
        if len(rows) < PAGE:
            return found


def _site(row: Any) -> Site:
    return Site(**row)
