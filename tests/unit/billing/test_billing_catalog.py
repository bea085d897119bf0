"""A catalogue with faults is refused, and each fault is named with its line."""

from pathlib import Path
from typing import get_args

import pytest

from billing.catalog import CANARY, Cycle, Kind, parse_catalog, read_catalog
from billing.errors import CatalogError

GOOD = """\
default: shop
products:
  shop:
    name: Shop
    blueprint: sandbox-app
    policy: {full_refund: suspend}
    plans:
      basic:
        key: 1
        name: Basic
        limits: {memory: 256M, cpus: 0.5, backups: true}
        prices:
          - {cycle: one_time, currency: EUR, amount: 4900}
          - {cycle: monthly, currency: INR, amount: 79900}
      pro:
        name: Pro
        prices:
          - {cycle: yearly, currency: EUR, amount: 0}
"""


def test_a_good_catalogue_is_read() -> None:
    catalog = parse_catalog(GOOD)
    shop = catalog.products["shop"]
    assert (shop.policy.full_refund, shop.policy.partial_refund) == ("suspend", "keep")
    assert list(shop.plans) == ["basic", "pro"]
    assert shop.plans["basic"].limits == {"memory": "256M", "cpus": 0.5, "backups": True}


def test_the_catalogue_in_the_project_is_good() -> None:
    """Ten products of every kind and the canary's, with prices of every cycle, in currencies with and without
    decimals."""
    products = read_catalog(Path(__file__).parents[3] / "catalog.yaml").products.values()
    prices = [price for product in products for plan in product.plans.values() for price in plan.prices]
    kinds = [product.kind for product in products]
    assert (len(kinds), kinds.count(CANARY)) == (11, 1)
    assert set(kinds) == {*get_args(Kind), CANARY}
    assert {price.cycle for price in prices} == set(get_args(Cycle))
    assert {price.currency for price in prices} == {"EUR", "USD", "INR", "JPY"}


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("default: shop", "default: nothing", "catalog.yaml:1: default: there is no product 'nothing'"),
        ("    blueprint: sandbox-app\n", "", "catalog.yaml:3: products.shop.blueprint: Field required"),
        ("full_refund: suspend", "full_refund: burn", "catalog.yaml:6: products.shop.policy.full_refund"),
        ("    name: Shop", "    name: Shop\n    colour: red", "catalog.yaml:5: products.shop.colour: Extra inputs"),
        ("amount: 4900", "amount: 49.00", "catalog.yaml:13: products.shop.plans.basic.prices.0.amount"),
        ("amount: 4900", "amount: -1", "catalog.yaml:13: products.shop.plans.basic.prices.0.amount"),
        ("currency: EUR, amount: 4900", "currency: euro, amount: 4900", "catalog.yaml:13: products.shop.plans.basic"),
        ("cycle: monthly", "cycle: weekly", "catalog.yaml:14: products.shop.plans.basic.prices.1.cycle"),
        ("INR, amount: 79900", "INR, amount: 98, setup_fee: 1", "catalog.yaml:14: products.shop.plans.basic.prices.1"),
        ("EUR, amount: 4900", "BHD, amount: 4905", "catalog.yaml:13: products.shop.plans.basic.prices.0.amount: an"),
        ("EUR, amount: 4900", "KWD, amount: 0, setup_fee: 1", "13: products.shop.plans.basic.prices.0.setup_fee: an"),
        ("amount: 4900", "amount: 4900, ids: {stripe: sku_1}", "13: products.shop.plans.basic.prices.0.ids.stripe"),
        ("amount: 4900", "amount: 1, ids: {razorpay: price_1}", "13: products.shop.plans.basic.prices.0.ids.razorpay"),
        ("amount: 0", "amount: 0, ids: {stripe: price_1}", "products.shop.plans.pro.prices.0.ids: what costs nothing"),
        ("amount: 4900", "amount: 4900, trial_days: 9", "13: products.shop.plans.basic.prices.0.trial_days: only what"),
        (
            "amount: 4900",
            "amount: 4900, trial_card: required",
            "13: products.shop.plans.basic.prices.0.trial_card: there are no trial_days",
        ),
        ("amount: 4900", "amount: 4900, trial_card: maybe", "13: products.shop.plans.basic.prices.0.trial_card"),
        ("amount: 79900", "amount: 79900, trial_days: 366", "14: products.shop.plans.basic.prices.1.trial_days"),
        (
            "    name: Shop",
            "    name: Shop\n    kind: food",
            "catalog.yaml:5: products.shop.kind: Input should be 'hos",
        ),
        ("    name: Shop", "    name: Shop\n    kind: canary", "catalog.yaml:3: products.shop: a canary is free"),
        ("amount: 79900", "amount: 99", "catalog.yaml:14: products.shop.plans.basic.prices.1.amount: less than 100"),
        ("      pro:\n", "      basic:\n", "catalog.yaml:15: products.shop.plans.basic: stands twice, first in line 8"),
        ("        name: Pro", "        name: Pro\n        key: 1", "catalog.yaml:17: products.shop.plans.pro.key"),
        ("cycle: monthly, currency: INR", "cycle: one_time, currency: EUR", "catalog.yaml:14: products.shop.plans"),
        ("      pro:", "      Pro Plan:", "catalog.yaml:15: products.shop.plans.Pro Plan"),
        ("default: shop", "default: [", "catalog.yaml:3: "),
    ],
)
def test_each_fault_is_named_with_its_line(good: str, bad: str, told: str) -> None:
    assert good in GOOD
    with pytest.raises(CatalogError) as refused:
        parse_catalog(GOOD.replace(good, bad, 1))
    assert told in str(refused.value)


def test_what_the_canary_buys_is_nobodys_default() -> None:
    bird = "    name: Shop\n    kind: canary\n    policy: {retention_days: 0}\n    blueprint: sandbox-app\n"
    plans = "    plans: {bird: {name: Bird, prices: [{cycle: one_time, currency: EUR, amount: 0}]}}\n"
    with pytest.raises(CatalogError, match=r"catalog\.yaml:1: default: nobody gets what the canary buys"):
        parse_catalog(f"default: bird\nproducts:\n  bird:\n{bird}{plans}")


def test_all_faults_are_told_at_once() -> None:
    text = GOOD.replace("amount: 4900", "amount: x").replace("cycle: yearly", "cycle: never")
    with pytest.raises(CatalogError) as refused:
        parse_catalog(text)
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- a", "text", "default: shop", "\x00"])
def test_what_is_no_catalogue_at_all_is_refused(text: str) -> None:
    with pytest.raises(CatalogError):
        parse_catalog(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nothing\.yaml"):
        read_catalog(tmp_path / "nothing.yaml")
