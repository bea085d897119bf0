"""How purchases, payments and prices look in answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from billing.applying import Difference
from billing.buying import Chosen
from billing.checkout import Opening
from billing.coupons import StoredCoupon
from billing.domain import Checkout, Customer, Entitlement, Payment, Purchase
from billing.invoices import Invoice, taxes_in
from billing.invoicing import first_charge
from billing.mandates import Charge, Mandate
from billing.owing import first_bill
from billing.plan_changes import PlanChange
from billing.repository.runs import Done, Run
from billing.reversals import Dispute, Refund, RefundRequest
from billing.subscriptions import Period, Renewal, Subscription

JSON = dict[str, Any]


def opening(opened: Opening) -> JSON:
    """What the browser needs to pay, and nothing that must not reach it."""
    purchase, checkout = opened.purchase, opened.checkout
    due = opened.due or first_bill(purchase, paid=True)
    answer: JSON = {
        "purchase_id": str(purchase.id),
        "amount": due.amount,
        "setup_fee": due.setup_fee,
        "currency": purchase.currency,
        "product": purchase.product,
        "plan": purchase.plan,
        "price": str(purchase.price_id),
        "provider": purchase.provider,
        "status": purchase.state,
        "expires_at": purchase.expires_at,
    }
    if due.period == 1 and not due.change:
        answer |= {"tax": first_charge(purchase, "").tax}
    if due.discount:
        answer |= {"discount": due.discount, "coupon_code": purchase.coupon_code}
    if purchase.trial_days:
        answer |= {"trial_days": purchase.trial_days}
    if checkout:
        answer |= checkout.client
        answer |= {"url": checkout.url} if checkout.url else {}
        answer |= {"expires_at": checkout.expires_at}
        answer |= {"prefill": {"name": purchase.contact.get("name"), "email": purchase.contact["email"]}}
    return answer


def chosen(found: Chosen) -> JSON:
    """What a coupon would do to a price."""
    offer, discount = found.offer, found.discount
    return {
        "product": offer.product,
        "plan": offer.plan,
        "cycle": offer.cycle,
        "price": offer.amount,
        "setup_fee": offer.setup_fee,
        "discount": found.off,
        "tax": found.charge.tax,
        "amount": found.amount,
        "currency": offer.currency,
        "duration": discount.duration if discount else None,
    }


def coupon(found: StoredCoupon) -> JSON:
    return {
        "code": found.code,
        **found.terms.model_dump(mode="json"),
        "active": found.is_active,
        "redeemed": found.redeemed,
        "source": found.source,
        "created_at": found.created_at,
        "ended_at": found.ended_at,
    }


def redemption(row: Any) -> JSON:
    return {
        "purchase_id": str(row.purchase_id),
        "customer_id": str(row.customer_id),
        "status": row.state,
        "discount": row.discount,
        "amount": row.amount,
        "currency": row.currency,
        "redeemed_at": row.redeemed_at,
        "given_back_at": row.given_back_at,
    }


def customer(found: Customer) -> JSON:
    return {
        "id": str(found.id),
        "email": found.email,
        "name": found.name,
        "locale": found.locale,
        "timezone": found.timezone,
        "created_at": found.created_at,
        "erasure_wanted_at": found.erasure_wanted_at,
        "erased_at": found.erased_at,
    }


def purchase(found: Purchase) -> JSON:
    return {
        "id": str(found.id),
        "customer_id": str(found.customer_id),
        "email": found.contact["email"],
        "name": found.contact.get("name"),
        "product": found.product,
        "plan": found.plan,
        "price": str(found.price_id),
        "cycle": found.cycle,
        "amount": found.amount,
        "setup_fee": found.setup_fee,
        "trial_days": found.trial_days,
        "currency": found.currency,
        "discount": found.discount,
        "coupon": found.coupon,
        "tax_added": found.tax_added,
        "tax": found.tax,
        "buyer": found.buyer,
        "refunded": found.refunded,
        "provider": found.provider,
        "livemode": found.livemode,
        "status": found.state,
        "status_since": found.state_since,
        "created_at": found.opened_at,
        "expires_at": found.expires_at,
        "parameters": found.parameters,
    }


def own(found: Purchase, subscribed: Subscription | None, renewal: Renewal | None) -> JSON:
    """A purchase as its customer sees it."""
    seen = ("status", "period_from", "period_until", "renews_at", "cancel_at_period_end", "due")
    standing = subscription(subscribed, renewal) if subscribed else None
    return {
        "id": str(found.id),
        "product": found.product,
        "plan": found.plan,
        "cycle": found.cycle,
        "amount": found.amount,
        "currency": found.currency,
        "refunded": found.refunded,
        "status": found.state,
        "created_at": found.opened_at,
        "subscription": {name: standing[name] for name in seen} if standing else None,
    }


def checkout(found: Checkout) -> JSON:
    return {
        "attempt": found.attempt,
        "period": found.period,
        "amount": found.amount,
        "provider": found.provider,
        "provider_id": found.provider_id,
        "state": found.state,
        "opened_at": found.opened_at,
        "expires_at": found.expires_at,
        "next_look_at": found.next_look_at,
    }


def payment(found: Payment) -> JSON:
    return {
        "id": str(found.id),
        "purchase_id": str(found.purchase_id) if found.purchase_id else None,
        "reference": found.reference,
        "provider": found.provider,
        "payment_key": found.payment_key,
        "refs": found.refs,
        "amount": found.amount,
        "currency": found.currency,
        "livemode": found.livemode,
        "state": found.state,
        "period": found.period,
        "review_reason": found.review_reason,
        "found_by": found.found_by,
        "recorded_at": found.recorded_at,
    }


def refund(found: Refund) -> JSON:
    return {
        "refund_id": found.refund_id,
        "payment_id": str(found.payment_id),
        "amount": found.amount,
        "currency": found.currency,
        "state": "failed" if found.failed else "booked",
        "booked_at": found.booked_at,
    }


def refund_request(found: RefundRequest) -> JSON:
    return {
        "id": str(found.id),
        "payment_id": str(found.payment_id),
        "amount": found.amount,
        "state": found.state,
        "refund_id": found.refund_id,
        "requested_at": found.requested_at,
    }


def dispute(found: Dispute) -> JSON:
    return {
        "dispute_id": found.dispute_id,
        "payment_id": str(found.payment_id),
        "state": found.state,
        "amount": found.amount,
        "currency": found.currency,
        "reason": found.reason,
        "deducted": found.deducted,
        "told_at": found.told_at,
    }


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
        "quoted_at": found.quoted_at,
        "expires_at": found.expires_at,
    }


def period(found: Period) -> JSON:
    return {
        "number": found.number,
        "from": found.starts_at,
        "until": found.ends_at,
        "payment_id": str(found.payment_id),
    }


def invoice(found: Invoice) -> JSON:
    return {
        "number": found.number,
        "kind": found.kind,
        "purchase_id": str(found.purchase_id),
        "customer_id": str(found.customer_id),
        "email": found.buyer["email"],
        "period": found.period,
        "corrects": found.corrects,
        "livemode": found.livemode,
        "net": found.net,
        "tax": found.tax,
        "total": found.total,
        "credited": found.credited,
        "due": found.due,
        "currency": found.currency,
        "status": found.state,
        "issued_at": found.issued_at,
        "due_at": found.due_at,
        "paid_at": found.paid_at,
        "payment_id": str(found.payment_id) if found.payment_id else None,
    }


def balances(found: Mapping[str, int]) -> list[JSON]:
    return [{"currency": currency, "balance": balance} for currency, balance in found.items()]


def credit(row: Any) -> JSON:
    return {
        "amount": row.amount,
        "currency": row.currency,
        "source": row.source,
        "reason": row.reason,
        "purchase_id": str(row.purchase_id) if row.purchase_id else None,
        "at": row.at,
    }


def whole_invoice(found: Invoice) -> JSON:
    taxes = [{"name": name, "tax": tax} for name, tax in taxes_in(found.lines).items()]
    return {**invoice(found), "seller": found.seller, "buyer": found.buyer, "lines": found.lines, "taxes": taxes}


def entitlement(found: Entitlement | None) -> JSON | None:
    if found is None:
        return None
    return {
        "version": found.version,
        "wanted": found.wanted,
        "reasons": found.reasons,
        "blueprint": found.blueprint,
        "limits": found.limits,
        "delete_after": found.delete_after,
        "changed_at": found.changed_at,
    }


def products(rows: Iterable[Any]) -> list[JSON]:
    """The price list: products, their plans, their prices, each in the catalogue's order."""
    found: dict[str, JSON] = {}
    for row in rows:
        product = found.setdefault(row.product, _product(row))
        plan = product["plans"].setdefault(row.plan, _plan(row))
        plan["prices"].append(_price(row))
    for product in found.values():
        product["plans"] = list(product["plans"].values())
    return list(found.values())


def _product(row: Any) -> JSON:
    names = {"id": row.product, "name": row.product_name, "description": row.description, "kind": row.kind}
    return {**names, "default": row.is_default, "plans": {}}


def _plan(row: Any) -> JSON:
    return {"id": row.plan, "key": row.key, "name": row.plan_name, "limits": row.limits, "prices": []}


def _price(row: Any) -> JSON:
    terms = {"amount": row.amount, "setup_fee": row.setup_fee, "trial_days": row.trial_days}
    return {"id": str(row.id), "cycle": row.cycle, "currency": row.currency, **terms}


def difference(found: Difference) -> JSON:
    sold = {"digest": found.sold.digest, "at": found.sold.at, "by": found.sold.by} if found.sold else None
    changes = [asdict(change) for change in found.comparison.changes]
    return {"sold": sold, "digest": found.digest, "changes": changes, "unchanged": found.comparison.unchanged}


def run(found: Run) -> JSON:
    ended = "failed" if found.error else "done"
    return {
        "id": str(found.id),
        "name": found.name,
        "status": ended if found.finished_at else "processing",
        "scheduled_for": found.scheduled_for,
        "started_by": found.started_by,
        "reason": found.reason,
        "dry_run": found.dry_run,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
        "error": found.error,
        **found.counts,
    }


def part(found: Done) -> JSON:
    return {"customer": found.customer, "status": found.state, "did": found.did, "error": found.error}


def page(items: Sequence[JSON], cursor: str | None) -> JSON:
    return {"items": items, "cursor": cursor}
