"""What is kept of an install that says something about its customer."""

from uuid import UUID

from keyturn.database import Transaction
from keyturn.erasing import Tables

# Left out is what opens something or belongs to a target.
PERSONAL: Tables = {
    "installs": ("id = $1", ()),
    "jobs": ("install_id = $1", ()),
    "steps": ("job_id IN (SELECT id FROM jobs WHERE install_id = $1)", ()),
    "resources": ("install_id = $1", ("parameters", "notes", "outputs")),
    "sites": ("install_id = $1", ("upstream", "certificate", "certificate_key")),
    "names": ("owner = $1", ()),
    "setup_links": ("install_id = $1", ("token_hash", "operation")),
    "history": ("install_id = $1", ()),
    "allocations": ("install_id = $1", ()),
    "certificates": (
        "id IN (SELECT certificate_id FROM certificate_uses WHERE install_id = $1)",
        ("fingerprint", "order_key", "order_url", "key", "chain"),
    ),
    "certificate_uses": ("install_id = $1", ()),
    "placements": ("install_id = $1", ()),
    "erasures": ("purchase_id = $1", ()),
}

LEFT = "SELECT FROM resources WHERE install_id = $1 AND state <> 'gone' LIMIT 1"
FORGET = (
    """UPDATE installs SET contact = '{}', parameters = '{}', subdomain = NULL, url = NULL, admin_url = NULL,
      applied = NULL WHERE id = $1""",
    """UPDATE resources SET parameters = '{}', customer_named = '[]', notes = '{}', outputs = '{}', message = NULL
      WHERE install_id = $1""",
    "UPDATE steps SET detail = NULL WHERE job_id IN (SELECT id FROM jobs WHERE install_id = $1)",
    "UPDATE jobs SET detail = NULL WHERE install_id = $1",
    "UPDATE history SET detail = '{}', reason = NULL WHERE install_id = $1",
    "DELETE FROM setup_links WHERE install_id = $1",
    "DELETE FROM secrets WHERE install_id = $1",
    "DELETE FROM names WHERE owner = $1",
)


async def anything_left(tx: Transaction, install_id: UUID) -> bool:
    """At a target."""
    return bool(await tx.run(LEFT, install_id))


async def forget(tx: Transaction, install_id: UUID) -> None:
    for statement in FORGET:
        await tx.run(statement, install_id)
