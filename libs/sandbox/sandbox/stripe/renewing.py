"""What Stripe does with a subscription as time goes by: renews, charges, tries again, gives up, cancels; and what its
shop may change.

When a period is over the next one begins at once; its invoice is a draft for an hour, and is charged then. Meanwhile
the subscription is `active`, whatever comes of it.
"""

from typing import Any, Literal

from sandbox.calendar import period_after
from sandbox.stripe import coupons, invoicing, objects, paying
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.errors import StripeProblem, invalid, missing, refused
from sandbox.stripe.invoicing import Made
from sandbox.stripe.params import integer, known, metadata, required
from sandbox.stripe.saving import CARDS

DRAFT = 60 * 60
RETRIES = tuple(days * 86400 for days in (3, 5, 7))  # after the first failure, the second, the third
Card = Literal["good", "declined"]
FINAL = frozenset({"canceled", "incomplete_expired"})
_UPDATES = frozenset(
    ("cancel_at", "cancel_at_period_end", "default_payment_method", "expand", "metadata", "proration_behavior",
     "trial_end")
)  # fmt: skip


def pass_time(account: StripeAccount) -> None:
    """Everything that is due by now."""
    for subscription in account.all("subscription")[::-1]:
        while subscription["status"] not in FINAL and _step(account, subscription):
            pass


def use_card(account: StripeAccount, subscription_id: str, card: Card) -> Made:
    """The customer's card fails from now on; or they give a good one, and what is open is charged to it at once."""
    subscription = account.get(subscription_id, "subscription")
    account.hidden.setdefault(subscription_id, {})["card"] = card
    invoice = _latest(account, subscription)
    if card == "good" and invoice["status"] == "open":
        _collect(account, subscription, invoice)
    return subscription


def cancel(account: StripeAccount, subscription_id: str, params: dict[str, Any] | None = None) -> Made:
    """DELETE /v1/subscriptions/{id}, and what comes of it when the time has come."""
    known(params or {}, ("invoice_now", "prorate", "expand", "cancellation_details"))
    subscription = account.get(subscription_id, "subscription")
    if subscription["status"] in FINAL:
        raise missing("subscription", subscription_id, "id")
    now = account.now()
    subscription |= {"status": "canceled", "ended_at": now, "canceled_at": subscription["canceled_at"] or now}
    invoice = _latest(account, subscription)
    if invoice["status"] in {"draft", "open"}:
        invoice |= {"auto_advance": False, "next_payment_attempt": None}
    account.emit("customer.subscription.deleted", subscription)
    return subscription


def update(account: StripeAccount, subscription_id: str, params: dict[str, Any]) -> Made:
    """POST /v1/subscriptions/{id}."""
    known(params, _UPDATES)
    subscription = account.get(subscription_id, "subscription")
    if subscription["status"] in FINAL:
        raise refused("A canceled subscription can only update its cancellation_details and metadata.")
    if "cancel_at" in params and "cancel_at_period_end" in params:
        raise invalid(
            "You may only specify one of these parameters: cancel_at, cancel_at_period_end.", param="cancel_at"
        )
    before = {name: subscription[name] for name in ("cancel_at", "cancel_at_period_end", "status", "trial_end")}
    if "metadata" in params:
        subscription["metadata"] |= metadata(params)
    if "default_payment_method" in params:
        method = _own_method(account, subscription, params["default_payment_method"], "default_payment_method")
        subscription["default_payment_method"] = method["id"]
        account.hidden.setdefault(subscription_id, {})["card"] = _becomes(account, method)
    if "cancel_at_period_end" in params:
        ends = params["cancel_at_period_end"] == "true"
        cancel_at = _end(subscription) if ends else None
        subscription |= {"cancel_at_period_end": ends, "cancel_at": cancel_at}
        subscription["canceled_at"] = account.now() if ends else None
    if "cancel_at" in params:
        at = integer(params, "cancel_at") if params["cancel_at"] else None
        subscription |= {"cancel_at": at, "cancel_at_period_end": False, "canceled_at": account.now() if at else None}
    if "trial_end" in params:
        _move(account, subscription, integer(params, "trial_end"), params.get("proration_behavior"))
    previous = {name: value for name, value in before.items() if subscription[name] != value}
    account.emit("customer.subscription.updated", subscription, previous=previous)
    return subscription


def pay_invoice(account: StripeAccount, invoice_id: str, params: dict[str, Any]) -> Made:
    """POST /v1/invoices/{id}/pay, with a card of the customer's."""
    known(params, ("payment_method", "expand"))
    invoice = account.get(invoice_id, "invoice")
    subscription = account.objects[invoice["parent"]["subscription_details"]["subscription"]]
    method = _own_method(account, subscription, required(params, "payment_method"), "payment_method")
    if invoice["status"] != "open":
        raise refused(f"This invoice is {invoice['status']}.")
    hidden = account.hidden.setdefault(subscription["id"], {})
    kept, hidden["card"] = hidden.get("card", "good"), _becomes(account, method)
    _collect(account, subscription, invoice)
    hidden["card"] = kept
    if invoice["status"] != "paid":
        raise StripeProblem(402, {"type": "card_error", "code": "card_declined", "message": "Declined."}, executed=True)
    return invoice


def _own_method(account: StripeAccount, subscription: Made, id_: str, param: str) -> Made:
    method = account.get(id_, "payment_method", param)
    if method["customer"] != subscription["customer"]:
        raise invalid("The customer does not have a payment method with this ID.", param=param)
    return method


def _becomes(account: StripeAccount, method: Made) -> Card:
    return "good" if CARDS[account.hidden[method["id"]]["card"]] is None else "declined"


def resume(account: StripeAccount, subscription_id: str, params: dict[str, Any]) -> Made:
    """POST /v1/subscriptions/{id}/resume."""
    known(params, ("billing_cycle_anchor", "payment_behavior", "proration_behavior", "expand"))
    subscription = account.get(subscription_id, "subscription")
    if subscription["status"] != "paused":
        raise refused("This subscription cannot be resumed because it is not paused.")
    subscription["status"] = "active"
    account.emit("customer.subscription.resumed", subscription)
    return subscription


def pause(account: StripeAccount, subscription_id: str) -> Made:
    """By its customer, in the portal."""
    subscription = account.get(subscription_id, "subscription")
    subscription["status"] = "paused"
    account.emit("customer.subscription.paused", subscription)
    return subscription


def _move(account: StripeAccount, subscription: Made, until: int, prorated: str | None) -> None:
    """Another day of payment, by a trial up to then: it is told with an invoice of zero."""
    if until <= account.now():
        raise invalid("Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end")
    if prorated != "none":
        raise invalid("The sandbox prorates nothing.", param="proration_behavior")
    for item in subscription["items"]["data"]:
        item |= {"current_period_start": account.now(), "current_period_end": until}
    subscription |= {"status": "trialing", "trial_start": account.now(), "trial_end": until}
    subscription["billing_cycle_anchor"] = until
    if subscription["cancel_at_period_end"]:
        subscription["cancel_at"] = until
    invoice = _draft(account, subscription, "subscription_update")
    invoicing.finalize(account, invoice)
    _tell_paid(account, invoice, None)


def _step(account: StripeAccount, subscription: Made) -> bool:
    """One thing that is due. False: nothing is."""
    now, invoice = account.now(), _latest(account, subscription)
    if invoice["status"] == "draft" and invoice["automatically_finalizes_at"] <= now:
        invoicing.finalize(account, invoice)
        _collect(account, subscription, invoice)
    elif invoice["status"] == "open" and (invoice["next_payment_attempt"] or now + 1) <= now:
        _collect(account, subscription, invoice)
    elif subscription["cancel_at"] and subscription["cancel_at"] <= now:
        cancel(account, subscription["id"])
    elif _end(subscription) <= now and invoice["status"] != "draft" and subscription["status"] != "paused":
        _renew(account, subscription)
    else:
        return False
    return True


def _renew(account: StripeAccount, subscription: Made) -> None:
    previous = {"status": subscription["status"]}
    for item in subscription["items"]["data"]:
        start, anchor = item["current_period_end"], subscription["billing_cycle_anchor"]
        item["current_period_start"] = start
        item["current_period_end"] = period_after(start, anchor, item["price"]["recurring"])
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    invoice = _draft(account, subscription, "subscription_cycle")
    invoice["automatically_finalizes_at"] = account.now() + DRAFT
    account.emit("invoice.created", invoice)
    account.emit("customer.subscription.updated", subscription, previous=previous)


def _draft(account: StripeAccount, subscription: Made, reason: str) -> Made:
    free = reason == "subscription_update"
    lines = [
        invoicing.line(
            account,
            subscription,
            item["price"],
            item=item,
            amount=0 if free else item["price"]["unit_amount"] * item["quantity"],
            quantity=item["quantity"],
        )
        for item in subscription["items"]["data"]
    ]
    off = coupons.off_renewal(account, subscription, sum(line["amount"] for line in lines))
    invoice = invoicing.draft(account, subscription, lines, reason, off)
    subscription["latest_invoice"] = invoice["id"]
    if not free:
        account.hidden.setdefault(subscription["id"], {})["collecting"] = invoice["id"]
    return invoice


def _collect(account: StripeAccount, subscription: Made, invoice: Made) -> None:
    """One attempt, after which the subscription stands as its outcome says."""
    before = subscription["status"]
    if not invoice["total"]:
        _tell_paid(account, invoice, None)
        subscription["status"] = "active"
    else:
        intent = objects.payment_intent(
            account,
            amount=invoice["total"],
            currency=invoice["currency"],
            customer=invoice["customer"],
            description="Subscription update",
        )
        charge = objects.charge(account, intent, invoice["customer_email"])
        intent["latest_charge"] = charge["id"]
        if account.hidden.get(subscription["id"], {}).get("card", "good") == "good":
            paying.succeed(account, intent, charge)
            _tell_paid(account, invoice, intent)
            subscription["status"] = "active"
        else:
            paying.fail(account, intent, charge, "card_declined")
            _failed(account, subscription, invoice)
    if subscription["status"] != before and subscription["status"] != "canceled":
        account.emit("customer.subscription.updated", subscription, previous={"status": before})


def _tell_paid(account: StripeAccount, invoice: Made, intent: Made | None) -> None:
    payment = invoicing.paid(account, invoice, intent)
    account.emit("invoice.paid", invoice)
    account.emit("invoice.payment_succeeded", invoice)
    if payment:
        account.emit("invoice_payment.paid", payment)


def _failed(account: StripeAccount, subscription: Made, invoice: Made) -> None:
    invoice["attempt_count"] += 1
    invoice["attempted"] = True
    left = RETRIES[invoice["attempt_count"] - 1 : invoice["attempt_count"]]
    invoice["next_payment_attempt"] = account.now() + left[0] if left else None
    account.emit("invoice.payment_failed", invoice)
    subscription["status"] = "past_due"
    if left:
        return
    if account.gives_up == "canceled":
        cancel(account, subscription["id"])
    else:
        subscription["status"] = account.gives_up


def _latest(account: StripeAccount, subscription: Made) -> Made:
    """Of those that are for a period."""
    hidden = account.hidden.get(subscription["id"], {})
    return account.objects[str(hidden.get("collecting", subscription["latest_invoice"]))]


def _end(subscription: Made) -> int:
    return int(max(item["current_period_end"] for item in subscription["items"]["data"]))
