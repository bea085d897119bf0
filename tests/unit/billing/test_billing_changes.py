"""What another catalogue would change is told entry by entry."""

import pytest

from billing.catalog import parse_catalog
from billing.changes import Change, compare, content_of, digest_of

SOLD = """\
default: shop
products:
  shop:
    name: Shop
    blueprint: notes
    plans:
      small:
        name: Small
        limits: {memory: 1G}
        prices:
          - {cycle: monthly, currency: EUR, amount: 900}
          - {cycle: yearly, currency: EUR, amount: 9000}
      large:
        name: Large
        prices: [{cycle: monthly, currency: EUR, amount: 2900}]
"""


def content(text: str = SOLD) -> str:
    return content_of(parse_catalog(text))


def found(old: str, new: str) -> list[Change]:
    assert old in SOLD
    return compare(content(), content(SOLD.replace(old, new, 1))).changes


def test_what_was_not_sold_is_added() -> None:
    assert compare(content(), content()).changes == []
    assert compare(content(), content()).unchanged == 7  # the default, a product, two plans, three prices
    first = compare(None, content())
    assert [change.what for change in first.changes if change.change == "added"] == [
        "product shop", "plan small", "price small monthly EUR", "price small yearly EUR", "plan large",
        "price large monthly EUR", "default",
    ]  # fmt: skip
    assert first.unchanged == 0


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("EUR, amount: 900}", "EUR, amount: 950}",
         [Change("replaced", "price small monthly EUR", {"amount": 900}, {"amount": 950})]),
        ("EUR, amount: 900}", "EUR, amount: 900, setup_fee: 5}",
         [Change("replaced", "price small monthly EUR", {"amount": 900}, {"amount": 900, "setup_fee": 5})]),
        ("currency: EUR, amount: 900}", "currency: USD, amount: 900}",
         [Change("withdrawn", "price small monthly EUR", {"amount": 900}),
          Change("added", "price small monthly USD", after={"amount": 900})]),
        ("memory: 1G", "memory: 2G",
         [Change("changed", "plan small", {"product": "shop", "name": "Small", "limits": {"memory": "1G"}},
                 {"product": "shop", "name": "Small", "limits": {"memory": "2G"}})]),
        ("    name: Shop\n", "    name: Shop\n    kind: email\n",
         [Change("changed", "product shop", {"name": "Shop", "blueprint": "notes"},
                 {"name": "Shop", "kind": "email", "blueprint": "notes"})]),
    ],
)  # fmt: skip
def test_each_change_is_told_with_before_and_after(old: str, new: str, changes: list[Change]) -> None:
    assert found(old, new) == changes


def test_another_order_is_a_change_since_the_first_that_fits_is_taken() -> None:
    lines = ["{cycle: monthly, currency: EUR, amount: 900}", "{cycle: yearly, currency: EUR, amount: 9000}"]
    assert found("\n          - ".join(lines), "\n          - ".join(reversed(lines))) == [Change("changed", "order")]


def test_comments_and_what_says_no_more_than_the_default_make_no_other_catalogue() -> None:
    same = SOLD.replace("    name: Shop\n", "    name: 'Shop' # ours\n    kind: application\n    policy: {}\n")
    assert digest_of(content(same)) == digest_of(content())
    assert digest_of(content(SOLD.replace("900}", "901}"))) != digest_of(content())
