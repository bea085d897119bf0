"""What the first payment of a subscription brings: customer, subscription, invoice and its payment. No renewals yet."""

# ruff: noqa: SIM905 - lists of many names read better as text

from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.stripe import objects
from sandbox.stripe.account import StripeAccount

_SUBSCRIPTION_NULLS = """application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at
    canceled_at customer_account days_until_due default_source description ended_at managed_payments
    next_pending_invoice_item_invoice on_behalf_of pause_collection pending_invoice_item_interval pending_setup_intent
    pending_update presentment_details schedule status_details test_clock transfer_data trial_end trial_start""".split()
_INVOICE_NULLS = """account_tax_ids application automatically_finalizes_at confirmation_secret custom_fields
    customer_account customer_address customer_phone customer_shipping default_payment_method default_source description
    due_date ending_balance footer from_invoice hosted_invoice_url invoice_pdf last_finalization_error latest_revision
    next_payment_attempt on_behalf_of receipt_number rendering shipping_cost shipping_details statement_descriptor
    status_details test_clock threshold_reason webhooks_delivered_at""".split()


def subscribe(account: StripeAccount, session: dict[str, Any], intent: dict[str, Any], hidden: dict[str, Any]) -> None:
    """Since 2025-03-31 all of it comes to be only once the payment is done. The order of these events is not fixed;
    here `invoice.paid` comes before the session's own."""
    if session["customer"] is None:
        made = objects.customer(account, email=session["customer_email"])
        session["customer"] = intent["customer"] = made["id"]
        account.emit("customer.created", made)
    subscription = _subscription(account, session, hidden)
    invoice = _invoice(account, session, subscription, hidden["line_items"])
    payment = _invoice_payment(account, invoice, intent)
    subscription["latest_invoice"] = session["invoice"] = invoice["id"]
    session["subscription"] = subscription["id"]
    account.emit("invoice.created", invoice | {"status": "draft", "number": None})
    account.emit("invoice.finalized", invoice | {"status": "open"})
    account.emit("customer.subscription.created", subscription)
    account.emit("invoice.paid", invoice)
    account.emit("invoice.payment_succeeded", invoice)
    account.emit("invoice_payment.paid", payment)


def _list(url: str, data: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": data, "has_more": False, "url": url}


def _period(account: StripeAccount, recurring: dict[str, Any]) -> tuple[int, int]:
    start = datetime.fromtimestamp(account.now(), UTC)
    count, interval = recurring["interval_count"], recurring["interval"]
    if interval in {"day", "week"}:
        end = start + timedelta(days=count * (7 if interval == "week" else 1))
    else:
        months = start.month - 1 + count * (12 if interval == "year" else 1)
        day = start.day
        while True:  # the 31st becomes the last day of a shorter month
            try:
                end = start.replace(year=start.year + months // 12, month=months % 12 + 1, day=day)
                break
            except ValueError:
                day -= 1
    return int(start.timestamp()), int(end.timestamp())


def _subscription(account: StripeAccount, session: dict[str, Any], hidden: dict[str, Any]) -> dict[str, Any]:
    id_, items = account.new_id("sub"), []
    for line in hidden["line_items"]:
        start, end = _period(account, line["price"]["recurring"])
        items.append(
            {
                "id": account.new_id("si"),
                "object": "subscription_item",
                "billed_until": None,
                "billing_thresholds": None,
                "created": account.now(),
                "current_period_end": end,
                "current_period_start": start,
                "current_trial": None,
                "discounts": [],
                "metadata": {},
                "price": line["price"],
                "quantity": line["quantity"],
                "subscription": id_,
                "tax_rates": [],
            }
        )
    base = dict.fromkeys(_SUBSCRIPTION_NULLS) | {
        "id": id_,
        "object": "subscription",
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": account.now(),
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}, "updated_at": None},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": account.now(),
        "currency": session["currency"],
        "customer": session["customer"],
        "default_payment_method": account.new_id("pm"),
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": _list(f"/v1/subscription_items?subscription={id_}", items),
        "latest_invoice": None,
        "livemode": account.livemode,
        "metadata": dict(hidden["data"].get("metadata") or {}),
        "payment_settings": {"payment_method_options": None, "save_default_payment_method": "off"},
        "start_date": account.now(),
        "status": "active",
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    }
    return account.add(base)


def _invoice(
    account: StripeAccount, session: dict[str, Any], subscription: dict[str, Any], lines: list[dict[str, Any]]
) -> dict[str, Any]:
    id_, total, now = account.new_id("in"), session["amount_total"], account.now()
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    parent = {"type": "subscription_details", "quote_details": None, "subscription_details": details}
    items = zip(lines, subscription["items"]["data"], strict=True)
    data = [_invoice_line(account, id_, line, item, subscription) for line, item in items]
    base = dict.fromkeys(_INVOICE_NULLS) | {
        "id": id_,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Keyturn sandbox",
        "amount_due": total,
        "amount_overpaid": 0,
        "amount_paid": total,
        "amount_paid_off_stripe": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "attempt_count": 1,
        "attempted": True,
        "auto_advance": False,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_reason": "subscription_create",
        "collection_method": "charge_automatically",
        "created": now,
        "currency": session["currency"],
        "customer": session["customer"],
        "customer_email": session["customer_email"],
        "customer_name": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "effective_at": now,
        "issuer": {"type": "self"},
        "lines": _list(f"/v1/invoices/{id_}/lines", data),
        "livemode": account.livemode,
        "metadata": {},
        "number": f"{account.objects[session['customer']]['invoice_prefix']}-0001",
        "parent": parent,
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": now,
        "period_start": now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "paid",
        "status_transitions": {"finalized_at": now, "marked_uncollectible_at": None, "paid_at": now, "voided_at": None},
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }
    return account.add(base)


def _invoice_line(
    account: StripeAccount, invoice: str, line: dict[str, Any], item: dict[str, Any], subscription: dict[str, Any]
) -> dict[str, Any]:
    price = line["price"]
    details = {"invoice_item": None, "proration": False, "proration_details": {"credited_items": None}}
    details |= {"subscription": subscription["id"], "subscription_item": item["id"]}
    return {
        "id": account.new_id("il"),
        "object": "line_item",
        "amount": line["amount_total"],
        "currency": line["currency"],
        "description": f"{line['quantity']} x {line['description']}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": account.livemode,
        "metadata": dict(subscription["metadata"]),
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": details,
        },
        "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": line["quantity"],
        "quantity_decimal": str(line["quantity"]),
        "subtotal": line["amount_subtotal"],
        "taxes": [],
    }


def _invoice_payment(account: StripeAccount, invoice: dict[str, Any], intent: dict[str, Any]) -> dict[str, Any]:
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
