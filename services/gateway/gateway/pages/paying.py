"""The way from our pages to the provider's."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from fastapi import Response
from fastapi.responses import RedirectResponse

from gateway.deps import GatewayDeps
from gateway.pages.rendering import human, money, page
from gateway.settings import origin


def pay_page(deps: GatewayDeps, purchase_id: UUID, answer: Mapping[str, Any]) -> Response:
    """To the provider's page: by a page of ours, since a policy that allows only our own forms also holds for where
    the answer to a form redirects to."""
    number = str(purchase_id)
    status = f"/purchases/{number}"
    if not any(answer.get(name) for name in ("url", "order_id", "subscription_id")):
        return RedirectResponse(status, 303)  # paid already, or free
    shown = {"price": money(answer["amount"], answer["currency"]), "plan": answer["plan"], "number": number[:8]}
    shown |= {"saved": _saved(answer)}
    script = str(deps.settings.razorpay_checkout_js)
    confirm = f"/api/checkout/razorpay/confirm?{urlencode({'purchaseId': number})}"
    values = shown | {
        "order_url": status,
        "script": script,
        "back": confirm,
        "url": answer.get("url"),
        "razorpay": None,
    }
    if answer.get("url"):
        made = page("pay.html", **values)
        made.headers["Refresh"] = f"1; url={answer['url']}"
        return made
    options = {"key": answer["key_id"], "prefill": answer.get("prefill") or {}}
    options |= {name: answer[name] for name in ("order_id", "subscription_id") if answer.get(name)}
    options |= {"name": human(answer["plan"]), "amount": answer["amount"], "currency": answer["currency"]}
    options |= {"description": values["saved"]} if values["saved"] else {}
    return page("pay.html", policy=_razorpay_policy(script), **values | {"razorpay": options})


def _saved(answer: Mapping[str, Any]) -> str | None:
    if not answer.get("discount"):
        return None
    price = money(answer["amount"] + answer["discount"], answer["currency"])
    return f"{price} less {money(answer['discount'], answer['currency'])} with {answer['coupon_code']}"


def _razorpay_policy(script: str) -> dict[str, str]:
    """What checkout.js needs: its own origin, Razorpay's API in a frame, and styles that it writes itself."""
    own = origin(script)
    family = own if urlsplit(script).hostname in ("127.0.0.1", "localhost") else "https://*.razorpay.com"
    return {
        "script-src": f"'self' {own}",
        "frame-src": f"{own} {family}",
        "connect-src": f"'self' {family}",
        "img-src": f"'self' data: {family}",
        "style-src": "'self' 'unsafe-inline'",
    }
