"""Orders: creating them with Razorpay's checks. There is no idempotency: each call makes another order."""

from typing import Any

from sandbox.razorpay.account import RazorpayAccount
from sandbox.razorpay.errors import bad

_PARAMS = ("amount", "currency", "receipt", "notes", "partial_payment", "payment", "offer_id", "customer_id")
_THREE_DECIMALS = frozenset(("BHD", "IQD", "JOD", "KWD", "OMR", "TND"))


def create(account: RazorpayAccount, params: dict[str, Any]) -> dict[str, Any]:
    for name in params:
        if name not in _PARAMS:
            raise bad(f"{name} is/are not required and should not be sent")
    amount, currency = check(params)
    receipt = params.get("receipt")
    if receipt is not None and len(str(receipt)) > 40:
        raise bad("The receipt may not be greater than 40 characters.", "receipt")
    made = account.add(
        "order",
        "order",
        amount=amount,
        amount_paid=0,
        amount_due=amount,
        currency=currency,
        receipt=receipt,
        offer_id=None,
        status="created",
        attempts=0,
        notes=notes(params),
    )
    account.hidden[made["id"]] = {"capture": _capture(params)}
    return made


def check(params: dict[str, Any]) -> tuple[int, str]:
    amount, currency = _amount(params), _currency(params)
    if currency == "INR" and amount < 100:
        raise bad("Order amount less than minimum amount allowed", "amount")
    if currency in _THREE_DECIMALS and amount % 10:
        raise bad("The amount must end in 0 for this currency.", "amount")
    return amount, currency


def _amount(params: dict[str, Any]) -> int:
    amount = params.get("amount")
    if amount is None:
        raise bad("The amount field is required.", "amount")
    if isinstance(amount, bool) or not isinstance(amount, int) or amount < 0:
        raise bad("The amount must be an integer.", "amount")
    return amount


def _currency(params: dict[str, Any]) -> str:
    currency = params.get("currency")
    if currency is None:
        raise bad("The currency field is required.", "currency")
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isupper():
        raise bad("The currency is not supported", "currency")
    return currency


def notes(params: dict[str, Any]) -> dict[str, str] | list[Any]:
    """Empty ones come back as a list."""
    given = params.get("notes") or {}
    if not isinstance(given, dict):
        raise bad("notes must be an object.", "notes")
    if len(given) > 15 or any(len(str(value)) > 256 for value in given.values()):
        raise bad("Notes have up to 15 fields of up to 256 characters.", "notes")
    return {key: str(value) for key, value in given.items()} or []


def _capture(params: dict[str, Any]) -> str:
    """What becomes of an authorised payment; the account's own setting is automatic."""
    payment = params.get("payment") or {}
    capture = payment.get("capture", "automatic")
    if capture not in {"automatic", "manual"}:
        raise bad("The selected capture is invalid.", "capture")
    options = payment.get("capture_options") or {}
    if options.get("automatic_expiry_period", 12) < 12 or options.get("manual_expiry_period", 7200) > 7200:
        raise bad("The expiry period is out of range.", "capture_options")
    return str(capture)
