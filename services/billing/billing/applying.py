"""Applying a catalogue: the file at start, once for each content, and whatever an operator sends later."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from billing.catalog import Catalog
from billing.changes import Comparison, compare, content_of, digest_of
from billing.deps import BillingDeps
from billing.repository.catalogs import Applied, add_applied, last_applied, lock_catalog, was_applied
from billing.repository.offers import load_catalog
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.internal import Caller
from keyturn.log import get_logger

FILE = "the file at start"

logger = get_logger()


@dataclass(frozen=True)
class Difference:
    """Between what is sold and another catalogue. `sold` None: nothing is sold yet."""

    sold: Applied | None
    digest: str
    comparison: Comparison


async def apply_file(tx: Transaction, catalog: Catalog) -> None:
    """The file that billing was started with. It may be an old one: what was applied before is not applied again, or a
    restart would undo what an operator applied since."""
    await lock_catalog(tx)
    content = content_of(catalog)
    sold, digest = await last_applied(tx), digest_of(content)
    if not await was_applied(tx, digest):
        await load_catalog(tx, catalog)
        await add_applied(tx, digest, content, FILE, None)
    elif sold and sold.content != content:
        logger.warning("catalog_file_not_applied", file=digest, sold=sold.digest, applied_by=sold.by)


async def difference(deps: BillingDeps, catalog: Catalog) -> Difference:
    async with deps.database.transaction("read_difference") as tx:
        return _difference(await last_applied(tx), content_of(catalog))


async def apply_catalog(deps: BillingDeps, caller: Caller, catalog: Catalog, reason: str) -> Difference:
    """What is sold already changes nothing, and is told of by nobody."""
    content = content_of(catalog)
    async with deps.database.transaction("apply_catalog") as tx:
        await lock_catalog(tx)
        found = _difference(await last_applied(tx), content)
        if found.sold is None or found.sold.content != content:
            await load_catalog(tx, catalog)
            await add_applied(tx, found.digest, content, caller.actor, reason)
            before = {"digest": found.sold.digest if found.sold else None}
            acted(tx, caller, "catalog.apply", "catalog", reason=reason, before=before, after=_in_short(found))
        return found


def _difference(sold: Applied | None, content: str) -> Difference:
    return Difference(sold, digest_of(content), compare(sold.content if sold else None, content))


def _in_short(found: Difference) -> dict[str, Any]:
    return {"digest": found.digest, **Counter(change.change for change in found.comparison.changes)}
