"""Coupons: their terms, whom they are refused to, and what they take off. Pure: no database, nobody is asked.

What a percentage takes off is rounded to the nearest amount that can be paid in the currency; a half is rounded up, in
the customer's favour. Never more than the price is taken off, so price, discount and what is left always add up.
"""

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from billing.errors import coupon_expired, coupon_not_for_currency, coupon_not_for_product, coupon_not_yet_valid
from billing.providers.money import step_of

_CODE = r"^[A-Z0-9][A-Z0-9_-]{1,39}$"
Code = Annotated[str, StringConstraints(pattern=_CODE)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Count = Annotated[int, Field(ge=1, le=10**9, strict=True)]
LONGEST = 1000  # periods, but for always
Duration = Literal["first", "always"] | Annotated[int, Field(ge=1, le=LONGEST, strict=True)]
Source = Literal["catalog", "operator"]


class Coupon(BaseModel):
    """The terms of a coupon, as `catalog.yaml` or an operator gives them. Without products, or without currencies, it
    holds for all."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    percent: int | None = Field(default=None, ge=1, le=100, strict=True)
    amount: dict[Currency, Count] | None = Field(default=None, min_length=1)  # in the minor unit
    duration: Duration = "first"
    products: list[str] = []
    currencies: list[Currency] = []
    limit: Count | None = None
    limit_per_customer: Count | None = None
    starts: AwareDatetime | None = Field(default=None, alias="from")
    until: AwareDatetime | None = None  # from this moment on it is over
    active: bool = True

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("a coupon has either a percent or an amount")
        if self.amount and self.currencies:
            raise ValueError("the currencies of an amount are those that it is given in")
        if odd := [currency for currency, off in (self.amount or {}).items() if off % step_of(currency)]:
            raise ValueError(f"an amount in {odd[0]} must end in 0")
        if self.starts and self.until and self.starts >= self.until:
            raise ValueError("`until` must be later than `from`")
        return self


class Discount(BaseModel):
    """What a purchase keeps of its coupon. Later changes to the coupon change nothing here."""

    model_config = ConfigDict(frozen=True)

    code: str
    percent: int | None = None
    amount: int | None = None  # in the purchase's currency
    duration: Duration


@dataclass(frozen=True, kw_only=True)
class StoredCoupon:
    """`redeemed`: by how many purchases that are paid, or may still be."""

    code: str
    terms: Coupon
    source: Source
    redeemed: int
    created_at: datetime
    ended_at: datetime | None

    @property
    def is_active(self) -> bool:
        return self.terms.active and self.ended_at is None

    @property
    def is_used_up(self) -> bool:
        return self.terms.limit is not None and self.redeemed >= self.terms.limit


def code_of(text: str) -> str | None:
    """The one spelling of a code: case means nothing. None: no coupon can be called that."""
    text = text.strip()
    return text.upper() if text.isascii() and re.fullmatch(_CODE, text.upper()) else None


def discount_of(coupon: StoredCoupon, *, product: str, currency: str, now: datetime) -> Discount:
    """What the coupon gives for this product in this currency. Raises the `coupon_...` problem of what it does not."""
    terms = coupon.terms
    if not coupon.is_active or (terms.until and now >= terms.until):
        raise coupon_expired(coupon.code)
    if terms.starts and now < terms.starts:
        raise coupon_not_yet_valid(coupon.code)
    if terms.products and product not in terms.products:
        raise coupon_not_for_product(coupon.code, product)
    if currency not in (terms.amount or terms.currencies or {currency}):
        raise coupon_not_for_currency(coupon.code, currency)
    amount = terms.amount[currency] if terms.amount else None
    return Discount(code=coupon.code, percent=terms.percent, amount=amount, duration=terms.duration)


def discount_for(discount: Discount | None, number: int, price: int, currency: str) -> int:
    """What is taken off the price of the period of this number, among those that are paid: the first is 1."""
    if discount is None or not _covers(discount.duration, number):
        return 0
    if discount.amount is not None:
        return min(discount.amount, price)
    percent = discount.percent or 0
    if percent == 100:
        return price
    step = step_of(currency)
    rounded = (2 * price * percent + 100 * step) // (200 * step) * step
    return min(rounded, price)


def _covers(duration: Duration, number: int) -> bool:
    if duration == "always":
        return True
    return number <= (1 if duration == "first" else duration)


def unknown_products(coupons: Mapping[str, Coupon], products: Container[str]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The places in a catalogue where a coupon names what is not sold."""
    for code, coupon in coupons.items():
        for index, product in enumerate(coupon.products):
            if product not in products:
                yield ("coupons", code, "products", index), f"there is no product {product!r}"
