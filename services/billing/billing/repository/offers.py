"""The catalogue in the database: loaded when one is applied, read by checkouts. Prices are replaced, never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.catalog import CANARY, Catalog, Plan, Product
from billing.policy import Policy
from billing.repository.coupons import put_coupons
from billing.repository.invoices import put_shop
from billing.tables import plans, prices, products
from keyturn.database import Transaction
from keyturn.events import uuid7


@dataclass(frozen=True)
class Offer:
    """One price of one plan, as somebody can buy it today."""

    product: str
    plan: str
    key: int | None
    price_id: UUID
    cycle: str
    currency: str
    amount: int
    setup_fee: int = 0
    trial_days: int = 0
    collection: str = "keyturn"
    trial_card: str = "none"

    @property
    def due(self) -> int:
        """With the first payment."""
        return self.amount + self.setup_fee


@dataclass(frozen=True)
class Wares:
    """What is paid, as the payment page calls it, and the prices prepared for it, by provider."""

    product: str
    plan: str
    plan_name: str
    ids: Mapping[str, str]
    collection: str

    @property
    def title(self) -> str:
        return f"{self.product}, {self.plan_name}"


@dataclass(frozen=True)
class Terms:
    """What a plan gives, and the policy of its product."""

    plan_name: str
    blueprint: str
    limits: dict[str, Any]
    policy: Policy


async def load_catalog(tx: Transaction, catalog: Catalog) -> None:
    """Makes the database say what the catalogue says. What is no longer in it stays for those who bought it. The caller
    holds the lock of `repository.catalogs`."""
    await tx.session.execute(update(products).values(active=False, is_default=False).where(products.c.active))
    await tx.session.execute(update(plans).values(active=False, key=None).where(plans.c.active))
    wanted: set[UUID] = set()
    for place, (slug, product) in enumerate(catalog.products.items()):
        await _put_product(tx, slug, product, place, is_default=slug == catalog.default)
        for position, (plan_slug, plan) in enumerate(product.plans.items()):
            await _put_plan(tx, slug, plan_slug, plan, position)
            wanted |= await _put_prices(tx, plan_slug, plan)
    gone = update(prices).where(prices.c.active, prices.c.id.not_in(wanted))
    await tx.session.execute(gone.values(active=False, replaced_at=tx.now))
    await put_coupons(tx, catalog.coupons)
    await put_shop(tx, catalog)


async def _put_product(tx: Transaction, slug: str, product: Product, position: int, *, is_default: bool) -> None:
    values = {
        "name": product.name,
        "description": product.description,
        "kind": product.kind,
        "blueprint": product.blueprint,
        "policy": product.policy.model_dump(),
        "position": position,
        "is_default": is_default,
        "active": True,
    }
    statement = insert(products).values(slug=slug, **values)
    await tx.session.execute(statement.on_conflict_do_update(index_elements=["slug"], set_=values))


async def _put_plan(tx: Transaction, product: str, slug: str, plan: Plan, position: int) -> None:
    values = {
        "product": product,
        "key": plan.key,
        "name": plan.name,
        "limits": plan.limits,
        "position": position,
        "active": True,
    }
    statement = insert(plans).values(slug=slug, **values)
    await tx.session.execute(statement.on_conflict_do_update(index_elements=["slug"], set_=values))


TERMS_OF_PRICE = ("amount", "setup_fee", "trial_days", "trial_card", "collection", "ids")


async def _put_prices(tx: Transaction, plan_slug: str, plan: Plan) -> set[UUID]:
    found = await tx.session.execute(select(prices).where(prices.c.plan == plan_slug, prices.c.active))
    on_offer = {(row.cycle, row.currency): row for row in found}
    kept: set[UUID] = set()
    for position, price in enumerate(plan.prices):
        row = on_offer.get((price.cycle, price.currency))
        if row and all(getattr(row, name) == getattr(price, name) for name in TERMS_OF_PRICE):
            if row.position != position:
                await tx.session.execute(update(prices).where(prices.c.id == row.id).values(position=position))
            kept.add(row.id)
            continue
        if row:
            replaced = update(prices).where(prices.c.id == row.id).values(active=False, replaced_at=tx.now)
            await tx.session.execute(replaced)
        new = {"id": uuid7(), "plan": plan_slug, "position": position, "active": True, "created_at": tx.now}
        await tx.session.execute(insert(prices).values(**new, **price.model_dump()))
        kept.add(new["id"])  # type: ignore[arg-type] # the dict's values have several types
    return kept


async def offers(tx: Transaction, *, product: str | None, plan: str | None, hidden: bool = False) -> list[Offer]:
    """The prices of one plan: the named one, or the first of the named or default product. Empty: no such thing."""
    statement = _offers(hidden=hidden).order_by(plans.c.position, prices.c.position)
    if plan:
        by_key = plans.c.key == int(plan) if plan.isdecimal() and len(plan) < 10 else plans.c.slug == plan
        statement = statement.where(by_key)
    if product:
        statement = statement.where(products.c.slug == product)
    if not (plan or product):
        statement = statement.where(products.c.is_default)
    found = [_offer(row) for row in await tx.session.execute(statement.limit(100))]
    return [offer for offer in found if offer.plan == found[0].plan]


async def product_exists(tx: Transaction, slug: str) -> bool:
    statement = select(products.c.slug).where(products.c.slug == slug, products.c.active, products.c.kind != CANARY)
    return await tx.session.scalar(statement) is not None


async def all_offers(tx: Transaction) -> Sequence[Any]:
    """Everything on offer, for the price list."""
    more = (products.c.description, products.c.kind, products.c.is_default, plans.c.limits)
    statement = _offers(*more).order_by(products.c.position, plans.c.position, prices.c.position)
    return list(await tx.session.execute(statement.limit(2000)))


async def plans_on_offer(tx: Transaction, product: str, cycle: str, currency: str) -> Sequence[Any]:
    """The plans of a product that are sold for this cycle in this currency."""
    of = products.c.slug == product, prices.c.cycle == cycle, prices.c.currency == currency
    statement = _offers(plans.c.limits).where(*of).order_by(plans.c.position, prices.c.position)
    return list(await tx.session.execute(statement.limit(100)))


TERMS = """
SELECT plans.name AS plan_name, blueprint, limits, policy
FROM plans JOIN products ON products.slug = plans.product WHERE plans.slug = $1
"""


WARES = """
SELECT products.name AS product, plans.slug AS plan, plans.name AS plan_name, ids, collection
FROM prices JOIN plans ON plans.slug = prices.plan JOIN products ON products.slug = plans.product WHERE prices.id = $1
"""


async def terms(tx: Transaction, plan: str) -> Terms:
    """Read once in a transaction."""
    known: dict[str, Terms] = tx.session.info.setdefault("terms", {})
    if plan not in known:
        row = (await tx.run(TERMS, plan))[0]
        known[plan] = Terms(row.plan_name, row.blueprint, row.limits, Policy.model_validate(row.policy))
    return known[plan]


async def wares(tx: Transaction, price: UUID) -> Wares:
    row = (await tx.run(WARES, price))[0]
    return Wares(row.product, row.plan, row.plan_name, row.ids, row.collection)


def _offers(*more: Any, hidden: bool = False) -> Select[Any]:
    terms = ("amount", "setup_fee", "trial_days", "collection", "trial_card")
    columns = [prices.c[name] for name in ("id", "plan", "cycle", "currency", *terms)]
    names = (products.c.slug.label("product"), products.c.name.label("product_name"), plans.c.name.label("plan_name"))
    statement = select(*columns, *names, plans.c.key, *more).join_from(prices, plans).join(products)
    statement = statement.where(prices.c.active, plans.c.active, products.c.active)
    return statement if hidden else statement.where(products.c.kind != CANARY)


async def canary_product(tx: Transaction) -> str | None:
    """What the canary buys."""
    found = select(products.c.slug).where(products.c.kind == CANARY, products.c.active).order_by(products.c.position)
    slug: str | None = await tx.session.scalar(found.limit(1))
    return slug


def _offer(row: Any) -> Offer:
    terms = row.cycle, row.currency, row.amount, row.setup_fee, row.trial_days, row.collection, row.trial_card
    return Offer(row.product, row.plan, row.key, row.id, *terms)
