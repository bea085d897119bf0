"""What customers save with Stripe, to be charged while they are away."""

from typing import Any

from sandbox.stripe import objects
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.errors import refused
from sandbox.stripe.params import metadata

Made = dict[str, Any]
GOOD = "pm_card_visa"
# Stripe's test cards, by what becomes of a charge while their owner is away: the error's code and the decline code.
CARDS: dict[str, tuple[str, str] | None] = {
    GOOD: None,
    "pm_card_chargeCustomerFail": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card"),
    "pm_card_authenticationRequired": ("authentication_required", "authentication_required"),
}


def save(account: StripeAccount, session: Made, customer: str | None, card: str) -> tuple[str, str]:
    """The customer, made where there is none, and the payment method that is theirs from now on."""
    if customer is None:
        made = objects.customer(account, email=session["customer_email"])
        customer = str(made["id"])
        account.emit("customer.created", made)
    method = objects.payment_method(account, customer)
    account.hidden[method["id"]] = {"card": card}
    account.emit("payment_method.attached", method)
    session["customer"] = customer
    return customer, str(method["id"])


def use_saved(account: StripeAccount, customer_id: str, card: str) -> None:
    """What becomes of everything that this customer saved, from now on."""
    account.get(customer_id, "customer")
    for method in account.all("payment_method"):
        if method["customer"] == customer_id:
            account.hidden[method["id"]]["card"] = card


def detach(account: StripeAccount, method_id: str) -> Made:
    """For good: it is nobody's any more, and cannot be given to anybody again."""
    method = account.get(method_id, "payment_method", "payment_method")
    if method["customer"] is None:
        raise refused(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            param="payment_method",
        )
    previous = {"customer": method["customer"]}
    method["customer"] = None
    account.emit("payment_method.detached", method, previous=previous)
    return method


def give(account: StripeAccount, session_id: str, card: str = GOOD) -> Made:
    """On a page in setup mode: another card, and no money."""
    session = account.get(session_id, "checkout.session")
    if session["status"] != "open" or session["mode"] != "setup":
        raise refused(f"This Checkout Session is {session['status']}.")
    data = account.hidden[session_id]["data"]
    customer, method = save(account, session, session["customer"], card)
    made = objects.setup_intent(account, customer=customer, payment_method=method, metadata=metadata(data))
    session |= {"status": "complete", "url": None, "payment_status": "no_payment_required", "setup_intent": made["id"]}
    account.emit("setup_intent.succeeded", made)
    account.emit("checkout.session.completed", session)
    return session
