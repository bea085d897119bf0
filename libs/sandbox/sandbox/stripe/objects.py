"""The shapes of Stripe's objects in the API version of `account.API_VERSION`: every field, most of them null."""

# ruff: noqa: SIM905 - lists of many names read better as text

from typing import Any

from sandbox.stripe.account import StripeAccount

_SESSION_NULLS = """after_expiration allow_promotion_codes allowed_payment_method_types billing_address_collection
    branding_settings client_secret consent consent_collection currency_conversion customer customer_account
    customer_creation excluded_payment_method_types integration_identifier invoice managed_payments name_collection
    optional_items origin_context payment_intent payment_link payment_method_configuration_details permissions
    presentment_details recovered_from return_url saved_payment_method_options setup_intent
    shipping_address_collection shipping_cost submit_type subscription tax_id_collection wallet_options""".split()
_INTENT_NULLS = """allowed_payment_method_types application application_fee_amount canceled_at cancellation_reason
    customer_account excluded_payment_method_types hooks last_payment_error latest_charge managed_payments next_action
    on_behalf_of payment_details payment_method_configuration_details payment_record presentment_details processing
    review setup_future_usage shipping source statement_descriptor statement_descriptor_suffix transfer_data
    transfer_group""".split()
_CHARGE_NULLS = """application application_fee application_fee_amount authorization_code balance_transaction
    failure_balance_transaction failure_code failure_message level3 on_behalf_of presentment_details radar_options
    receipt_number receipt_url review shipping source source_transfer statement_descriptor statement_descriptor_suffix
    transfer transfer_data transfer_group""".split()
_REFUND_NULLS = """balance_transaction customer customer_account description failure_balance_transaction failure_reason
    instructions_email next_action payment_method pending_reason presentment_details receipt_number
    source_transfer_reversal transfer_reversal""".split()
NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
CARD = {"brand": "visa", "country": "US", "exp_month": 12, "exp_year": 2034, "funding": "credit", "last4": "4242"}


def _object(account: StripeAccount, prefix: str, kind: str, **fields: Any) -> dict[str, Any]:
    base = {"id": account.new_id(prefix), "object": kind, "created": account.now(), "livemode": account.livemode}
    return account.add(base | {"metadata": {}} | fields)


def session(account: StripeAccount, **fields: Any) -> dict[str, Any]:
    base = dict.fromkeys(_SESSION_NULLS) | {
        "adaptive_pricing": {"enabled": False},
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "collected_information": {"business_name": None, "individual_name": None, "shipping_details": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")),
        "discounts": [],
        "invoice_creation": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "redirect_on_completion": None,
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
    }
    return _object(account, "cs", "checkout.session", **base | fields)


def payment_intent(account: StripeAccount, **fields: Any) -> dict[str, Any]:
    base = dict.fromkeys(_INTENT_NULLS) | {
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
        "customer": None,
        "description": None,
        "payment_method": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "receipt_email": None,
        "status": "requires_payment_method",
    }
    made = _object(account, "pi", "payment_intent", **base | fields)
    made["client_secret"] = f"{made['id']}_secret_sandbox"
    return made


def payment_method(account: StripeAccount, customer: str) -> dict[str, Any]:
    details = {"address": NO_ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None}
    base = {"allow_redisplay": "limited", "billing_details": details, "card": CARD, "customer": customer}
    return _object(account, "pm", "payment_method", **base | {"customer_account": None, "type": "card"})


def setup_intent(account: StripeAccount, **fields: Any) -> dict[str, Any]:
    nulls = ("application", "attach_to_self", "cancellation_reason", "customer_account", "description",
             "flow_directions", "last_setup_error", "mandate", "next_action", "on_behalf_of",
             "single_use_mandate")  # fmt: skip
    base = dict.fromkeys(nulls) | {
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "status": "succeeded",
        "usage": "off_session",
    }
    return _object(account, "seti", "setup_intent", **base | fields)


def charge(account: StripeAccount, intent: dict[str, Any], email: str | None, **fields: Any) -> dict[str, Any]:
    """A charge takes its metadata from the intent, at the time when it is made."""
    base = dict.fromkeys(_CHARGE_NULLS) | {
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": {"address": NO_ADDRESS, "email": email, "name": None, "phone": None, "tax_id": None},
        "calculated_statement_descriptor": "KEYTURN SANDBOX",
        "captured": False,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "fraud_details": {},
        "metadata": dict(intent["metadata"]),
        "outcome": {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "type": "authorized",
        },
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {"card": CARD, "type": "card"},
        "receipt_email": None,
        "refunded": False,
        "status": "pending",
    }
    return _object(account, "ch", "charge", **base | fields)


def refund(account: StripeAccount, of: dict[str, Any], **fields: Any) -> dict[str, Any]:
    base = dict.fromkeys(_REFUND_NULLS) | {
        "charge": of["id"],
        "currency": of["currency"],
        "destination_details": {"card": {"type": "refund", "reference_status": "pending"}, "type": "card"},
        "payment_intent": of["payment_intent"],
        "reason": None,
    }
    made = _object(account, "re", "refund", **base | fields)
    del made["livemode"]  # refunds are the one of these that has none
    return made


def dispute(account: StripeAccount, of: dict[str, Any], **fields: Any) -> dict[str, Any]:
    base = {
        "balance_transactions": [],
        "charge": of["id"],
        "currency": of["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {"due_by": account.now() + 7 * 86400, "has_evidence": False, "past_due": False},
        "is_charge_refundable": False,
        "network_reason_code": "10.4",
        "payment_intent": of["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"},
            "type": "card",
        },
    }
    return _object(account, "dp", "dispute", **base | fields)


def fraud_warning(account: StripeAccount, of: dict[str, Any]) -> dict[str, Any]:
    fields = {"actionable": True, "charge": of["id"], "payment_intent": of["payment_intent"]}
    made = _object(account, "issfr", "radar.early_fraud_warning", fraud_type="made_with_stolen_card", **fields)
    del made["metadata"]
    return made


def product(account: StripeAccount, **fields: Any) -> dict[str, Any]:
    nulls = dict.fromkeys(("default_price", "description", "package_dimensions", "shippable", "statement_descriptor",
                           "tax_code", "tax_details", "unit_label", "url"))  # fmt: skip
    base = nulls | {"active": True, "images": [], "marketing_features": [], "type": "service", "updated": account.now()}
    return _object(account, "prod", "product", **base | fields)


def price(account: StripeAccount, *, amount: int, **fields: Any) -> dict[str, Any]:
    nulls = dict.fromkeys(("custom_unit_amount", "lookup_key", "nickname", "tiers_mode", "transform_quantity"))
    base = nulls | {"active": True, "billing_scheme": "per_unit", "recurring": None, "tax_behavior": "unspecified"}
    made = _object(
        account, "price", "price", **base | {"unit_amount": amount, "unit_amount_decimal": str(amount)} | fields
    )
    made["type"] = "recurring" if made["recurring"] else "one_time"
    return made


def customer(account: StripeAccount, **fields: Any) -> dict[str, Any]:
    nulls = dict.fromkeys(("address", "business_name", "currency", "customer_account", "default_source", "description",
                           "discount", "individual_name", "name", "phone", "shipping", "test_clock"))  # fmt: skip
    base = nulls | {
        "balance": 0,
        "delinquent": False,
        "email": None,
        "invoice_prefix": account.new_id("x")[2:10].upper(),
        "invoice_settings": dict.fromkeys(("custom_fields", "default_payment_method", "footer", "rendering_options")),
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
    }
    return _object(account, "cus", "customer", **base | fields)
