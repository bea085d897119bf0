"""The objects that an endpoint is sent that is pinned to an API version from before 2025-03-31."""

from typing import Any

from sandbox.stripe.account import StripeAccount

OLD_VERSION = "2024-06-20"
Made = dict[str, Any]


def old(account: StripeAccount, thing: Made) -> Made:
    """Of what has changed since: subscriptions and invoices."""
    change = {"subscription": _subscription, "invoice": _invoice}.get(thing["object"])
    return change(account, thing) if change else thing


def _subscription(_: StripeAccount, found: Made) -> Made:
    """Its period stood beside its items, not in them."""
    items = found["items"]["data"]
    spans = {"current_period_start": "billed_until", "current_period_end": "current_trial"}
    bare = [{name: value for name, value in item.items() if name not in {*spans, *spans.values()}} for item in items]
    period = {name: max(item[name] for item in items) for name in spans}
    return found | period | {"items": found["items"] | {"data": bare}, "discount": None}


def _invoice(account: StripeAccount, found: Made) -> Made:
    """Subscription, intent and charge stood at the top level."""
    details = found["parent"]["subscription_details"]
    paid = next((one for one in account.all("invoice_payment") if one["invoice"] == found["id"]), None)
    intent = account.objects[paid["payment"]["payment_intent"]] if paid else {}
    old_ones = {
        "charge": intent.get("latest_charge"),
        "paid": found["status"] == "paid",
        "payment_intent": intent.get("id"),
        "subscription": details["subscription"],
        "subscription_details": {"metadata": details["metadata"]},
        "lines": found["lines"] | {"data": [_line(account, one) for one in found["lines"]["data"]]},
    }
    return {name: value for name, value in found.items() if name not in {"parent", "payments"}} | old_ones


def _line(account: StripeAccount, found: Made) -> Made:
    details = found["parent"][found["parent"]["type"]]
    since = {"parent", "pricing", "quantity_decimal", "subtotal", "taxes"}
    return {name: value for name, value in found.items() if name not in since} | {
        "price": account.objects[found["pricing"]["price_details"]["price"]],
        "proration": details["proration"],
        "subscription": details["subscription"],
        "subscription_item": details.get("subscription_item"),
        "type": "subscription" if "subscription_item" in details else "invoiceitem",
    }
