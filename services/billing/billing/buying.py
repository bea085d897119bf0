"""What a customer asked for, made sure of: whom, which price, less what, through which provider."""

import hashlib
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from billing.calendar import recurs
from billing.countries import COUNTRIES
from billing.coupons import LONGEST, Discount, code_of, discount_for, discount_of
from billing.domain import Customer, Purchase
from billing.errors import amount_too_small, invalid_email, not_collectable, provider_not_available, unknown
from billing.providers import PaymentProvider, Providers
from billing.providers.money import smallest, uncollectable, usual_provider
from billing.repository.coupons import find_coupon
from billing.repository.offers import Offer, offers, product_exists
from billing.taxes import Buyer, Charge, Item, Rate, charge
from keyturn.database import Transaction
from keyturn.events import Contact

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
Subdomain = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=rf"^{_LABEL}$")]
Domain = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=253, pattern=rf"^({_LABEL}\.)+{_LABEL}$")
]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Url = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[^\s]+$")]
Key = Annotated[
    str,
    StringConstraints(max_length=63, pattern=r"^[^\x00-\x1f\x7f]*$"),
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
]


TaxId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_upper=True, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./-]*$"),
]


class Choice(BaseModel):
    """`plan_id` is a plan's slug or its documented integer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hidden: ClassVar[bool] = False  # also what is not for sale

    product: Line | None = None
    plan_id: Key | None = None
    cycle: Line | None = None
    currency: Line | None = None
    provider: Line | None = None
    coupon_code: Line | None = None


class CheckoutRequest(Choice):
    purchase_id: UUID
    email: Line
    name: Line | None = None
    company: Line | None = None
    country: Annotated[str, StringConstraints(to_upper=True)] | None = None
    tax_id: TaxId | None = None
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = None
    timezone: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] | None = None
    subdomain: Subdomain | None = None
    domain: Domain | None = None
    store_name: Line | None = None
    parameters: dict[Name, Line] = Field(default_factory=dict, max_length=30)
    success_url: Url
    cancel_url: Url


@dataclass(frozen=True)
class Chosen:
    """What is bought, what is taken off its price now, which tax is added, and who is paid. `provider` None: there is
    nothing to pay, now or later. The set-up fee is never discounted."""

    offer: Offer
    discount: Discount | None
    off: int
    rate: Rate
    provider: PaymentProvider | None

    @property
    def charge(self) -> Charge:
        """Now."""
        items = [Item("", self.offer.amount, self.off), Item("", self.offer.setup_fee)]
        return charge(items, self.rate, self.offer.currency)

    @property
    def amount(self) -> int:
        return self.charge.total


def contact_of(request: CheckoutRequest) -> Contact:
    """Raises the `invalid_email` problem."""
    email = valid_email(request.email)
    return Contact(email=email, name=request.name or None, locale=request.locale, timezone=request.timezone)


def valid_email(text: str) -> str:
    """As it is written to. Raises the `invalid_email` problem."""
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise invalid_email(str(error)) from None


def one_spelling(email: str) -> str:
    """By which a customer is found: case means nothing. Dots and +tags may mean something to the host: kept. Not folded
    any further: `groß` and `gross` are two people's addresses."""
    return email.lower()


def buyer_of(request: CheckoutRequest) -> Buyer:
    """Raises the problems of `contact_of`, and `unknown_country`."""
    contact, country = contact_of(request), request.country or None
    if country and country not in COUNTRIES:
        raise unknown("country", country)
    tax_id = request.tax_id or None
    return Buyer(
        email=contact.email, name=contact.name, company=request.company or None, country=country, tax_id=tax_id
    )


def parameters_of(request: CheckoutRequest) -> dict[str, str]:
    own = {"subdomain": request.subdomain, "domain": request.domain, "store_name": request.store_name}
    return request.parameters | {name: value for name, value in own.items() if value}


async def choose(tx: Transaction, wanted: Choice, providers: Providers, rate: Rate) -> Chosen:
    """Raises the problem of what cannot be bought. How often the coupon was used is not looked at here."""
    offer = await offered(tx, wanted)
    discount = await discounted(tx, wanted.coupon_code, offer) if wanted.coupon_code else None
    off = discount_for(discount, 1, offer.amount, offer.currency)
    discount = discount if off else None  # nothing is used up where nothing is taken off
    numbers = (2, LONGEST + 1) if recurs(offer.cycle) else ()
    later = [offer.amount - discount_for(discount, number, offer.amount, offer.currency) for number in numbers]
    if off == offer.due and not any(later):
        return Chosen(offer, discount, off, rate, None)
    name = provider_for(wanted.provider, offer, providers)
    least = smallest(name, offer.currency)
    if any(0 < amount < least for amount in (offer.due - off, *later)):
        raise amount_too_small(name, least, offer.currency)
    if offer.collection == "provider":
        check_collectable(name, offer, discount)
    return Chosen(offer, discount, off, rate, providers[name])


async def discounted(tx: Transaction, coupon: str, offer: Offer) -> Discount:
    """Raises `unknown_coupon`, or the `coupon_...` problem of one that is not for this offer."""
    code = code_of(coupon)
    found = await find_coupon(tx, code) if code else None
    if found is None:
        raise unknown("coupon", coupon)
    return discount_of(found, product=offer.product, currency=offer.currency, now=tx.now)


async def offered(tx: Transaction, request: Choice) -> Offer:
    """The first price that fits what was asked for. Raises an `unknown_...` problem for what does not exist."""
    found = await offers(tx, product=request.product, plan=request.plan_id, hidden=request.hidden)
    if not found:
        missing_product = request.product and not await product_exists(tx, request.product)
        raise unknown("product", request.product or "") if missing_product else unknown("plan", request.plan_id or "")
    return fitting(found, cycle=request.cycle, currency=request.currency, provider=request.provider)


def fitting(found: list[Offer], *, cycle: str | None, currency: str | None, provider: str | None) -> Offer:
    if cycle:
        wanted = cycle.lower().replace("-", "_")
        found = [offer for offer in found if offer.cycle == wanted]
        if not found:
            raise unknown("cycle", cycle)
    if currency:
        found = [offer for offer in found if offer.currency == currency.upper()]
        if not found:
            raise unknown("currency", currency)
    if provider and not currency:
        found = [offer for offer in found if usual_provider(offer.currency) == provider] or found
    return found[0]


def check_collectable(provider: str, offer: Offer, discount: Discount | None) -> None:
    """Raises `not_collectable` where the provider cannot charge it by itself, as the price says."""
    if why := uncollectable(provider, offer.currency, offer.amount):
        raise not_collectable(why)
    if discount and provider == "razorpay":
        raise not_collectable(f"razorpay takes nothing off what it collects by itself: {discount.code} is not for it")


def provider_for(asked: str | None, offer: Offer, available: Container[str]) -> str:
    """The one asked for; else the usual one of the currency, or the other where only that has a key."""
    if asked:
        if asked not in available:
            raise provider_not_available(asked)
        return asked
    usual = usual_provider(offer.currency)
    for name in (usual, "stripe", "razorpay"):
        if name in available:
            return name
    raise provider_not_available(usual)


def fingerprint(request: CheckoutRequest) -> str:
    """By which a repetition is told from another request under the same id."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


def purchase_from(
    request: CheckoutRequest,
    chosen: Chosen,
    customer: Customer,
    contact: Contact,
    *,
    opened_at: datetime,
    until: datetime,
    trial_days: int = 0,
) -> Purchase:
    """Who tries it first pays nothing now, and what the coupon takes off is of a later period."""
    offer, provider = chosen.offer, chosen.provider
    amount, off = (0, 0) if trial_days else (chosen.amount, chosen.off)
    return Purchase(
        id=request.purchase_id,
        customer_id=customer.id,
        product=offer.product,
        plan=offer.plan,
        price_id=offer.price_id,
        cycle=offer.cycle,
        amount=amount,
        tax_added=0 if trial_days else chosen.charge.added,
        tax=chosen.rate.model_dump(mode="json"),
        buyer=buyer_of(request).model_dump(),
        setup_fee=offer.setup_fee,
        trial_days=trial_days,
        discount=off,
        coupon=chosen.discount.model_dump() if chosen.discount else None,
        currency=offer.currency,
        provider=provider.name if provider else None,
        livemode=provider.livemode if provider else False,
        contact=contact.model_dump(),
        parameters=parameters_of(request),
        success_url=request.success_url,
        cancel_url=request.cancel_url,
        request_hash=fingerprint(request),
        opened_at=opened_at,
        expires_at=until,
        state_since=opened_at,
    )
