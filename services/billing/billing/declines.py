"""What a declined charge means: the providers' codes, in one place. With another code it may go through another day."""

from typing import Literal

Verdict = Literal["again", "customer", "hopeless"]

# No further attempt can go through: the card is gone, or its holder or the bank said so for good. Stripe's decline
# codes, and what our adapters say where the saved method is not there any more.
HOPELESS = frozenset(
    {
        "account_closed",
        "bank_account_closed",
        "card_not_supported",
        "debit_not_authorized",
        "expired_card",
        "fraudulent",
        "highest_risk_level",
        "incorrect_number",
        "invalid_account",
        "invalid_number",
        "lost_card",
        "mandate_gone",
        "merchant_blacklist",
        "new_account_information_available",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
# The card is good; its bank wants to hear it from the customer, on the payment page.
CUSTOMER = frozenset(
    {"approve_with_id", "authentication_required", "offline_pin_required", "online_or_offline_pin_required"}
)


def verdict(code: str | None) -> Verdict:
    if code in CUSTOMER:
        return "customer"
    return "hopeless" if code in HOPELESS else "again"
