"""The start page: what is for sale, the order form, and the way to the payment page."""

import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from babel import Locale
from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from gateway import checkout, limits
from gateway.api import proofs
from gateway.api.camel import camel_name
from gateway.api.shapes import CheckoutRequest
from gateway.deps import GatewayDeps
from gateway.pages.paying import pay_page
from gateway.pages.rendering import PageRoute, money, page
from gateway.pages.words import CYCLES
from keyturn.errors import Problem
from keyturn.service import get_deps

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Deps = Annotated[GatewayDeps, Depends(get_deps)]
FIELDS = ("email", "name", "storeName", "subdomain", "couponCode", "country", "company", "taxId")
WRONG = {
    "email": "Please check the e-mail address.",
    "name": "Please check your name.",
    "storeName": "Please check the name of your shop or site.",
    "subdomain": "The address may have small letters, digits and hyphens only.",
    "couponCode": "Please check the coupon.",
    "country": "Please choose your country.",
    "company": "Please check the name of the company.",
    "taxId": "A tax id has letters, digits, and . / - between them.",
}
SIZE = re.compile(r"^([\d.]+)([KMGT])$")


@router.get("/", dependencies=[limits.STATUS])
async def shop(deps: Deps, currency: str = "") -> Response:
    return await _shop(deps, {"currency": currency})


@router.post("/", dependencies=[limits.CHECKOUT])
async def order(request: Request, deps: Deps) -> Response:
    """The same checkout as the API's. The hidden key makes a form that is sent twice one purchase."""
    given = {name: str(value) for name, value in (await request.form()).items()}
    product, plan, cycle, currency = [*given.get("offer", "").split("|"), "", "", "", ""][:4]
    chosen = {"product": product, "planId": plan, "billingCycle": cycle, "currency": currency}
    try:
        wanted = CheckoutRequest.model_validate(chosen | {name: given.get(name, "") for name in FIELDS})
        if wanted.coupon_code:
            await limits.COUPON_CODES(request)
        opened = await checkout.open_purchase(deps, wanted, given.get("key") or None)
    except ValidationError as error:
        wrong = camel_name(str(error.errors(include_input=False)[0]["loc"][0]))
        return await _shop(deps, given, wrong=wrong, problem=WRONG.get(wrong, "Please check the form."))
    except Problem as problem:
        if problem.status >= 500 or problem.status == 429:
            raise
        return await _shop(deps, given, wrong=_field_of(problem.code), problem=problem.detail)
    answer = pay_page(deps, opened.purchase_id, opened.answer)
    proofs.give_cookie(request, answer, deps, opened.purchase_id)
    return answer


def _field_of(code: str) -> str:
    """The field that the customer has to change."""
    if code.startswith("name_"):
        return "subdomain"
    if code == "unknown_country":
        return "country"
    return "couponCode" if code == "unknown_coupon" or code.startswith("coupon_") else ""


async def _shop(
    deps: GatewayDeps, given: Mapping[str, str], *, wrong: str = "", problem: str | None = None
) -> Response:
    listed = await deps.billing.request("GET", "/internal/products", checkout.VISITOR)
    products = sorted((_product(product) for product in listed["items"]), key=lambda one: not one["default"])
    offers = [offer for product in products for offer in product["offers"]]
    currencies = list(dict.fromkeys(offer["currency"] for offer in offers))
    chosen = next((offer for offer in offers if offer["value"] == given.get("offer")), None)
    currency = chosen["currency"] if chosen else given.get("currency")
    if currency not in currencies:
        currency = currencies[0] if currencies else None
    for product in products:
        product["offers"] = [offer for offer in product["offers"] if offer["currency"] == currency]
    shown = [offer for product in products for offer in product["offers"]]
    return page(
        "shop.html",
        status=422 if problem else 200,
        products=[product for product in products if product["offers"]],
        currencies=currencies,
        currency=currency,
        chosen=(chosen or (shown[0] if shown else {"value": ""}))["value"],
        given=given,
        wrong=wrong,
        problem=problem,
        countries=_countries(listed.get("tax"), given.get("country", "")),
        # A corrected order is another order, so it needs another key.
        key=secrets.token_urlsafe(16),
    )


def _countries(taxing: dict[str, Any] | None, chosen: str) -> list[tuple[str, str, bool]]:
    """Code, name, and whether it is chosen: where the seller is, to begin with. Empty: nobody is taxed by it."""
    if not taxing:
        return []
    names = Locale("en").territories
    chosen = chosen.strip().upper() or taxing["country"]
    found = ((names.get(code, code), code) for code in taxing["countries"])
    return [(code, name, code == chosen) for name, code in sorted(found)]


def _product(product: dict[str, Any]) -> dict[str, Any]:
    offers = [_offer(product["id"], plan, price) for plan in product["plans"] for price in plan["prices"]]
    named = {"name": product["name"], "description": product["description"], "default": product["default"]}
    return named | {"offers": offers}


def _offer(product: str, plan: dict[str, Any], price: dict[str, Any]) -> dict[str, Any]:
    chosen = "|".join((product, plan["id"], price["cycle"] or "", price["currency"]))
    cycle = CYCLES.get(price["cycle"] or "once", price["cycle"])
    cost = money(price["amount"], price["currency"]) if price["amount"] else "Free"
    fee = price.get("setup_fee")
    shown = {
        "plan": plan["name"],
        "price": cost,
        "fee": money(fee, price["currency"]) if fee else None,
        "cycle": cycle if price["amount"] else "",
        "trial": price.get("trial_days"),
        "card": price.get("trial_card") == "required",
        "currency": price["currency"],
    }
    return shown | {
        "value": chosen,
        "limits": [limit_said(name, value) for name, value in (plan["limits"] or {}).items()],
    }


def limit_said(name: str, value: Any) -> str:
    """`256M` of memory reads 256 MB memory; what is not known here stands as the catalogue has it."""
    text = SIZE.sub(r"\1 \2B", str(value))
    if name == "cpus":
        return f"{text} CPU{'' if text == '1' else 's'}"
    return f"{text} {name.replace('_', ' ')}"
