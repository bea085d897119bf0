"""Checkout Sessions: creating, with Stripe's checks, and expiring."""

# ruff: noqa: SIM905 - lists of many names read better as text

from typing import Any

from sandbox.stripe import coupons, objects
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.errors import invalid, refused
from sandbox.stripe.params import integer, known, metadata, required

_PARAMS = frozenset(
    """adaptive_pricing after_expiration allow_promotion_codes allowed_payment_method_types automatic_tax
    billing_address_collection branding_settings cancel_url client_reference_id consent_collection currency
    custom_fields custom_text customer customer_account customer_creation customer_email customer_update discounts
    excluded_payment_method_types expand expires_at integration_identifier invoice_creation line_items locale
    managed_payments metadata mode name_collection optional_items origin_context payment_intent_data
    payment_method_collection payment_method_configuration payment_method_data payment_method_options permissions
    phone_number_collection redirect_on_completion return_url saved_payment_method_options setup_intent_data
    shipping_address_collection shipping_options submit_type subscription_data success_url tax_id_collection ui_mode
    wallet_options""".split()
)
_PRICE_DATA = ("currency", "product", "product_data", "recurring", "tax_behavior", "unit_amount", "unit_amount_decimal")
_THREE_DECIMALS = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
_HALF_HOUR, _DAY = 30 * 60, 24 * 60 * 60
_SLACK = 60  # Stripe, too, is lenient by the time that a request takes


def create(account: StripeAccount, params: dict[str, Any], pages: str) -> dict[str, Any]:
    """A session that can be paid at `<pages>/c/pay/<id>`."""
    known(params, _PARAMS)
    mode = required(params, "mode")
    if mode not in {"payment", "subscription", "setup"}:
        raise invalid("Invalid mode: must be one of payment, setup, or subscription", param="mode")
    required(params, "success_url")
    _check(params, mode)
    expires_at = _expiry(account, params)
    if "customer" in params:
        account.get(params["customer"], "customer", "customer")
    if mode == "setup":
        return _setup(account, params, expires_at, pages)
    lines = [_line(account, line, mode, number) for number, line in enumerate(required(params, "line_items"))]
    subtotal = sum(line["amount_subtotal"] for line in lines)
    if len({line["currency"] for line in lines}) != 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    if mode == "subscription" and not any(line["price"]["recurring"] for line in lines):
        raise invalid("You must provide at least one recurring price in `subscription` mode.", param="line_items")
    coupon = coupons.wanted(account, params)
    off = coupons.off(coupon, subtotal)
    made = objects.session(
        account,
        amount_subtotal=subtotal,
        amount_total=subtotal - off,
        cancel_url=params.get("cancel_url"),
        client_reference_id=params.get("client_reference_id"),
        currency=lines[0]["currency"],
        customer=params.get("customer"),
        customer_creation=params.get("customer_creation", "if_required") if mode == "payment" else "always",
        customer_details=None,
        customer_email=params.get("customer_email"),
        expires_at=expires_at,
        locale=params.get("locale"),
        metadata=metadata(params),
        mode=mode,
        payment_method_collection="always" if mode == "subscription" else "if_required",
        success_url=params["success_url"],
    )
    made["url"] = f"{pages}/c/pay/{made['id']}"
    made["total_details"]["amount_discount"] = off
    hidden = {"line_items": lines, "data": params.get(f"{_data_name(mode)}", {})}
    account.hidden[made["id"]] = hidden | ({"coupon": coupon["id"]} if coupon else {})
    return made


def _setup(account: StripeAccount, params: dict[str, Any], expires_at: int, pages: str) -> dict[str, Any]:
    """A page on which a card is given, and nothing paid."""
    made = objects.session(
        account,
        amount_subtotal=None,
        amount_total=None,
        cancel_url=params.get("cancel_url"),
        client_reference_id=params.get("client_reference_id"),
        currency=required(params, "currency"),
        customer=params.get("customer"),
        customer_creation=params.get("customer_creation"),
        customer_details=None,
        customer_email=params.get("customer_email"),
        expires_at=expires_at,
        locale=params.get("locale"),
        metadata=metadata(params),
        mode="setup",
        payment_method_collection="always",
        payment_status="no_payment_required",
        success_url=params["success_url"],
    )
    made["url"] = f"{pages}/c/pay/{made['id']}"
    account.hidden[made["id"]] = {"line_items": [], "data": params.get("setup_intent_data", {})}
    return made


def _data_name(mode: str) -> str:
    return {"payment": "payment_intent_data", "setup": "setup_intent_data"}.get(mode, "subscription_data")


def _check(params: dict[str, Any], mode: str) -> None:
    wrong = {"payment_intent_data", "subscription_data", "setup_intent_data"} - {_data_name(mode)}
    for other in sorted(wrong & params.keys()):
        raise invalid(f"You can not pass `{other}` in `{mode}` mode.", param=other)
    if len(params.get("client_reference_id", "")) > 200:
        raise invalid("client_reference_id has up to 200 characters.", param="client_reference_id")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise invalid("The sandbox has hosted pages only.", param="ui_mode")
    if isinstance(data := params.get(_data_name(mode)), dict):
        metadata(data)
    if "@" not in params.get("customer_email", "@"):
        raise invalid(
            f"Invalid email address: {params['customer_email']}", param="customer_email", code="email_invalid"
        )


def _expiry(account: StripeAccount, params: dict[str, Any]) -> int:
    now = account.now()
    if "expires_at" not in params:
        return now + _DAY
    wanted = integer(params, "expires_at")
    if not now + _HALF_HOUR - _SLACK <= wanted <= now + _DAY + _SLACK:
        raise invalid(
            "The `expires_at` timestamp must be 30 minutes to 24 hours from Checkout Session creation.",
            param="expires_at",
        )
    return wanted


def _line(account: StripeAccount, line: dict[str, Any], mode: str, number: int) -> dict[str, Any]:
    where = f"line_items[{number}]"
    if ("price" in line) == ("price_data" in line):
        raise invalid(f"You must pass either `price` or `price_data` in {where}.", param=where)
    price = _inline_price(account, line["price_data"], f"{where}[price_data]") if "price_data" in line else None
    if price is None:
        price = account.get(line["price"], "price", f"{where}[price]")
    if mode == "payment" and price["recurring"]:
        raise invalid(
            "You specified `payment` mode but passed a recurring price. "
            "Either switch to `subscription` mode or use only one-time prices.",
            param=where,
        )
    quantity = integer(line, "quantity", where)
    amount = price["unit_amount"] * quantity
    return {
        "id": account.new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": account.objects[price["product"]]["name"],
        "metadata": {},
        "price": price,
        "quantity": quantity,
    }


def _inline_price(account: StripeAccount, data: dict[str, Any], where: str) -> dict[str, Any]:
    """Makes a Price, and with `product_data` a Product, at every call: Stripe does."""
    known(data, _PRICE_DATA, where)
    currency = required(data, "currency", where)
    if len(currency) != 3 or not currency.isalpha() or currency != currency.lower():
        raise invalid(f"Invalid currency: {currency}.", param=f"{where}[currency]")
    amount = integer(data, "unit_amount", where)
    if currency in _THREE_DECIMALS and amount % 10:
        raise invalid("Amounts in this currency must end in 0.", param=f"{where}[unit_amount]")
    if ("product" in data) == ("product_data" in data):
        raise invalid("You must pass either `product` or `product_data`.", param=f"{where}[product]")
    cycle = recurring(data["recurring"], f"{where}[recurring]") if "recurring" in data else None
    if "product" in data:
        product = account.get(data["product"], "product", f"{where}[product]")
    else:
        about = data["product_data"]
        name = required(about, "name", f"{where}[product_data]")
        product = objects.product(account, name=name, description=about.get("description"), metadata=metadata(about))
    return objects.price(account, amount=amount, currency=currency, product=product["id"], recurring=cycle)


def recurring(data: dict[str, Any], where: str) -> dict[str, Any]:
    interval = required(data, "interval", where)
    count = integer(data, "interval_count", where) if "interval_count" in data else 1
    longest = {"day": 1095, "week": 156, "month": 36, "year": 3}.get(interval)
    if longest is None or not 1 <= count <= longest:
        raise invalid("The interval is at most three years.", param=where)
    return {
        "interval": interval,
        "interval_count": count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def expire(account: StripeAccount, session_id: str) -> dict[str, Any]:
    """Only an open session can be expired."""
    session = account.get(session_id, "checkout.session", "session")
    if session["status"] != "open":
        raise refused(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"{session['status']}.",
            param="session",
        )
    session |= {"status": "expired", "url": None}
    account.emit("checkout.session.expired", session)
    return session


def expire_old(account: StripeAccount) -> None:
    """Stripe closes a session when its time has come, and says so."""
    for session in account.all("checkout.session"):
        if session["status"] == "open" and session["expires_at"] <= account.now():
            expire(account, session["id"])
