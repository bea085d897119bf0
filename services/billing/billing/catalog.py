"""The catalogue: what is sold, at which prices. Read from `catalog.yaml`; every fault is named with file and line."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from billing.calendar import recurs
from billing.coupons import Code, Coupon, unknown_products
from billing.errors import CatalogError, Fault
from billing.policy import Policy
from billing.providers.money import RAZORPAY_MINIMUM, step_of, uncollectable, usual_provider
from billing.taxes import Country, Seller, TaxRule, unused
from keyturn import yamlfiles
from keyturn.yamlfiles import YamlFault

Kind = Literal["hosting", "wordpress", "email", "vps", "application"]
CANARY: Literal["canary"] = "canary"  # hidden: what the canary buys
Cycle = Literal["one_time", "monthly", "quarterly", "yearly", "biennial", "triennial"]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
PriceId = Annotated[str, StringConstraints(pattern=r"^price_[A-Za-z0-9_]{1,200}$")]
Place = tuple[str | int, ...]
Blueprints = Mapping[str, Collection[str]]  # those that exist, and the limits that each reads


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Price(_Model):
    """Amounts in the currency's minor unit; zero is free. The set-up fee is paid once, with the first payment."""

    cycle: Cycle
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    amount: int = Field(ge=0, le=10**12, strict=True)
    setup_fee: int = Field(default=0, ge=0, le=10**12, strict=True)
    collection: Literal["keyturn", "provider"] = "keyturn"  # who charges what follows the first payment
    trial_days: int = Field(default=0, ge=0, le=365, strict=True)  # free, before the first period that is paid
    trial_card: Literal["required", "none"] = "none"  # whether a card is saved before it, and then charged by itself
    ids: dict[Literal["stripe"], PriceId] = Field(default_factory=dict)  # prepared at the provider, for the amount


class Plan(_Model):
    key: int | None = Field(default=None, ge=1, le=2**31 - 1, strict=True)  # the documented integer
    name: str = Field(min_length=1, max_length=100)
    limits: dict[str, int | float | str | bool] = Field(default_factory=dict)
    prices: list[Price] = Field(min_length=1)  # the first that fits a request is taken


class Product(_Model):
    name: str = Field(min_length=1, max_length=100)
    description: str = Field(default="", max_length=1000)
    kind: Literal[Kind, "canary"] = "application"
    blueprint: Slug
    policy: Policy = Policy()
    plans: dict[Slug, Plan] = Field(min_length=1)  # the first is the product's default


class Catalog(_Model):
    default: Slug
    products: dict[Slug, Product] = Field(min_length=1)
    coupons: dict[Code, Coupon] = {}
    seller: Seller = Seller()
    tax: dict[Country, TaxRule] = {}


def read_catalog(file: Path, blueprints: Blueprints | None = None) -> Catalog:
    """Raises `CatalogError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(Fault(str(file), 1, str(error))) from error
    return parse_catalog(text, file.name, blueprints)


def parse_catalog(text: str, name: str = "catalog.yaml", blueprints: Blueprints | None = None) -> Catalog:
    """Raises `CatalogError` with all faults of the text; where the blueprints are known, with what they cannot make."""
    try:
        root = yamlfiles.compose(text)
        content = yamlfiles.value_of(root) if root else None
    except YamlFault as fault:
        raise CatalogError(Fault(name, fault.line, str(fault))) from fault
    lines: dict[Place, int] = {(): 1}
    faults = list(_walk(root, (), lines)) if root else []
    try:
        catalog = Catalog.model_validate(content)
    except ValidationError as error:
        faults += [(_place(e["loc"]), e["msg"]) for e in error.errors(include_url=False)]
    else:
        faults += _contradictions(catalog)
        faults += _unmakeable(catalog, blueprints) if blueprints is not None else ()
    if faults:
        told = sorted((_line(place, lines), _told(place, message)) for place, message in faults)
        raise CatalogError(*(Fault(name, line, message) for line, message in told))
    return catalog


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int]) -> Iterator[tuple[Place, str]]:
    """Notes the line of every place, and yields the keys that stand twice: YAML would silently take the last."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield from _walk(child, (*place, index), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            inner = (*place, key.value)
            if inner in lines:
                yield inner, f"stands twice, first in line {lines[inner]}"
            lines[inner] = key.start_mark.line + 1
            yield from _walk(child, inner, lines)


def _contradictions(catalog: Catalog) -> Iterator[tuple[Place, str]]:
    if catalog.default not in catalog.products:
        yield ("default",), f"there is no product {catalog.default!r}"
    elif catalog.products[catalog.default].kind == CANARY:
        yield ("default",), "nobody gets what the canary buys"
    yield from unknown_products(catalog.coupons, catalog.products)
    yield from unused(catalog.tax, catalog.seller)
    plans: set[str] = set()
    keys: set[int] = set()
    for slug, product in catalog.products.items():
        if product.kind == CANARY and not _for_a_canary(product):
            yield ("products", slug), "a canary is free, kept for no day (policy.retention_days: 0)"
        for plan_slug, plan in product.plans.items():
            place = ("products", slug, "plans", plan_slug)
            if plan_slug in plans:
                yield place, "another product has a plan of this name"
            if plan.key in keys:
                yield (*place, "key"), f"another plan has the key {plan.key}"
            plans.add(plan_slug)
            keys |= {plan.key} if plan.key else set()
            yield from _contradicting_prices(plan, (*place, "prices"))


def _for_a_canary(product: Product) -> bool:
    paid = any(price.amount or price.setup_fee for plan in product.plans.values() for price in plan.prices)
    return product.policy.retention_days == 0 and not paid


def _contradicting_prices(plan: Plan, place: Place) -> Iterator[tuple[Place, str]]:
    seen: set[tuple[str, str]] = set()
    for index, price in enumerate(plan.prices):
        if (price.cycle, price.currency) in seen:
            yield (*place, index), f"a second {price.cycle} price in {price.currency}"
        yield from _unpayable(price, (*place, index))
        seen.add((price.cycle, price.currency))


def _unpayable(price: Price, place: Place) -> Iterator[tuple[Place, str]]:
    """What a provider would refuse, told before somebody wants to pay it."""
    if price.currency == "INR" and 0 < price.amount + price.setup_fee < RAZORPAY_MINIMUM:
        yield (*place, "amount"), f"less than {RAZORPAY_MINIMUM} paise cannot be paid"
    if price.collection == "provider":
        if price.cycle == "one_time" or not price.amount:
            yield (*place, "collection"), "a provider collects only what recurs and costs something"
        elif why := uncollectable(usual_provider(price.currency), price.currency, price.amount):
            yield (*place, "collection"), why
    if price.ids and not price.amount:
        yield (*place, "ids"), "what costs nothing needs no prepared price"
    if price.trial_days and not (price.amount and recurs(price.cycle)):
        yield (*place, "trial_days"), "only what recurs and costs something can be tried"
    if price.trial_card == "required" and (why := _no_card(price)):
        yield (*place, "trial_card"), why
    for field in ("amount", "setup_fee"):
        if getattr(price, field) % step_of(price.currency):
            yield (*place, field), f"an amount in {price.currency} must end in 0"


def _no_card(price: Price) -> str | None:
    if not price.trial_days:
        return "there are no trial_days"
    if price.collection == "provider":
        return "what the provider collects is paid at its checkout"
    return "only Stripe saves cards" if usual_provider(price.currency) != "stripe" else None


def _unmakeable(catalog: Catalog, blueprints: Blueprints) -> Iterator[tuple[Place, str]]:
    for slug, product in catalog.products.items():
        blueprint = product.blueprint
        if blueprint not in blueprints:
            yield ("products", slug, "blueprint"), f"there is no blueprint {blueprint!r}"
            continue
        for plan_slug, plan in product.plans.items():
            for limit in sorted({*blueprints[blueprint]} - {*plan.limits}):
                place = ("products", slug, "plans", plan_slug)
                yield place, f"blueprint {blueprint} reads {{plan.{limit}}}, a limit it lacks"


def _place(loc: tuple[int | str, ...]) -> Place:
    return tuple(part for part in loc if part != "[key]")


def _line(place: Place, lines: dict[Place, int]) -> int:
    """The line of the place, or of what should hold it: a missing field has no line of its own."""
    while place not in lines:
        place = place[:-1]
    return lines[place]


def _told(place: Place, message: Any) -> str:
    return f"{'.'.join(map(str, place)) or 'the file'}: {message}"
