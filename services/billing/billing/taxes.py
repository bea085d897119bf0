"""Tax: at which rate something is sold, and how much of each line it is. Pure, but for the hook of a tax service.

The tax of a bill is worked out of its sum, rounded once, a half up, and then distributed over the lines, so that the
lines add up to the bill exactly. Where prices include it, the customer pays the same wherever the rate leads.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from billing.countries import COUNTRIES
from billing.providers.money import step_of

WHOLE = 100_000  # a percentage counts thousandths


def _known(country: str) -> str:
    if country not in COUNTRIES:
        raise ValueError("not a country of ISO 3166: two capital letters")
    return country


Country = Annotated[str, AfterValidator(_known)]
Percent = Annotated[Decimal, Field(ge=0, le=100, decimal_places=3)]


class TaxRule(BaseModel):
    """What the catalogue says of a country's customers. `reverse_charge`: a company that gives a tax id owes the tax
    itself, unless the seller is in the same country."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="VAT", min_length=1, max_length=40)
    person: Percent
    company: Percent
    inclusive: bool = True  # prices contain it; otherwise it is added to them
    reverse_charge: bool = False


class Rate(BaseModel):
    """What applies to one sale, and is kept with it. Without a rule nothing is taxed."""

    model_config = ConfigDict(frozen=True)

    name: str | None = None
    percent: Decimal = Decimal(0)
    inclusive: bool = True
    reverse_charge: bool = False

    @property
    def thousandths(self) -> int:
        return int(self.percent * 1000)


class Seller(BaseModel):
    """As the catalogue names them. `series`, `credit_series`: what the numbers of invoices and credit notes begin
    with. `keep_invoices_years`: how long the law wants their buyer kept, of customers who are forgotten, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", max_length=200)
    address: list[Annotated[str, Field(max_length=200)]] = Field(default=[], max_length=8)
    country: Country | None = None
    tax_id: str | None = Field(default=None, max_length=40)
    email: str | None = Field(default=None, max_length=254)
    footer: str = Field(default="", max_length=1000)
    series: str = Field(default="INV", pattern=r"^[A-Z][A-Z0-9]{0,9}$")
    credit_series: str = Field(default="CN", pattern=r"^[A-Z][A-Z0-9]{0,9}$")
    keep_invoices_years: int = Field(default=10, ge=1, le=30)


class Buyer(BaseModel):
    """Who buys, as told with the order. With the name of a company it is one."""

    model_config = ConfigDict(frozen=True)

    email: str
    name: str | None = None
    company: str | None = None
    country: str | None = None
    tax_id: str | None = None


@dataclass(frozen=True)
class Sale:
    """What a rate is asked for."""

    seller: Seller
    rules: Mapping[str, TaxRule]  # by country
    buyer: Buyer


class Taxes(Protocol):
    """Where rates come from. Called outside of transactions: it may ask somebody. It raises `Retry` where it cannot say
    now, and nothing else."""

    async def rate(self, sale: Sale) -> Rate: ...


class CatalogTaxes:
    """By the catalogue alone."""

    async def rate(self, sale: Sale) -> Rate:
        return rate_of(sale)


def rate_of(sale: Sale) -> Rate:
    """Whose country nobody knows is taxed as at home; one without a rule is not taxed."""
    seller, buyer = sale.seller, sale.buyer
    country = buyer.country or seller.country or ""
    rule = sale.rules.get(country)
    if rule is None:
        return Rate()
    if rule.reverse_charge and buyer.company and buyer.tax_id and country != seller.country:
        return Rate(name=rule.name, inclusive=rule.inclusive, reverse_charge=True)
    percent = rule.company if buyer.company else rule.person
    return Rate(name=rule.name, percent=percent, inclusive=rule.inclusive)


@dataclass(frozen=True)
class Item:
    """Something to be billed: what it costs as listed, and what a coupon takes off."""

    text: str
    amount: int
    discount: int = 0
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Line:
    """An item as charged: net and tax are what is paid for it."""

    item: Item
    net: int
    tax: int


@dataclass(frozen=True)
class Charge:
    """All lines of a bill. `added`: as much of its tax as comes on top of the prices."""

    lines: Sequence[Line]
    rate: Rate

    @property
    def net(self) -> int:
        return sum(line.net for line in self.lines)

    @property
    def tax(self) -> int:
        return sum(line.tax for line in self.lines)

    @property
    def total(self) -> int:
        return self.net + self.tax

    @property
    def added(self) -> int:
        return 0 if self.rate.inclusive else self.tax


def charge(items: Iterable[Item], rate: Rate, currency: str) -> Charge:
    """What is free by itself has no line. Tax that is added is a multiple of what can be paid in the currency."""
    billed = [item for item in items if item.amount]
    prices = [item.amount - item.discount for item in billed]
    step = 1 if rate.inclusive else step_of(currency)
    part = rate.thousandths
    tax = rounded(sum(prices) * part, WHOLE + part if rate.inclusive else WHOLE, step)
    taxes = shared(tax, prices, step)
    nets = [price - one if rate.inclusive else price for price, one in zip(prices, taxes, strict=True)]
    return Charge([Line(*line) for line in zip(billed, nets, taxes, strict=True)], rate)


def rounded(amount: int, divisor: int, step: int = 1) -> int:
    """To the nearest multiple of `step`, a half up."""
    return (2 * amount + divisor * step) // (2 * divisor * step) * step


def shared(total: int, weights: Sequence[int], step: int = 1) -> list[int]:
    """`total`, a multiple of `step`, in proportion to the weights, by the largest remainders: the parts add up exactly,
    and where `total` is no more than all weights, none exceeds its own."""
    whole, units = sum(weights), total // step
    if not whole:
        return [0 for _ in weights]
    parts = [units * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: (-(units * weights[place] % whole), place))
    for place in by_remainder[: units - sum(parts)]:
        parts[place] += 1
    return [part * step for part in parts]


def told(rate: Rate) -> str | None:
    """`VAT 19 %`. None: nothing is taxed."""
    if rate.name is None:
        return None
    return f"{rate.name}, reverse charge" if rate.reverse_charge else f"{rate.name} {rate.percent.normalize():f} %"


def unused(rules: Mapping[str, Any], seller: Seller) -> Iterator[tuple[tuple[str, ...], str]]:
    """The place in a catalogue with taxes whose seller is nowhere."""
    if rules and not seller.country:
        yield ("tax",), "taxes need the `country` of the `seller`"
