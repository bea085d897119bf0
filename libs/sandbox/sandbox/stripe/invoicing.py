"""Invoices of subscriptions: their shape, and the one payment of each."""

# ruff: noqa: SIM905 - lists of many names read better as text

from collections.abc import Iterable
from typing import Any

from sandbox.stripe.account import StripeAccount

_NULLS = """account_tax_ids application automatically_finalizes_at confirmation_secret custom_fields
    customer_account customer_address customer_phone customer_shipping default_payment_method default_source description
    due_date ending_balance footer from_invoice hosted_invoice_url invoice_pdf last_finalization_error latest_revision
    next_payment_attempt on_behalf_of receipt_number rendering shipping_cost shipping_details statement_descriptor
    status_details test_clock threshold_reason webhooks_delivered_at""".split()
Made = dict[str, Any]


def listed(url: str, data: list[Made]) -> Made:
    return {"object": "list", "data": data, "has_more": False, "url": url}


def draft(account: StripeAccount, subscription: Made, lines: Iterable[Made], reason: str, off: int = 0) -> Made:
    """`lines`: made by `line`. `off` is taken off their sum."""
    id_, now, customer = account.new_id("in"), account.now(), account.objects[subscription["customer"]]
    data = [one | {"invoice": id_} for one in lines]
    subtotal = sum(one["amount"] for one in data)
    total = subtotal - min(off, subtotal)
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] += 1
    return account.add(
        dict.fromkeys(_NULLS)
        | {
            "id": id_,
            "object": "invoice",
            "account_country": "US",
            "account_name": "Keyturn sandbox",
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_paid_off_stripe": 0,
            "amount_remaining": total,
            "amount_shipping": 0,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": True,
            "automatic_tax": {
                "disabled_reason": None,
                "enabled": False,
                "liability": None,
                "provider": None,
                "status": None,
            },
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "created": now,
            "currency": subscription["currency"],
            "customer": subscription["customer"],
            "customer_email": customer["email"],
            "customer_name": None,
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_tax_rates": [],
            "discounts": list(subscription["discounts"]) if off else [],
            "effective_at": None,
            "issuer": {"type": "self"},
            "lines": listed(f"/v1/invoices/{id_}/lines", data),
            "livemode": account.livemode,
            "metadata": {},
            "number": f"{customer['invoice_prefix']}-{number:04}",
            "parent": {"type": "subscription_details", "quote_details": None, "subscription_details": details},
            "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
            "period_end": now,
            "period_start": now,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "starting_balance": 0,
            "status": "draft",
            "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
            "subtotal": subtotal,
            "subtotal_excluding_tax": subtotal,
            "total": total,
            "total_discount_amounts": [],
            "total_excluding_tax": total,
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
        }
    )


def line(
    account: StripeAccount,
    subscription: Made,
    price: Made,
    *,
    item: Made | None,
    amount: int,
    quantity: int = 1,
    description: str | None = None,
) -> Made:
    """`item` None: charged once. It then has no length, and knows no subscription item."""
    now = account.now()
    period = {"start": item["current_period_start"], "end": item["current_period_end"]} if item else None
    details: Made = {"proration": False, "proration_details": {"credited_items": None}}
    details |= {"subscription": subscription["id"]}
    if item:
        kind, details = "subscription_item_details", details | {"invoice_item": None, "subscription_item": item["id"]}
    else:
        kind, details = "invoice_item_details", details | {"invoice_item": account.new_id("ii")}
    parent = {"invoice_item_details": None, "subscription_item_details": None, "type": kind, kind: details}
    name = description or account.objects[price["product"]]["name"]
    return {
        "id": account.new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": f"{quantity} x {name}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "livemode": account.livemode,
        "metadata": dict(subscription["metadata"]) if item else {},
        "parent": parent,
        "period": period or {"start": now, "end": now},
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subtotal": amount,
        "taxes": [],
    }


def finalize(account: StripeAccount, invoice: Made) -> None:
    invoice |= {"status": "open", "automatically_finalizes_at": None, "effective_at": account.now()}
    invoice["status_transitions"]["finalized_at"] = account.now()
    account.emit("invoice.finalized", invoice)


def paid(account: StripeAccount, invoice: Made, intent: Made | None) -> Made | None:
    """`intent` None: there was nothing to pay. Gives the payment of the invoice, of which nobody is told yet."""
    now, total = account.now(), invoice["total"]
    invoice |= {"status": "paid", "amount_paid": total, "amount_remaining": 0, "auto_advance": False}
    invoice |= {"attempted": True, "next_payment_attempt": None}
    invoice["attempt_count"] += 1 if intent else 0
    invoice["status_transitions"]["paid_at"] = now
    return _payment(account, invoice, intent) if intent else None


def _payment(account: StripeAccount, invoice: Made, intent: Made) -> Made:
    return account.add(
        {
            "id": account.new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": invoice["amount_paid"],
            "amount_requested": invoice["amount_due"],
            "created": account.now(),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": account.livemode,
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
            "status": "paid",
            "status_transitions": {"canceled_at": None, "paid_at": account.now()},
        }
    )
