"""Whether what is sold can be made: `python -m sandbox.selling CATALOG BLUEPRINTS`.

Billing does not see blueprints and the provisioner no catalogue. Of the file that billing starts with, only here it is
found that a blueprint does not exist, or that a plan lacks a limit which its blueprint reads: before somebody has paid.
"""

import sys
from pathlib import Path

import httpx

from billing.catalog import read_catalog
from keyturn.errors import KeyturnError
from provisioner.blueprints import load
from provisioner.resources import kinds
from provisioner.resources.local import Local


def check(catalog_file: Path, folder: Path) -> str:
    """How much there is. Raises `Misconfigured` with what does not fit."""
    blueprints = load(folder, kinds(httpx.AsyncClient(), Local(Path(), range(0))))
    catalog = read_catalog(catalog_file, {name: blueprint.limits for name, blueprint in blueprints.items()})
    return f"{len(catalog.products)} products, {len(blueprints)} blueprints"


def main() -> int:
    catalog_file, folder = map(Path, sys.argv[1:] or ("catalog.yaml", "blueprints"))
    try:
        print(check(catalog_file, folder))
    except KeyturnError as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
