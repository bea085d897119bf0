"""Money that goes back: refunds, disputes, and the fraud warnings before them."""

# ruff: noqa: SIM905 - lists of many names read better as text

from typing import Any, Literal

from sandbox.stripe import objects
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.errors import invalid, missing, refused
from sandbox.stripe.params import integer, known, metadata

_REFUND_PARAMS = """amount charge currency customer expand instructions_email metadata origin payment_intent reason
    refund_application_fee reverse_transfer""".split()
Verdict = Literal["won", "lost", "warning_closed"]


def create_refund(account: StripeAccount, params: dict[str, Any]) -> dict[str, Any]:
    """POST /v1/refunds. Without an amount: what is left."""
    known(params, _REFUND_PARAMS)
    charge = _charge(account, params)
    if charge["disputed"]:
        raise refused("This charge has been charged back. You cannot issue a refund.", code="charge_disputed")
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left <= 0:
        raise refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = integer(params, "amount") if "amount" in params else left
    if not 0 < amount <= left:
        raise refused(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount",
        )  # fmt: skip
    return refund(account, charge["id"], amount, about=metadata(params), reason=params.get("reason"))


def _charge(account: StripeAccount, params: dict[str, Any]) -> dict[str, Any]:
    if "payment_intent" in params:
        intent = account.get(params["payment_intent"], "payment_intent", "payment_intent")
        if intent["status"] != "succeeded":
            raise refused(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
        return account.objects[intent["latest_charge"]]
    if "charge" not in params:
        raise invalid("One of the following params should be provided: payment_intent, charge.")
    charge = account.get(params["charge"], "charge", "charge")
    if charge["status"] != "succeeded":
        raise missing("charge", charge["id"], "charge")
    return charge


def refund(
    account: StripeAccount,
    charge_id: str,
    amount: int | None = None,
    *,
    pending: bool = False,
    about: dict[str, str] | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """A refund through the API, or by hand in the dashboard. `pending`: it goes through, or fails, later."""
    charge = account.get(charge_id, "charge")
    amount = amount if amount is not None else charge["amount_captured"] - charge["amount_refunded"]
    status = "pending" if pending else "succeeded"
    made = objects.refund(account, charge, amount=amount, status=status, metadata=about or {}, reason=reason)
    previous = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount_captured"]
    account.emit("refund.created", made)
    account.emit("charge.refunded", charge, previous=previous)
    if not pending:
        account.emit("refund.updated", made, previous={"destination_details": made["destination_details"]})
        account.emit("charge.refund.updated", made)
    return made


def fail_refund(account: StripeAccount, refund_id: str) -> dict[str, Any]:
    """A refund fails, even after it had succeeded: the money is back with the shop."""
    made = account.get(refund_id, "refund")
    if made["status"] not in {"pending", "succeeded"}:
        raise refused(f"This refund is {made['status']}.")
    previous = {"status": made["status"], "failure_reason": None}
    made |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
    made["failure_balance_transaction"] = account.new_id("txn")
    charge = account.objects[made["charge"]]
    charge["amount_refunded"] -= made["amount"]
    charge["refunded"] = False
    account.emit("refund.failed", made)
    account.emit("refund.updated", made, previous=previous)
    account.emit("charge.refund.updated", made, previous=previous)
    return made


def dispute(
    account: StripeAccount, charge_id: str, *, amount: int | None = None, inquiry: bool = False
) -> dict[str, Any]:
    """The customer complains to the bank. An inquiry moves no money yet."""
    charge = account.get(charge_id, "charge")
    status = "warning_needs_response" if inquiry else "needs_response"
    wanted = amount if amount is not None else charge["amount"]
    made = objects.dispute(account, charge, amount=wanted, reason="fraudulent", status=status)
    charge["disputed"] = not inquiry
    account.emit("charge.dispute.created", made)
    if not inquiry:
        _move(account, made, -made["amount"])
        account.emit("charge.dispute.funds_withdrawn", made)
    return made


def close_dispute(account: StripeAccount, dispute_id: str, verdict: Verdict) -> dict[str, Any]:
    made = account.get(dispute_id, "dispute")
    made["status"] = verdict
    if verdict == "won":
        _move(account, made, made["amount"])
        account.emit("charge.dispute.funds_reinstated", made)
    account.emit("charge.dispute.closed", made)
    return made


def _move(account: StripeAccount, made: dict[str, Any], amount: int) -> None:
    transaction = {"id": account.new_id("txn"), "object": "balance_transaction", "amount": amount}
    transaction |= {"currency": made["currency"], "fee": 1500 if amount < 0 else 0, "type": "adjustment"}
    made["balance_transactions"].append(transaction)


def warn(account: StripeAccount, charge_id: str) -> dict[str, Any]:
    """The card's issuer suspects fraud."""
    made = objects.fraud_warning(account, account.get(charge_id, "charge"))
    account.emit("radar.early_fraud_warning.created", made)
    return made
