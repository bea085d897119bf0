"""Money that goes back: refunds, and disputes."""

from typing import Any, Literal

from sandbox.razorpay.account import RazorpayAccount
from sandbox.razorpay.errors import bad
from sandbox.razorpay.orders import notes

Verdict = Literal["won", "lost", "closed"]
_PARAMS = ("amount", "speed", "notes", "receipt")


def create_refund(account: RazorpayAccount, payment_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """POST /payments/{id}/refund. Without an amount, and so for an empty body: everything that is left."""
    payment = account.get(payment_id, "payment")
    for name in params:
        if name not in _PARAMS:
            raise bad(f"{name} is/are not required and should not be sent")
    if not payment["captured"]:
        raise bad("The payment status should be captured for action to be taken")
    left = payment["amount"] - payment["amount_refunded"]
    if left == 0:
        raise bad("The payment has been fully refunded already")
    amount = params.get("amount", left)
    if isinstance(amount, bool) or not isinstance(amount, int) or amount < 1:
        raise bad("The amount must be an integer.", "amount")
    if amount > left:
        raise bad("The total refund amount is greater than the refund payment amount", "amount")
    return add_refund(account, payment, amount, params)


def add_refund(
    account: RazorpayAccount, payment: dict[str, Any], amount: int, params: dict[str, Any], *, pending: bool = False
) -> dict[str, Any]:
    """Also the refunds that somebody makes in the dashboard."""
    made = account.add(
        "rfnd",
        "refund",
        amount=amount,
        currency=payment["currency"],
        payment_id=payment["id"],
        notes=notes(params),
        receipt=params.get("receipt"),
        acquirer_data={"arn": None},
        batch_id=None,
        status="pending" if pending else "processed",
        speed_requested=params.get("speed", "normal"),
        speed_processed="normal",
    )
    payment["amount_refunded"] += amount
    full = payment["amount_refunded"] == payment["amount"]
    payment["refund_status"] = "full" if full else "partial"
    if full:
        payment["status"] = "refunded"  # after a part it stays as it was
    account.emit("refund.created", refund=made, payment=payment)
    if not pending:
        account.emit("refund.processed", refund=made, payment=payment)
    return made


def fail_refund(account: RazorpayAccount, refund_id: str) -> dict[str, Any]:
    """The money did not leave after all."""
    made = account.get(refund_id, "refund")
    if made["status"] == "failed":
        raise bad("This refund has failed already.")
    payment = account.objects[made["payment_id"]]
    made["status"] = "failed"
    payment["amount_refunded"] -= made["amount"]
    payment["refund_status"] = "partial" if payment["amount_refunded"] else None
    if payment["status"] == "refunded":
        payment["status"] = "captured"
    account.emit("refund.failed", refund=made, payment=payment)
    return made


def dispute(
    account: RazorpayAccount, payment_id: str, *, amount: int | None = None, phase: str = "chargeback"
) -> dict[str, Any]:
    """The customer complains. The phases: fraud, retrieval, chargeback, pre_arbitration, arbitration."""
    payment = account.get(payment_id, "payment")
    made = account.add(
        "disp",
        "dispute",
        payment_id=payment_id,
        amount=amount if amount is not None else payment["amount"],
        currency=payment["currency"],
        amount_deducted=0,
        reason_code=phase,
        respond_by=account.now() + 7 * 86400,
        status="open",
        phase=phase,
    )
    account.emit("payment.dispute.created", payment=payment, dispute=made)
    return made


def close_dispute(account: RazorpayAccount, dispute_id: str, verdict: Verdict) -> dict[str, Any]:
    made = account.get(dispute_id, "dispute")
    made |= {"status": verdict, "amount_deducted": made["amount"] if verdict == "lost" else 0}
    account.emit(f"payment.dispute.{verdict}", payment=account.objects[made["payment_id"]], dispute=made)
    return made
