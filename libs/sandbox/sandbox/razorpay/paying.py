"""What happens when somebody pays an order, and all the events that Razorpay sends about it."""

from typing import Any, Literal

from sandbox.razorpay.account import RazorpayAccount
from sandbox.razorpay.errors import bad
from sandbox.razorpay.returning import add_refund

# paid: authorised, then captured, by the order's setting. authorized: left for the shop to capture.
# failed: an attempt fails; the same payment may come to life later (`authorise_late`).
Outcome = Literal["paid", "authorized", "failed"]


def pay(
    account: RazorpayAccount,
    order_id: str,
    outcome: Outcome = "paid",
    *,
    notes: dict[str, str] | None = None,
    email: str = "",
    invoice_id: str | None = None,
) -> dict[str, Any]:
    """One attempt to pay an order. A second payment on a paid order is taken, and refunded by itself."""
    order = account.get(order_id, "order")
    payment = _payment(account, order, notes or {}, email)
    payment["invoice_id"] = invoice_id
    order["attempts"] += 1
    if outcome == "failed":
        _fail(account, order, payment)
    elif order["status"] == "paid":
        _authorise(account, payment)
        _refund_by_itself(account, payment)
    else:
        order["status"] = "attempted"
        _authorise(account, payment)
        if outcome == "paid" and account.hidden[order_id]["capture"] == "automatic":
            capture(account, payment["id"], payment["amount"])
    return payment


def authorise_late(account: RazorpayAccount, payment_id: str) -> dict[str, Any]:
    """The bank answers after all: a failed payment is authorised and captured, under the same id."""
    payment = account.get(payment_id, "payment")
    if payment["status"] != "failed":
        raise bad(f"This payment is {payment['status']}.")
    payment |= dict.fromkeys(("error_code", "error_description", "error_source", "error_step", "error_reason"))
    _authorise(account, payment)
    if account.objects[payment["order_id"]]["status"] == "paid":
        _refund_by_itself(account, payment)
    elif account.hidden[payment["order_id"]]["capture"] == "automatic":
        capture(account, payment_id, payment["amount"])
    return payment


def capture(account: RazorpayAccount, payment_id: str, amount: Any, currency: str | None = None) -> dict[str, Any]:
    """By the order's setting, or by POST /payments/{id}/capture."""
    payment = account.get(payment_id, "payment")
    if payment["captured"]:
        raise bad("This payment has already been captured")
    if payment["status"] != "authorized":
        raise bad("Only payments which have been authorized and not yet captured can be captured")
    if amount != payment["amount"] or currency not in {None, payment["currency"]}:
        raise bad("Capture amount must be equal to the amount authorized", "amount")
    fee = payment["amount"] * 2 // 100
    payment |= {"status": "captured", "captured": True, "fee": fee, "tax": fee * 18 // 118}
    account.emit("payment.captured", payment=payment)
    if order := account.objects.get(payment["order_id"]):
        order |= {"status": "paid", "amount_paid": order["amount"], "amount_due": 0}
        account.emit("order.paid", payment=payment, order=order)
    return payment


def _payment(account: RazorpayAccount, order: dict[str, Any], notes: dict[str, str], email: str) -> dict[str, Any]:
    """Its notes are those that the browser sent, not the order's."""
    return account.add(
        "pay",
        "payment",
        amount=order["amount"],
        currency=order["currency"],
        status="created",
        order_id=order["id"],
        invoice_id=None,
        international=order["currency"] != "INR",
        method="upi",
        amount_refunded=0,
        refund_status=None,
        captured=False,
        description=None,
        card_id=None,
        bank=None,
        wallet=None,
        vpa="customer@sandbox",
        email=email or "customer@sandbox.example",
        contact="+919999999999",
        notes=notes or [],
        fee=None,
        tax=None,
        error_code=None,
        error_description=None,
        error_source=None,
        error_step=None,
        error_reason=None,
        acquirer_data={"rrn": "033814379298"},
    )


def _authorise(account: RazorpayAccount, payment: dict[str, Any]) -> None:
    payment["status"] = "authorized"
    account.emit("payment.authorized", payment=payment)


def _fail(account: RazorpayAccount, order: dict[str, Any], payment: dict[str, Any]) -> None:
    if order["status"] == "created":
        order["status"] = "attempted"
    payment |= {
        "status": "failed",
        "error_code": "BAD_REQUEST_ERROR",
        "error_description": "Payment was unsuccessful as the bank did not answer in time.",
        "error_source": "bank",
        "error_step": "payment_authorization",
        "error_reason": "payment_timed_out",
    }
    account.emit("payment.failed", payment=payment)


def _refund_by_itself(account: RazorpayAccount, payment: dict[str, Any]) -> None:
    """An authorised payment that is never captured goes back to the customer."""
    add_refund(account, payment, payment["amount"], {})
