"""What the public API takes and answers: the documented fields of the systems that Keyturn replaces."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # spelt out: `(?i)` would take the sign for kelvin as a k


def _empty_is_absent(value: Any) -> Any:
    """Forms send what was left empty as an empty text."""
    return None if isinstance(value, str) and not value.strip() else value


Absent = BeforeValidator(_empty_is_absent)
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Address = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
Subdomain = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=rf"^{_LABEL}$")]
Domain = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, max_length=253, pattern=rf"^({_LABEL}\.)+{_LABEL}$"),
]
Url = Annotated[str, StringConstraints(max_length=1500, pattern=r"^https?://[^\s{}]+$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{3}$")]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
Country = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z]{2}$")]
TaxId = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./-]*$")
]
Timezone = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")]
PlanKey = Annotated[int, Field(ge=0, lt=2**31)] | Line
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Buyer(Shape):
    """The nested form of who buys."""

    email: Annotated[Address | None, Absent] = None
    name: Annotated[Line | None, Absent] = None
    first_name: Annotated[Line | None, Absent] = None
    last_name: Annotated[Line | None, Absent] = None
    company: Annotated[Line | None, Absent] = None
    country: Annotated[Country | None, Absent] = None
    tax_id: Annotated[TaxId | None, Absent] = None

    @property
    def whole_name(self) -> str | None:
        return self.name or " ".join(filter(None, (self.first_name, self.last_name))) or None


class Choice(Shape):
    """`plan_id` is a plan's name or its documented number."""

    product: Annotated[Line | None, Absent] = None
    plan_id: Annotated[PlanKey | None, Absent] = None
    billing_cycle: Annotated[Line | None, Absent] = None
    currency: Annotated[Currency | None, Absent] = None
    provider: Annotated[Literal["stripe", "razorpay"] | None, Absent] = None

    def chosen(self) -> dict[str, Any]:
        """In billing's words."""
        given = self.model_dump(include={"product", "plan_id", "currency", "provider"}, exclude_none=True)
        return given | ({"cycle": self.billing_cycle} if self.billing_cycle else {})


class CouponRequest(Choice):
    coupon_code: Line


class CouponAnswer(Shape):
    """What the first payment would be: price less discount, the set-up fee, and tax where
    prices are without it; `tax` is what it holds. `duration`: `first`, a number of
    periods, or `always`."""

    coupon_code: str
    product: str
    plan: str
    cycle: str
    price: int
    setup_fee: int
    discount: int
    tax: int
    amount: int
    currency: str
    duration: Literal["first", "always"] | int | None = None


BUYER = frozenset({"email", "name", "company", "country", "tax_id", "taxId"})


class CheckoutRequest(Choice):
    """Who buys stands in `email`, `name`, `company`, `country` and `tax_id`, or in `customer`."""

    email: Address
    name: Annotated[Line | None, Absent] = None
    company: Annotated[Line | None, Absent] = None
    country: Annotated[Country | None, Absent] = None
    tax_id: Annotated[TaxId | None, Absent] = None
    locale: Annotated[Locale | None, Absent] = None
    timezone: Annotated[Timezone | None, Absent] = None
    coupon_code: Annotated[Line | None, Absent] = None
    subdomain: Annotated[Subdomain | None, Absent] = None
    domain: Annotated[Domain | None, Absent] = None
    store_name: Annotated[Line | None, Absent] = None
    parameters: Annotated[dict[Name, Line], Field(max_length=30)] = {}
    success_url: Annotated[Url | None, Absent] = None
    cancel_url: Annotated[Url | None, Absent] = None

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, given: Any) -> Any:
        """The nested buyer fills what does not stand outside."""
        if not isinstance(given, Mapping) or not isinstance(given.get("customer"), Mapping):
            return given
        buyer = Buyer.model_validate(given["customer"])
        found = {"email": buyer.email, "name": buyer.whole_name, "company": buyer.company, "country": buyer.country}
        if not given.get("taxId"):
            found["tax_id"] = buyer.tax_id
        return {**{field: value for field, value in found.items() if value and not given.get(field)}, **_filled(given)}

    def names(self) -> dict[str, str]:
        """What must be nobody else's."""
        return {kind: name for kind, name in (("subdomain", self.subdomain), ("domain", self.domain)) if name}

    def through(self, provider: Literal["stripe", "razorpay"] | None) -> Self:
        """The same order, with this provider where it names none."""
        return self if self.provider or not provider else self.model_copy(update={"provider": provider})


def _filled(given: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in given.items() if field not in BUYER or value}


class CheckoutAnswer(Shape):
    """`order_id` or `subscription_id`, `key_id` and `prefill` are for Razorpay's page, `url` and `session_id` for
    Stripe's."""

    success: Literal[True] = True
    purchase_id: str
    access_token: str
    status_url: str
    status: str | None = None
    provider: str | None = None
    product: str | None = None
    plan: str | None = None
    amount: int
    setup_fee: int = 0
    trial_days: int | None = None
    tax: int | None = None
    currency: str
    discount: int | None = None
    coupon_code: str | None = None
    order_id: str | None = None
    subscription_id: str | None = None
    key_id: str | None = None
    prefill: dict[str, str | None] | None = None
    url: str | None = None
    session_id: str | None = None
    expires_at: str | None = None


class SubdomainRequest(Shape):
    subdomain: Annotated[str, StringConstraints(strip_whitespace=True, max_length=253)]


class SubdomainAnswer(Shape):
    subdomain: str
    available: bool
    status: Literal["free", "taken", "not_allowed"]
    suggestion: str | None = None
    message: str | None = None


class RazorpayProof(BaseModel):
    """What Razorpay's page hands to the browser. The order it names is not believed: billing knows which it was."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    purchase_id: str = Field(alias="purchaseId", max_length=64)
    razorpay_payment_id: Line
    razorpay_signature: Line
    razorpay_order_id: Annotated[Line | None, Absent] = None
