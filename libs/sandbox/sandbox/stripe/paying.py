"""What happens when somebody pays: the objects that come to be, and all the events that Stripe sends about it."""

from typing import Any, Literal

from sandbox.stripe import objects, saving
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.errors import refused
from sandbox.stripe.subscribing import subscribe

# paid: by card. declined: the session stays open. delayed: completed now, the money comes or fails later (`settle`).
Outcome = Literal["paid", "declined", "delayed"]


def pay(
    account: StripeAccount,
    session_id: str,
    outcome: Outcome,
    *,
    amount: int | None = None,
    card: str = saving.GOOD,
) -> dict[str, Any]:
    """The customer tries to pay an open session. `amount`: Stripe takes another one than was asked for (adjusted tax,
    a promotion code): what a careless shop books without looking. `card`: one of `saving.CARDS`, should it be kept."""
    session = account.get(session_id, "checkout.session")
    if session["status"] != "open":
        raise refused(f"This Checkout Session is {session['status']}.")
    account.hidden[session_id]["card"] = card
    if amount is not None:
        difference = session["amount_total"] - amount
        session["total_details"]["amount_discount"] += max(difference, 0)
        session["total_details"]["amount_tax"] = max(-difference, 0)
        session["amount_total"] = amount
    if session["amount_total"] == 0:
        _complete(account, session, "no_payment_required")
        return session
    intent = _intent(account, session)
    {"paid": _paid, "declined": _declined, "delayed": _delayed}[outcome](account, session, intent)
    return session


def settle(account: StripeAccount, session_id: str, *, succeeded: bool) -> dict[str, Any]:
    """A delayed payment arrives or fails, perhaps days later."""
    session = account.get(session_id, "checkout.session")
    intent = account.objects.get(account.hidden[session_id].get("intent", ""), {})
    if session["payment_status"] != "unpaid" or intent.get("status") != "processing":
        raise refused("Nothing is under way for this Checkout Session.")
    charge = account.objects[intent["latest_charge"]]
    if succeeded:
        succeed(account, intent, charge)
        session["payment_status"] = "paid"
        account.emit("checkout.session.async_payment_succeeded", session)
    else:
        fail(account, intent, charge, "bank_account_declined")
        account.emit("checkout.session.async_payment_failed", session)
    return session


def _intent(account: StripeAccount, session: dict[str, Any]) -> dict[str, Any]:
    """One intent a session, made at the first attempt. In subscription mode it carries no metadata of ours."""
    hidden = account.hidden[session["id"]]
    if "intent" in hidden:
        return account.objects[hidden["intent"]]
    data = hidden["data"] if session["mode"] == "payment" else {}
    keeps = {"setup_future_usage": data["setup_future_usage"]} if "setup_future_usage" in data else {}
    intent = objects.payment_intent(
        account,
        amount=session["amount_total"],
        currency=session["currency"],
        customer=session["customer"],
        description=data.get("description") or ("Subscription creation" if session["mode"] == "subscription" else None),
        metadata=dict(data.get("metadata") or {}),
        **keeps,
    )
    hidden["intent"] = intent["id"]
    account.emit("payment_intent.created", intent)
    return intent


def _charge(account: StripeAccount, session: dict[str, Any], intent: dict[str, Any]) -> dict[str, Any]:
    intent["payment_method"] = account.new_id("pm")
    charge = objects.charge(account, intent, session["customer_email"])
    intent["latest_charge"] = charge["id"]
    return charge


def _paid(account: StripeAccount, session: dict[str, Any], intent: dict[str, Any]) -> None:
    charge = _charge(account, session, intent)
    if intent["setup_future_usage"]:
        card = account.hidden[session["id"]]["card"]
        intent["customer"], intent["payment_method"] = saving.save(account, session, session["customer"], card)
        charge |= {"customer": intent["customer"], "payment_method": intent["payment_method"]}
    succeed(account, intent, charge)
    session |= {"status": "complete", "url": None, "payment_status": "paid", "customer_details": _details(session)}
    if session["mode"] == "subscription":
        subscribe(account, session, intent, account.hidden[session["id"]])
    else:
        session["payment_intent"] = intent["id"]
    account.emit("checkout.session.completed", session)


def _declined(account: StripeAccount, session: dict[str, Any], intent: dict[str, Any]) -> None:
    fail(account, intent, _charge(account, session, intent), "card_declined")


def _delayed(account: StripeAccount, session: dict[str, Any], intent: dict[str, Any]) -> None:
    charge = _charge(account, session, intent)
    charge["payment_method_details"] = {"type": "sepa_debit", "sepa_debit": {"last4": "3000", "country": "DE"}}
    intent["status"] = "processing"
    session["payment_intent"] = intent["id"] if session["mode"] == "payment" else None
    account.emit("charge.pending", charge)
    account.emit("payment_intent.processing", intent)
    _complete(account, session, "unpaid")


def _complete(account: StripeAccount, session: dict[str, Any], payment_status: str) -> None:
    session |= {"status": "complete", "url": None, "payment_status": payment_status}
    session["customer_details"] = _details(session)
    account.emit("checkout.session.completed", session)


def _details(session: dict[str, Any]) -> dict[str, Any]:
    nulls = dict.fromkeys(("business_name", "individual_name", "name", "phone"))
    email = session["customer_email"] or "customer@sandbox.example"
    return nulls | {"address": objects.NO_ADDRESS, "email": email, "tax_exempt": "none", "tax_ids": []}


def succeed(account: StripeAccount, intent: dict[str, Any], charge: dict[str, Any]) -> None:
    charge |= {"status": "succeeded", "paid": True, "captured": True, "amount_captured": charge["amount"]}
    charge["balance_transaction"] = account.new_id("txn")
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "last_payment_error": None}
    account.emit("charge.succeeded", charge)
    account.emit("payment_intent.succeeded", intent)


def fail(
    account: StripeAccount,
    intent: dict[str, Any],
    charge: dict[str, Any],
    code: str,
    decline: str = "generic_decline",
) -> None:
    message = "Your card was declined." if code == "card_declined" else "The bank declined the debit."
    charge |= {"status": "failed", "failure_code": code, "failure_message": message}
    charge["outcome"] = {
        "network_status": "declined_by_network",
        "reason": decline,
        "type": "issuer_declined",
    }
    error = {"type": "card_error", "code": code, "decline_code": decline, "message": message}
    intent["last_payment_error"] = error | {"charge": charge["id"]}
    intent["status"] = "requires_payment_method"
    account.emit("charge.failed", charge)
    account.emit("payment_intent.payment_failed", intent)
