"""Subscriptions, and what is charged for them."""

from typing import Any

from billing.changing import Choice
from billing.mandates import Charge, Mandate
from billing.plan_changes import PlanChange
from billing.subscriptions import Period, Renewal, Subscription

JSON = dict[str, Any]


def subscription(found: Subscription, renewal: Renewal | None = None) -> JSON:
    return {
        "purchase_id": str(found.purchase_id),
        "status": found.state,
        "status_since": found.state_since,
        "cycle": found.cycle,
        "plan": found.plan,
        "collection": found.collection,
        "price": found.price,
        "timezone": found.zone,
        "began_at": found.began_at,
        "period": found.number,
        "period_from": found.starts_at,
        "period_until": found.ends_at,
        "renews_at": found.renews_at,
        "cancel_at_period_end": found.cancel_at_period_end,
        "resumes_at": found.resumes_at,
        "held_since": found.held_since,
        "ended_because": found.ended_because,
        "next_step_at": found.next_step_at,
        "suspends_at": found.consequence_at if found.state == "past_due" else None,
        "deletes_at": found.consequence_at if found.state == "suspended" else None,
        "due": renewal.amount if renewal else None,
        "charges_at": renewal.charge_at if renewal else None,
    }


def mandate(found: Mandate) -> JSON:
    """Without the provider's ids."""
    return {"provider": found.provider, "saved_at": found.saved_at, "refused": found.refused}


def charge(found: Charge) -> JSON:
    return {
        "period": found.period,
        "attempt": found.attempt,
        "amount": found.amount,
        "currency": found.currency,
        "state": found.state,
        "code": found.code,
        "asked_at": found.asked_at,
        "decided_at": found.decided_at,
    }


def plan_change(found: PlanChange) -> JSON:
    return {
        "quote_id": str(found.id),
        "status": found.state,
        "status_since": found.state_since,
        "from_plan": found.from_plan,
        "plan": found.to_plan,
        "price": found.price,
        "unused": found.unused,
        "cost": found.cost,
        "tax_added": found.tax_added,
        "charge": found.charge,
        "credit": found.credit,
        "currency": found.currency,
        "paid_until": found.until,
        "quoted_at": found.quoted_at,
        "expires_at": found.expires_at,
    }


def choice(found: Choice) -> JSON:
    has = found.subscription.plan
    plans = [
        {"id": row.plan, "name": row.plan_name, "limits": row.limits, "amount": row.amount, "current": row.plan == has}
        for row in found.plans
    ]
    return {
        "plan": has,
        "cycle": found.subscription.cycle,
        "currency": found.currency,
        "why_not": found.why_not,
        "open": plan_change(found.open) if found.open else None,
        "items": plans,
    }


def period(found: Period) -> JSON:
    return {
        "number": found.number,
        "from": found.starts_at,
        "until": found.ends_at,
        "payment_id": str(found.payment_id),
    }
