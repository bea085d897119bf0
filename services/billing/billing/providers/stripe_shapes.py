"""Between Stripe's shapes and the port's values."""

# ruff: noqa: SIM905 - lists of many names read better as text

from datetime import UTC, datetime
from typing import Any, Literal

from billing.providers import (
    REFERENCE,
    CapturedPayment,
    CheckoutOrder,
    FoundDispute,
    FoundRefund,
    OpenedCheckout,
    RefundResult,
)

# The languages of Stripe's page; for any other it takes the browser's.
LOCALES = frozenset(
    """bg cs da de el en en-GB es es-419 et fi fil fr fr-CA hr hu id it ja ko lt lv ms mt nb nl pl pt pt-BR ro ru sk sl
    sv th tr vi zh zh-HK zh-TW""".split()
)

INTERVALS: dict[str, Any] = {
    "monthly": {"interval": "month", "interval_count": 1},
    "quarterly": {"interval": "month", "interval_count": 3},
    "yearly": {"interval": "year", "interval_count": 1},
    "biennial": {"interval": "year", "interval_count": 2},
    "triennial": {"interval": "year", "interval_count": 3},
}

DECIDED: dict[str, Literal["won", "lost", "closed"]] = {
    "won": "won",
    "lost": "lost",
    "warning_closed": "closed",
    "prevented": "closed",
}


def moment(time: datetime) -> int:
    return int(time.timestamp())


def _line_items(order: CheckoutOrder) -> list[Any]:
    """What is bought, as an own price or a prepared one, and the set-up fee."""
    rest = order.recurring.amount if order.recurring else order.amount - order.setup_fee
    fee = [_line(order, f"{order.title}: set-up fee", order.setup_fee, told=not rest)] if order.setup_fee else []
    if order.prepared:
        return [{"quantity": 1, "price": order.prepared}, *fee]
    cycle = {"recurring": INTERVALS[order.cycle]} if order.recurring else {}
    return [_line(order, order.title, rest, told=True, **cycle), *fee] if rest else fee


def _line(order: CheckoutOrder, text: str, amount: int, *, told: bool, **more: Any) -> Any:
    """`told`: with what the customer should know of the amount."""
    product = {"name": text} | ({"description": order.note} if told and order.note else {})
    price = {"currency": order.currency.lower(), "unit_amount": amount, "product_data": product} | more
    return {"quantity": 1, "price_data": price}


def session_params(order: CheckoutOrder, coupon: str | None = None) -> Any:
    """Our reference goes into every place that a later event can show, since Stripe copies none."""
    about = {REFERENCE: order.reference, "checkout": order.key}
    mode, carried = ("subscription", "subscription_data") if order.recurring else ("payment", "payment_intent_data")
    saves = order.save and not order.recurring
    return {
        "mode": mode,
        "line_items": _line_items(order),
        "customer_email": order.email,
        "client_reference_id": order.reference,
        "metadata": about,
        carried: {"metadata": about} | ({"setup_future_usage": "off_session"} if saves else {}),
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
        "expires_at": moment(order.expires_at),
        "locale": locale_of(order.locale),
        **({"customer_creation": "always"} if saves else {}),
        **({"discounts": [{"coupon": coupon}]} if coupon else {}),
    }


def setup_params(order: CheckoutOrder) -> Any:
    """A page on which a card is given, and nothing paid."""
    about = {REFERENCE: order.reference, "checkout": order.key}
    return {
        "mode": "setup",
        "currency": order.currency.lower(),
        "customer_email": order.email,
        "customer_creation": "always",
        "client_reference_id": order.reference,
        "metadata": about,
        "setup_intent_data": {"metadata": about},
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
        "expires_at": moment(order.expires_at),
        "locale": locale_of(order.locale),
    }


def locale_of(wanted: str | None) -> str:
    tag = (wanted or "").replace("_", "-")
    return next((found for found in (tag, tag.partition("-")[0]) if found in LOCALES), "auto")


def opened(session: dict[str, Any]) -> OpenedCheckout:
    return OpenedCheckout(
        provider_id=session["id"],
        url=session["url"],
        client={"session_id": session["id"]},
        expires_at=datetime.fromtimestamp(session["expires_at"], UTC),
        refs={"session": session["id"]},
    )


def captured_in(session: dict[str, Any]) -> CapturedPayment | None:
    """The payment of a session: once it is paid, or when there was nothing to pay. `unpaid` is still to come. Where a
    card alone was given, it is of nothing."""
    if session["payment_status"] not in {"paid", "no_payment_required"} or session["status"] != "complete":
        return None
    intent = session.get("payment_intent") or {}
    ids = {"session": session["id"], "payment_intent": intent.get("id"), "charge": intent.get("latest_charge")}
    ids |= {name: session.get(name) for name in ("invoice", "subscription", "customer", "setup_intent")}
    return CapturedPayment(
        payment_key=session.get("invoice") or session["id"],
        amount=session["amount_total"] or 0,
        currency=session["currency"].upper(),
        livemode=session["livemode"],
        reference=(session.get("metadata") or {}).get(REFERENCE) or session.get("client_reference_id"),
        refs={name: id_ for name, id_ in ids.items() if id_},
    )


def refund_result(refund: dict[str, Any]) -> RefundResult:
    """A refund in any other state stands, and may still fail."""
    status: Literal["pending", "succeeded", "failed"] = "pending"
    if refund["status"] in {"succeeded", "failed", "canceled"}:
        status = "succeeded" if refund["status"] == "succeeded" else "failed"
    return RefundResult(refund["id"], refund["amount"], refund["currency"].upper(), status)


def found_refund(refund: dict[str, Any]) -> FoundRefund:
    status: Literal["asked", "stands", "failed"] = "stands"
    if refund["status"] in {"requires_action", "failed", "canceled"}:
        status = "asked" if refund["status"] == "requires_action" else "failed"
    refs = _refs(refund, refund="id", charge="charge", payment_intent="payment_intent")
    return FoundRefund(refund["id"], refund["amount"], refund["currency"].upper(), status, refs)


def found_dispute(dispute: dict[str, Any]) -> FoundDispute:
    """A state that Stripe adds later is an open one."""
    status, amount = dispute["status"], dispute["amount"]
    state = DECIDED.get(status) or ("inquiry" if status.startswith("warning_") else "open")
    return FoundDispute(
        dispute_id=dispute["id"],
        state=state,
        amount=amount,
        currency=dispute["currency"].upper(),
        reason=dispute.get("reason"),
        deducted=amount if state == "lost" else 0,
        refs=_refs(dispute, dispute="id", charge="charge", payment_intent="payment_intent"),
    )


def _refs(found: dict[str, Any], **kinds: str) -> dict[str, str]:
    return {kind: found[name] for kind, name in kinds.items() if found.get(name)}
