"""What another catalogue would change, entry by entry: products, plans, prices, and whatever else it says by name."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from billing.catalog import Catalog

Entries = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A price is never changed: it is `replaced`, and the old one stays with those who bought it."""

    change: Literal["added", "replaced", "changed", "withdrawn"]
    what: str  # as `price server-2 monthly EUR`
    before: Any = None
    after: Any = None


@dataclass(frozen=True)
class Comparison:
    changes: list[Change]
    unchanged: int  # so many entries


def content_of(catalog: Catalog) -> str:
    """By which one catalogue is told from another: without comments and defaults, so that a field that a later release
    knows makes no other catalogue of it."""
    return catalog.model_dump_json(exclude_defaults=True)


def digest_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def compare(before: str | None, after: str) -> Comparison:
    """Of two contents. None: nothing was sold."""
    old, new = (dict(_entries(json.loads(content))) for content in (before or "{}", after))
    changes = [Change("withdrawn", what, before=said) for what, said in old.items() if what not in new]
    for what, said in new.items():
        if what not in old:
            changes.append(Change("added", what, after=said))
        elif old[what] != said:
            changes.append(Change("replaced" if what.startswith("price ") else "changed", what, old[what], said))
    if [what for what in old if what in new] != [what for what in new if what in old]:
        changes.append(Change("changed", "order"))
    return Comparison(changes, sum(what in new and new[what] == said for what, said in old.items()))


def _entries(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for slug, product in content.pop("products", {}).items():
        plans = product.pop("plans")
        yield f"product {slug}", product
        for plan_slug, plan in plans.items():
            prices = plan.pop("prices")
            yield f"plan {plan_slug}", {"product": slug, **plan}
            for price in prices:
                yield f"price {plan_slug} {price.pop('cycle')} {price.pop('currency')}", price
    for name, said in content.items():
        if isinstance(said, dict):
            yield from ((f"{name} {inner}", value) for inner, value in said.items())
        else:
            yield name, said
