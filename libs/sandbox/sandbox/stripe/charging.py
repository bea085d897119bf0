"""What a shop charges to what its customers saved, while they are away."""

from typing import Any

from sandbox.stripe import objects, paying
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.errors import StripeProblem, invalid
from sandbox.stripe.params import integer, known, metadata, required
from sandbox.stripe.saving import CARDS, Made

_INTENT = ("amount", "confirm", "currency", "customer", "description", "expand", "metadata", "off_session",
           "payment_method")  # fmt: skip


def take(account: StripeAccount, params: dict[str, Any]) -> Made:
    """POST /v1/payment_intents, for the one way in which money is taken from somebody who is away."""
    known(params, _INTENT)
    if params.get("off_session") != "true" or params.get("confirm") != "true":
        raise invalid("The sandbox takes money with `off_session` and `confirm` only.", param="off_session")
    customer = account.get(required(params, "customer"), "customer", "customer")
    method = account.get(required(params, "payment_method"), "payment_method", "payment_method")
    if method["customer"] != customer["id"]:
        raise invalid("The customer does not have a payment method with this ID.", param="payment_method")
    intent = objects.payment_intent(
        account,
        amount=integer(params, "amount"),
        currency=required(params, "currency"),
        customer=customer["id"],
        description=params.get("description"),
        metadata=metadata(params),
        payment_method=method["id"],
    )
    account.emit("payment_intent.created", intent)
    charge = objects.charge(account, intent, customer["email"])
    intent["latest_charge"] = charge["id"]
    declined = CARDS[account.hidden[method["id"]]["card"]]
    if declined is None:
        paying.succeed(account, intent, charge)
        return intent
    paying.fail(account, intent, charge, *declined)
    error = intent["last_payment_error"] | {"payment_intent": intent}
    raise StripeProblem(402, error, executed=True)
