"""What was bought, by whom, and how that is paid."""

from typing import Any

from billing.checkout import Opening
from billing.coming import coming
from billing.domain import Checkout, Customer, Entitlement, Purchase
from billing.invoicing import first_charge
from billing.owing import first_bill
from billing.providers import OpenedCard
from billing.subscriptions import Renewal, Subscription
from billing.views.subscribed import subscription

JSON = dict[str, Any]


def opening(opened: Opening) -> JSON:
    """What the browser needs to pay, and nothing that must not reach it. The plan is the one that is paid, which after
    a change is not the one that was bought."""
    purchase, checkout = opened.purchase, opened.checkout
    due = opened.due or first_bill(purchase, paid=True)
    answer: JSON = {
        "purchase_id": str(purchase.id),
        "amount": due.amount,
        "setup_fee": due.setup_fee,
        "currency": purchase.currency,
        "product": purchase.product,
        "plan": opened.wares.plan,
        "plan_name": opened.wares.plan_name,
        "price": str(due.price_id or purchase.price_id),
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


def card(opened: OpenedCard) -> JSON:
    return dict(opened.client) | ({"url": opened.url} if opened.url else {})


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


OWN = (
    "status", "plan", "period_from", "period_until", "renews_at", "cancel_at_period_end", "resumes_at", "due",
    "charges_at", "suspends_at", "deletes_at", "collection",
)  # fmt: skip


def own(found: Purchase, subscribed: Subscription | None, renewal: Renewal | None) -> JSON:
    """A purchase as its customer sees it."""
    standing = subscription(subscribed, renewal) if subscribed else None
    if subscribed and standing:
        standing = {name: standing[name] for name in OWN} | coming(found, subscribed.number, subscribed.price).said
    return {
        "id": str(found.id),
        "product": found.product,
        "plan": found.plan,
        "cycle": found.cycle,
        "amount": found.amount,
        "currency": found.currency,
        "discount": found.discount,
        "coupon": found.coupon_code,
        "refunded": found.refunded,
        "status": found.state,
        "created_at": found.opened_at,
        "subscription": standing,
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
