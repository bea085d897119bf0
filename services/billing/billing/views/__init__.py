"""How purchases, payments and prices look in answers, by subject."""

from collections.abc import Sequence
from typing import Any

from billing.views.billed import balances, credit, credit_balances, invoice, left, whole_invoice
from billing.views.bought import card, checkout, customer, entitlement, opening, own, purchase
from billing.views.paid import asked_back, dispute, payment, refund, refund_request
from billing.views.ran import part, run
from billing.views.sold import chosen, coupon, difference, products, redemption, taxing
from billing.views.subscribed import charge, choice, mandate, period, plan_change, subscription

__all__ = [
    "asked_back",
    "balances",
    "card",
    "charge",
    "checkout",
    "choice",
    "chosen",
    "coupon",
    "credit",
    "credit_balances",
    "customer",
    "difference",
    "dispute",
    "entitlement",
    "invoice",
    "left",
    "mandate",
    "opening",
    "own",
    "page",
    "part",
    "payment",
    "period",
    "plan_change",
    "products",
    "purchase",
    "redemption",
    "refund",
    "refund_request",
    "run",
    "subscription",
    "taxing",
    "whole_invoice",
]


def page(items: Sequence[dict[str, Any]], cursor: str | None) -> dict[str, Any]:
    return {"items": items, "cursor": cursor}
