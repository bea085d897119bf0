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
    if not leads_on(answer):
        return RedirectResponse(f"/purchases/{purchase_id}", 303)  # paid already, or free
    price, plan, saved = (
        money(answer["amount"], answer["currency"]),
        answer.get("plan_name") or human(answer["plan"]),
        _saved(answer),
    )
    tax = f"Of it {money(answer['tax'], answer['currency'])} tax." if answer.get("tax") else None
    shown = {
        "title": price,
        "plan": plan,
        "notes": [note for note in (saved, tax) if note],
        "button": f"Pay {price}",
        "pays": True,
    }
    options = {"name": plan, "amount": answer["amount"], "currency": answer["currency"]}
    return _leading(deps, purchase_id, answer, shown, options | ({"description": saved} if saved else {}))


def card_page(deps: GatewayDeps, purchase_id: UUID, answer: Mapping[str, Any]) -> Response:
    """In the same way to where another card is given."""
    shown = {
        "title": "Another card",
        "plan": "For the next payments.",
        "notes": [],
        "button": "Give another card",
        "pays": False,
    }
    return _leading(deps, purchase_id, answer, shown, {"subscription_card_change": 1})


def leads_on(answer: Mapping[str, Any]) -> bool:
    """Whether there is something to pay."""
    return any(answer.get(name) for name in ("url", "order_id", "subscription_id"))


def _leading(
    deps: GatewayDeps, purchase_id: UUID, answer: Mapping[str, Any], shown: dict[str, Any], options: dict[str, Any]
) -> Response:
    number = str(purchase_id)
    script = str(deps.settings.razorpay_checkout_js)
    confirm = f"/api/checkout/razorpay/confirm?{urlencode({'purchaseId': number})}"
    values = shown | {
        "number": number[:8],
        "order_url": f"/purchases/{number}",
        "script": script,
        "back": confirm,
        "url": answer.get("url"),
        "razorpay": None,
    }
    if answer.get("url"):
        made = page("pay.html", **values)
        made.headers["Refresh"] = f"1; url={answer['url']}"
        return made
    options |= {"key": answer["key_id"], "prefill": answer.get("prefill") or {}}
    options |= {name: answer[name] for name in ("order_id", "subscription_id") if answer.get(name)}
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
