"""What the four services keep about a customer: as `docs/security.md` has it, table by table, and as it is in the code."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import MetaData

import billing.repository.erasing
import billing.tables
import gateway.repository.erasing
import gateway.tables
import notifier.erasing
import notifier.tables
import provisioner.repository.erasing
import provisioner.tables
from keyturn.erasing import Tables
from support import pages

PAGE = "security.md"
METADATA: Mapping[str, MetaData] = {
    "billing": billing.tables.metadata,
    "gateway": gateway.tables.Base.metadata,
    "provisioner": provisioner.tables.metadata,
    "notifier": notifier.tables.Base.metadata,
}
OF_PURCHASE: Mapping[str, Tables] = {
    "billing": billing.repository.erasing.PERSONAL,
    "gateway": gateway.repository.erasing.PERSONAL,
    "provisioner": provisioner.repository.erasing.PERSONAL,
    "notifier": notifier.erasing.PERSONAL,
}
OF_CUSTOMER: Mapping[str, Tables] = {
    "billing": billing.repository.erasing.OF_CUSTOMER,
    "gateway": gateway.repository.erasing.OF_CUSTOMER,
}


@dataclass(frozen=True)
class Told:
    """What the page says of one table."""

    service: str
    table: str
    exported: str
    afterwards: str


def told() -> list[Told]:
    """A table of each service is one of every service."""
    found = []
    for service, tables, exported, afterwards in _rows("tables"):
        services = list(METADATA) if service == "each" else [service]
        found += [Told(one, table, exported, afterwards) for one in services for table in pages.codes(tables)]
    return found


def kept() -> set[str]:
    """`service.table.column`, where words of a forgotten customer still are."""
    return {column for row in _rows("kept") for column in pages.codes(row[0])}


def exported(service: str) -> set[str]:
    return {*OF_PURCHASE[service], *OF_CUSTOMER.get(service, {})}


def _rows(mark: str) -> list[list[str]]:
    text = pages.between(PAGE, f"<!-- {mark} -->", f"<!-- end {mark} -->")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.strip().splitlines()]
    return rows[2:]
