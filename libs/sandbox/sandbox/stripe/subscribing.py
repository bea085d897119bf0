"""What the first payment of a subscription brings: customer, subscription, invoice and its payment."""

# ruff: noqa: SIM905 - lists of many names read better as text

from typing import Any

from sandbox.calendar import period_after
from sandbox.stripe import coupons, invoicing, objects
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.invoicing import Made, listed

_SUBSCRIPTION_NULLS = """application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at
    canceled_at customer_account days_until_due default_source description ended_at managed_payments
    next_pending_invoice_item_invoice on_behalf_of pause_collection pending_invoice_item_interval pending_setup_intent
    pending_update presentment_details schedule status_details test_clock transfer_data trial_end trial_start""".split()


def subscribe(account: StripeAccount, session: Made, intent: Made, hidden: Made) -> None:
    """Since 2025-03-31 all of it comes to be only once the payment is done. The order of these events is not fixed;
    here `invoice.paid` comes before the session's own."""
    if session["customer"] is None:
        made = objects.customer(account, email=session["customer_email"])
        session["customer"] = intent["customer"] = made["id"]
        account.emit("customer.created", made)
    subscription = _subscription(account, session, hidden)
    off = session["total_details"]["amount_discount"]
    invoice = invoicing.draft(account, subscription, _lines(account, subscription, hidden), "subscription_create", off)
    invoice |= dict.fromkeys(("amount_due", "amount_remaining", "total"), session["amount_total"])
    subscription["latest_invoice"] = session["invoice"] = invoice["id"]
    session["subscription"] = subscription["id"]
    account.emit("invoice.created", invoice)
    invoicing.finalize(account, invoice)
    account.emit("customer.subscription.created", subscription)
    payment = invoicing.paid(account, invoice, intent)
    account.emit("invoice.paid", invoice)
    account.emit("invoice.payment_succeeded", invoice)
    if payment:
        account.emit("invoice_payment.paid", payment)


def _lines(account: StripeAccount, subscription: Made, hidden: Made) -> list[Made]:
    items = {item["price"]["id"]: item for item in subscription["items"]["data"]}
    return [
        invoicing.line(
            account,
            subscription,
            line["price"],
            item=items.get(line["price"]["id"]),
            amount=line["amount_subtotal"],
            quantity=line["quantity"],
            description=line["description"],
        )
        for line in hidden["line_items"]
    ]


def _subscription(account: StripeAccount, session: Made, hidden: Made) -> Made:
    id_, now = account.new_id("sub"), account.now()
    items = [
        {
            "id": account.new_id("si"),
            "object": "subscription_item",
            "billed_until": None,
            "billing_thresholds": None,
            "created": now,
            "current_period_end": period_after(now, now, line["price"]["recurring"]),
            "current_period_start": now,
            "current_trial": None,
            "discounts": [],
            "metadata": {},
            "price": line["price"],
            "quantity": line["quantity"],
            "subscription": id_,
            "tax_rates": [],
        }
        for line in hidden["line_items"]
        if line["price"]["recurring"]
    ]
    base: dict[str, Any] = dict.fromkeys(_SUBSCRIPTION_NULLS) | {
        "id": id_,
        "object": "subscription",
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": now,
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}, "updated_at": None},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": now,
        "currency": session["currency"],
        "customer": session["customer"],
        "default_payment_method": account.new_id("pm"),
        "default_tax_rates": [],
        "discounts": coupons.redeem(account, hidden.get("coupon"), id_),
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": listed(f"/v1/subscription_items?subscription={id_}", items),
        "latest_invoice": None,
        "livemode": account.livemode,
        "metadata": dict(hidden["data"].get("metadata") or {}),
        "payment_settings": {"payment_method_options": None, "save_default_payment_method": "off"},
        "start_date": now,
        "status": "active",
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    }
    return account.add(base)
