"""What is sold: the price list, coupons, and what another catalogue would change."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from billing.applying import Difference
from billing.buying import Chosen
from billing.countries import COUNTRIES
from billing.coupons import StoredCoupon
from billing.taxes import Seller, TaxRule

JSON = dict[str, Any]


def products(rows: Iterable[Any]) -> list[JSON]:
    """The price list: products, their plans, their prices, each in the catalogue's order."""
    found: dict[str, JSON] = {}
    for row in rows:
        product = found.setdefault(row.product, _product(row))
        plan = product["plans"].setdefault(row.plan, _plan(row))
        plan["prices"].append(_price(row))
    for product in found.values():
        product["plans"] = list(product["plans"].values())
    return list(found.values())


def taxing(seller: Seller, rules: Mapping[str, TaxRule]) -> JSON | None:
    """None: nobody is taxed."""
    return {"country": seller.country, "countries": sorted(COUNTRIES)} if rules else None


def _product(row: Any) -> JSON:
    names = {"id": row.product, "name": row.product_name, "description": row.description, "kind": row.kind}
    return {**names, "default": row.is_default, "plans": {}}


def _plan(row: Any) -> JSON:
    return {"id": row.plan, "key": row.key, "name": row.plan_name, "limits": row.limits, "prices": []}


def _price(row: Any) -> JSON:
    terms = {"amount": row.amount, "setup_fee": row.setup_fee, "trial_days": row.trial_days}
    terms |= {"trial_card": row.trial_card}
    return {"id": str(row.id), "cycle": row.cycle, "currency": row.currency, **terms}


def difference(found: Difference) -> JSON:
    sold = {"digest": found.sold.digest, "at": found.sold.at, "by": found.sold.by} if found.sold else None
    changes = [asdict(change) for change in found.comparison.changes]
    return {"sold": sold, "digest": found.digest, "changes": changes, "unchanged": found.comparison.unchanged}


def chosen(found: Chosen) -> JSON:
    """What a coupon would do to a price."""
    offer, discount = found.offer, found.discount
    return {
        "product": offer.product,
        "plan": offer.plan,
        "cycle": offer.cycle,
        "price": offer.amount,
        "setup_fee": offer.setup_fee,
        "discount": found.off,
        "tax": found.charge.tax,
        "amount": found.amount,
        "currency": offer.currency,
        "duration": discount.duration if discount else None,
    }


def coupon(found: StoredCoupon) -> JSON:
    return {
        "code": found.code,
        **found.terms.model_dump(mode="json"),
        "active": found.is_active,
        "redeemed": found.redeemed,
        "source": found.source,
        "created_at": found.created_at,
        "ended_at": found.ended_at,
    }


def redemption(row: Any) -> JSON:
    return {
        "purchase_id": str(row.purchase_id),
        "customer_id": str(row.customer_id),
        "status": row.state,
        "discount": row.discount,
        "amount": row.amount,
        "currency": row.currency,
        "redeemed_at": row.redeemed_at,
        "given_back_at": row.given_back_at,
    }
