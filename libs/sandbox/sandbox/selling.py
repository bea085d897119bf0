"""Whether what is sold can be made: `python -m sandbox.selling CATALOG BLUEPRINTS`.

Billing does not see blueprints and the provisioner no catalogue, so only here a product is found whose blueprint does
not exist, or a plan without a limit that its blueprint reads: before somebody has paid for it.
"""

import sys
from pathlib import Path

import httpx

from billing.catalog import Catalog, read_catalog
from keyturn.errors import KeyturnError, Misconfigured
from provisioner import rendering
from provisioner.blueprints import Blueprint, load
from provisioner.resources import kinds
from provisioner.resources.local import Local


def check(catalog_file: Path, folder: Path) -> str:
    """How much there is. Raises `Misconfigured` with the first thing that does not fit."""
    catalog = read_catalog(catalog_file)
    blueprints = load(folder, kinds(httpx.AsyncClient(), Local(Path(), range(0))))
    for fault in _faults(catalog, blueprints):
        raise Misconfigured(f"{catalog_file.name}: {fault}")
    return f"{len(catalog.products)} products, {len(blueprints)} blueprints"


def _faults(catalog: Catalog, blueprints: dict[str, Blueprint]) -> list[str]:
    found = []
    for name, product in catalog.products.items():
        blueprint = blueprints.get(product.blueprint)
        if blueprint is None:
            found.append(f"product {name}: there is no blueprint {product.blueprint!r}")
            continue
        for slug, plan in product.plans.items():
            missing = sorted(_limits(blueprint) - set(plan.limits))
            found += [
                f"plan {slug}: blueprint {blueprint.name} reads {{plan.{one}}}, a limit it lacks" for one in missing
            ]
    return found


def _limits(blueprint: Blueprint) -> set[str]:
    """The limits that a blueprint reads; a plan always has its `name`."""
    made = [[plan.parameters, plan.when or ""] for plan in blueprint.resources.values()]
    said = [made, blueprint.outputs, [call.parameters for call in blueprint.setup]]
    read = {ref.field for ref in rendering.references(said) if ref.root == "plan" and ref.field}
    return read - {"name"}


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
