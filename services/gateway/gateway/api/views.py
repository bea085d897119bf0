"""What a journey looks like to its customer, and to an operator."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from gateway.domain import Coming, Journey, Subscription
from gateway.repository.journeys import StoredEvent

JSON = dict[str, Any]


def short(journey: Journey) -> JSON:
    """What an order id alone shows."""
    return {"status": journey.status, "domain": journey.domain}


def customer(journey: Journey) -> JSON:
    """Everything but what only operators understand: technical details stay out."""
    waiting = journey.waiting
    return {
        "id": journey.purchase_id,
        "purchaseId": journey.purchase_id,
        "status": journey.status,
        "purchaseStatus": journey.purchase_status,
        "domain": journey.domain,
        "url": journey.url,
        "adminUrl": journey.admin_url,
        "product": journey.product,
        "plan": journey.plan,
        "amount": journey.amount,
        "currency": journey.currency,
        "discount": journey.discount,
        "coupon": journey.coupon,
        "refunded": journey.refunded,
        "createdAt": _iso(journey.created_at),
        "paidAt": _iso(journey.paid_at),
        "readyAt": _iso(journey.ready_at),
        "activatedAt": _iso(journey.activated_at),
        "deletedAt": _iso(journey.deleted_at),
        "steps": [{"name": step.name, "kind": step.kind, "status": step.status} for step in journey.steps],
        "waiting": {"reason": waiting.reason, "until": _iso(waiting.until)} if waiting else None,
        "subscription": _subscription(journey.subscription, journey.coming) if journey.subscription else None,
    }


def operator(journey: Journey) -> JSON:
    """The customer's view, and why things are as they are."""
    waiting = asdict(journey.waiting) | {"until": _iso(journey.waiting.until)} if journey.waiting else None
    more = {"steps": [asdict(step) for step in journey.steps], "waiting": waiting, "failure": journey.failure}
    return customer(journey) | more | {"suspendedFor": list(journey.suspended_for), "email": journey.email}


def event(told: StoredEvent, *, whole: bool) -> JSON:
    """One event of a journey; `whole` with its data, for operators."""
    seen: JSON = {"id": told.id, "type": told.type, "publisher": told.publisher, "time": _iso(told.time)}
    if whole:
        seen |= {"eventId": str(told.event_id), "subject": told.subject, "text": text(told)}
        seen["received"] = _iso(told.received)
        seen["data"] = {name: value for name, value in told.data.items() if name != "contact"}
    elif told.type == "install.step_changed.v1":
        seen |= {"step": told.data.get("step"), "status": told.data.get("status")}
    return seen


_TELLING = ("step", "status", "wanted", "reason", "cause", "detail", "message", "url", "template", "found_by", "action")


def text(told: StoredEvent) -> str:
    """The few words of an event that tell most."""
    money = f"{told.data['amount']} {told.data['currency']}" if {"amount", "currency"} <= set(told.data) else ""
    said = [str(told.data[name]) for name in _TELLING if told.data.get(name)]
    return " ".join(filter(None, [money, *said]))[:200]


def _subscription(found: Subscription, coming: Coming | None) -> JSON:
    return {
        "status": found.state,
        "periodFrom": _iso(found.period_from),
        "periodUntil": _iso(found.period_until),
        "renewsAt": _iso(found.renews_at),
        "cancelAtPeriodEnd": found.cancel_at_period_end,
        "resumesAt": _iso(found.resumes_at),
        "due": found.due,
        "chargesAt": _iso(found.charges_at),
        "suspendsAt": _iso(found.suspends_at),
        "deletesAt": _iso(found.deletes_at),
        "collection": found.collection,
        "nextPrice": coming.next_price if coming else None,
        "fullPrice": coming.full_price if coming else None,
        "discounted": coming.discounted if coming else 0,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
