"""Plans and subscriptions: made by the shop, paid by the customer, and charged again as time goes by.

Each cycle has an invoice and an order of Razorpay's own, with empty notes, so of its payment only the subscription says
whose it is. A charge that fails is tried on each of the next three days; then it is `halted`.
"""

from typing import Any, Literal

from sandbox.calendar import period_after
from sandbox.razorpay import orders, paying
from sandbox.razorpay.account import RazorpayAccount
from sandbox.razorpay.errors import bad

DAY = 86400
RETRIES = 3
ENDED = frozenset({"cancelled", "completed", "expired"})
Card = Literal["good", "declined"]
Made = dict[str, Any]
_PLAN = ("period", "interval", "item", "notes")
_SUBSCRIPTION = ("plan_id", "total_count", "quantity", "start_at", "expire_by", "customer_notify", "addons", "offer_id",
                 "notes")  # fmt: skip
_INTERVALS = {"daily": ("day", 1), "weekly": ("week", 1), "monthly": ("month", 1), "quarterly": ("month", 3),
              "yearly": ("year", 1)}  # fmt: skip


def create_plan(account: RazorpayAccount, params: Made) -> Made:
    _known(params, _PLAN)
    if params.get("period") not in _INTERVALS:
        raise bad("The selected period is invalid.", "period")
    if not isinstance(params.get("interval"), int) or params["interval"] < (7 if params["period"] == "daily" else 1):
        raise bad("The interval must be at least 1.", "interval")
    item = params.get("item") or {}
    asked = {"amount": item.get("amount"), "currency": item.get("currency")}
    orders.check(asked)
    whole = {"name": item.get("name"), "description": item.get("description"), "unit_amount": item.get("amount")}
    return account.add(
        "plan",
        "plan",
        interval=params["interval"],
        period=params["period"],
        item={"id": account.new_id("item"), "active": True, "type": "plan", **asked, **whole},
        notes=orders.notes(params),
    )


def create(account: RazorpayAccount, params: Made) -> Made:
    """There is no idempotency: each call makes another one."""
    _known(params, _SUBSCRIPTION)
    plan = account.get(str(params.get("plan_id")), "plan")
    count = params.get("total_count")
    if not isinstance(count, int) or not 1 <= count * plan["interval"] <= 1200:
        raise bad("The total count field is required.", "total_count")
    made = account.add(
        "sub",
        "subscription",
        plan_id=plan["id"],
        customer_id=None,
        status="created",
        current_start=None,
        current_end=None,
        ended_at=None,
        quantity=params.get("quantity", 1),
        notes=orders.notes(params),
        charge_at=None,
        start_at=None,
        end_at=None,
        auth_attempts=0,
        total_count=count,
        paid_count=0,
        customer_notify=bool(params.get("customer_notify", True)),
        expire_by=params.get("expire_by"),
        short_url=None,
        has_scheduled_changes=False,
        change_scheduled_at=None,
        source="api",
        offer_id=None,
        remaining_count=count,
    )
    addons = sum(one["item"]["amount"] for one in params.get("addons") or [])
    account.hidden[made["id"]] = {"addons": addons, "card": "good", "ends": False, "tried": 0}
    return made


def cancel(account: RazorpayAccount, subscription_id: str, params: Made) -> Made:
    """At once, or with the cycle. Either is final."""
    _known(params, ("cancel_at_cycle_end",))
    subscription, hidden = account.get(subscription_id, "subscription"), account.hidden[subscription_id]
    if subscription["status"] in ENDED:
        raise bad(f"Subscription is not cancellable in {subscription['status']} status.")
    if params.get("cancel_at_cycle_end") in {True, "1"}:
        if subscription["status"] != "active" or hidden["ends"]:
            raise bad("Subscription cannot be cancelled since no billing cycle is going on.")
        hidden["ends"] = True
    else:
        _end(account, subscription, "cancelled")
    return subscription


def pause(account: RazorpayAccount, subscription_id: str) -> Made:
    subscription = account.get(subscription_id, "subscription")
    if subscription["status"] != "active":
        raise bad(f"Subscription can not be paused in {subscription['status']} status.")
    subscription["status"] = "paused"
    account.emit("subscription.paused", subscription=subscription)
    return subscription


def resume(account: RazorpayAccount, subscription_id: str) -> Made:
    subscription = account.get(subscription_id, "subscription")
    if subscription["status"] != "paused":
        raise bad(f"Subscription can not be resumed in {subscription['status']} status.")
    subscription["status"] = "active"
    account.emit("subscription.resumed", subscription=subscription)
    return subscription


def pay(account: RazorpayAccount, subscription_id: str, outcome: paying.Outcome = "paid") -> Made:
    """The customer's first payment, by which the mandate is given."""
    subscription, hidden = account.get(subscription_id, "subscription"), account.hidden[subscription_id]
    if subscription["status"] != "created":
        raise bad(f"This subscription is {subscription['status']}.")
    start = account.now()
    payment = _attempt(account, subscription, start, hidden["addons"], succeeds=outcome == "paid")
    if payment["status"] != "captured":
        return payment
    subscription |= {"status": "authenticated", "customer_id": account.new_id("cust"), "start_at": start}
    account.emit("subscription.authenticated", subscription=subscription)
    _charged(account, subscription, payment, start)
    return payment


def use_card(account: RazorpayAccount, subscription_id: str, card: Card) -> Made:
    """The customer's card fails from now on; or they give a good one, and what is open is charged to it at once."""
    subscription, hidden = account.get(subscription_id, "subscription"), account.hidden[subscription_id]
    hidden["card"] = card
    if card == "good" and subscription["status"] in {"pending", "halted"}:
        _charge(account, subscription)
    return subscription


def pass_time(account: RazorpayAccount) -> None:
    """Everything that is due by now."""
    for subscription in account.all("subscription")[::-1]:
        while _step(account, subscription):
            pass


def _step(account: RazorpayAccount, subscription: Made) -> bool:
    """One thing that is due. False: nothing is."""
    now, hidden = account.now(), account.hidden[subscription["id"]]
    if subscription["status"] not in {"active", "pending"} or subscription["charge_at"] > now:
        return False
    if hidden["ends"]:
        _end(account, subscription, "cancelled")
    else:
        _charge(account, subscription)
    return True


def _charge(account: RazorpayAccount, subscription: Made) -> None:
    """The next cycle begins where the last one ended."""
    hidden, start = account.hidden[subscription["id"]], subscription["current_end"]
    payment = _attempt(account, subscription, start, 0, succeeds=hidden["card"] == "good")
    if payment["status"] == "captured":
        hidden["tried"] = 0
        _charged(account, subscription, payment, start)
        return
    hidden["tried"] += 1
    subscription["auth_attempts"] = hidden["tried"]
    if hidden["tried"] > RETRIES:
        subscription |= {"status": "halted", "charge_at": None}
        account.emit("subscription.halted", subscription=subscription)
    else:
        subscription |= {"status": "pending", "charge_at": max(start, subscription["charge_at"] or start) + DAY}
        account.emit("subscription.pending", subscription=subscription)


def _charged(account: RazorpayAccount, subscription: Made, payment: Made, start: int) -> None:
    first = subscription["status"] == "authenticated"
    end = _end_of(account, subscription, start)
    subscription |= {"status": "active", "current_start": start, "current_end": end, "charge_at": end}
    subscription["paid_count"] += 1
    subscription["remaining_count"] -= 1
    if first:
        account.emit("subscription.activated", subscription=subscription, payment=payment)
    account.emit("subscription.charged", subscription=subscription, payment=payment)
    if not subscription["remaining_count"]:
        _end(account, subscription, "completed", payment=payment)


def _attempt(account: RazorpayAccount, subscription: Made, start: int, addons: int, *, succeeds: bool) -> Made:
    """An invoice and an order of Razorpay's, and a payment of them."""
    item = account.objects[subscription["plan_id"]]["item"]
    amount = item["amount"] * subscription["quantity"] + addons
    order = orders.create(account, {"amount": amount, "currency": item["currency"]})
    invoice = account.add(
        "inv",
        "invoice",
        amount=amount,
        amount_due=amount,
        amount_paid=0,
        billing_end=_end_of(account, subscription, start),
        billing_start=start,
        currency=item["currency"],
        customer_id=subscription["customer_id"],
        notes=[],
        order_id=order["id"],
        paid_at=None,
        payment_id=None,
        status="issued",
        subscription_id=subscription["id"],
        type="invoice",
    )
    payment = paying.pay(account, order["id"], "paid" if succeeds else "failed", invoice_id=invoice["id"])
    if payment["status"] == "captured":
        invoice |= {"amount_paid": amount, "amount_due": 0, "status": "paid", "paid_at": account.now()}
        invoice["payment_id"] = payment["id"]
        account.emit("invoice.paid", payment=payment, order=order, invoice=invoice)
    return payment


def _end_of(account: RazorpayAccount, subscription: Made, start: int) -> int:
    plan = account.objects[subscription["plan_id"]]
    interval, count = _INTERVALS[plan["period"]]
    recurring = {"interval": interval, "interval_count": count * plan["interval"]}
    return period_after(start, subscription["start_at"] or start, recurring)


def _end(account: RazorpayAccount, subscription: Made, status: str, **more: Made) -> None:
    subscription |= {"status": status, "ended_at": account.now(), "charge_at": None}
    account.emit(f"subscription.{status}", subscription=subscription, **more)


def _known(params: Made, names: tuple[str, ...]) -> None:
    for name in params:
        if name not in names:
            raise bad(f"{name} is/are not required and should not be sent")
