"""Stripe's subscriptions behind the port: what it collects by itself, and how that is made to fit ours."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import stripe

from billing.calendar import MONTHS
from billing.providers import (
    REFERENCE,
    CapturedPayment,
    CheckoutOrder,
    CollectedStatus,
    FoundPayment,
    FoundSubscription,
    SavedMandate,
)
from billing.providers.failures import NotFound
from billing.providers.stripe_calls import Json, answered, failure

ENDED = frozenset({"canceled", "incomplete_expired"})
STATUSES: Mapping[str, CollectedStatus] = {
    "trialing": "active",  # the way in which a day of payment is moved
    "active": "active",
    "past_due": "past_due",
    "paused": "paused",
}
LATELY = 100  # invoices


class StripeSubscriptions:
    """What `StripeProvider` does with them."""

    _client: Any

    async def _intent_in(self, refs: Mapping[str, str]) -> str | None:
        raise NotImplementedError

    async def subscription_now(self, subscription_id: str) -> FoundSubscription:
        found = await answered("subscription", self._client.subscriptions.retrieve_async(subscription_id))
        params = {"subscription": subscription_id, "status": "paid", "limit": LATELY, "expand": ["data.payments"]}
        invoices = await answered("list of invoices", self._client.invoices.list_async(params))
        return found_subscription(found, invoices["data"])

    async def end_subscription(self, subscription_id: str, *, at_period_end: bool) -> None:
        if at_period_end:
            await self._update(subscription_id, {"cancel_at_period_end": True})
            return
        try:
            asked = self._client.subscriptions.cancel_async(subscription_id, {"invoice_now": False, "prorate": False})
            await answered("cancelled subscription", asked)
        except NotFound:  # which is what one that has ended is answered with
            return

    async def keep_subscription(self, subscription_id: str) -> bool:
        """Whoever cancels in Stripe's portal sets a moment instead of the flag."""
        found = await answered("subscription", self._client.subscriptions.retrieve_async(subscription_id))
        flagged = found.get("cancel_at_period_end")
        await self._update(subscription_id, {"cancel_at_period_end": False} if flagged else {"cancel_at": ""})
        return True

    async def charge_next_at(self, subscription_id: str, moment: datetime) -> bool:
        """A trial up to then: Stripe's only way to another day that costs nothing and is no day of this month's."""
        moved = {"trial_end": int(moment.timestamp()), "proration_behavior": "none"}
        await self._update(subscription_id, moved)
        return True

    async def use_card(self, subscription_id: str, saved: SavedMandate) -> None:
        await self._update(subscription_id, {"default_payment_method": saved.method_id})
        asked = self._client.invoices.list_async({"subscription": subscription_id, "status": "open", "limit": LATELY})
        for invoice in (await answered("list of invoices", asked))["data"]:
            try:
                await self._client.invoices.pay_async(invoice["id"], {"payment_method": saved.method_id})
            except (stripe.CardError, stripe.InvalidRequestError):
                continue  # declined; or paid or void meanwhile
            except stripe.StripeError as error:
                raise failure("paying an invoice", error) from None

    async def _customer_of(self, subscription_id: str) -> str:
        found = await answered("subscription", self._client.subscriptions.retrieve_async(subscription_id))
        return str(found["customer"])

    async def _update(self, subscription_id: str, values: Any) -> None:
        await answered("changed subscription", self._client.subscriptions.update_async(subscription_id, values))

    async def _coupon_for(self, order: CheckoutOrder) -> str | None:
        """Of the amount that our own coupon takes off, so that nobody rounds it otherwise. Its id is ours: one that is
        there already is the same."""
        if order.recurring is None or not order.recurring.off:
            return None
        params = coupon_params(order)
        try:
            await self._client.coupons.create_async(params, {"idempotency_key": params["id"]})
        except stripe.InvalidRequestError as error:
            if error.code != "resource_already_exists":
                raise failure("creating a coupon", error) from None
        except stripe.StripeError as error:
            raise failure("creating a coupon", error) from None
        return str(params["id"])

    async def _recurs_as(self, price_id: str, cycle: str) -> bool:
        recurring = (await answered("price", self._client.prices.retrieve_async(price_id))).get("recurring") or {}
        months = {"month": 1, "year": 12}.get(str(recurring.get("interval")), 0) * recurring.get("interval_count", 0)
        return bool(months == MONTHS[cycle])

    async def _find_collected(self, refs: Mapping[str, str]) -> FoundPayment | None:
        """By the invoice that the ids belong to, or by the subscription."""
        invoice_id = refs.get("invoice") or await self._invoice_of(await self._intent_in(refs))
        if invoice_id:
            asked = self._client.invoices.retrieve_async(invoice_id, {"expand": ["payments"]})
            invoice = await answered("invoice", asked)
            details = (invoice.get("parent") or {}).get("subscription_details") or {}
            reference = (details.get("metadata") or {}).get(REFERENCE)
            return FoundPayment(reference, invoice_id, _refs(invoice)) if reference else None
        if subscription_id := refs.get("subscription"):
            found = await answered("subscription", self._client.subscriptions.retrieve_async(subscription_id))
            reference = (found.get("metadata") or {}).get(REFERENCE)
            return FoundPayment(reference, None, {"subscription": subscription_id}) if reference else None
        intent = await self._intent_in(refs)
        return await self._find_charged(intent) if intent else None

    async def _find_charged(self, intent_id: str) -> FoundPayment | None:
        raise NotImplementedError

    async def _invoice_of(self, intent: str | None) -> str | None:
        if intent is None:
            return None
        asked = {"payment": {"type": "payment_intent", "payment_intent": intent}, "limit": 1}
        found = await answered("payment of an invoice", self._client.invoice_payments.list_async(asked))
        return str(found["data"][0]["invoice"]) if found["data"] else None

    async def _intent_of_invoice(self, invoice_id: str) -> str | None:
        asked = {"invoice": invoice_id, "status": "paid", "limit": 1}
        found = await answered("payment of an invoice", self._client.invoice_payments.list_async(asked))
        return _intent(found["data"])


def coupon_params(order: CheckoutOrder) -> Json:
    recurring = order.recurring
    assert recurring
    duration: Json = {"duration": "forever"}
    if recurring.periods == 1:
        duration = {"duration": "once"}
    elif recurring.periods:
        months = recurring.periods * MONTHS[order.cycle]
        duration = {"duration": "repeating", "duration_in_months": months}
    return {
        "id": f"keyturn-{order.key}",
        "amount_off": recurring.off,
        "currency": order.currency.lower(),
        "max_redemptions": 1,
        "name": (recurring.coupon or "Discount")[:40],
        "metadata": {REFERENCE: order.reference},
        **duration,
    }


def found_subscription(found: Json, invoices: Iterable[Json]) -> FoundSubscription:
    """`invoices`: newest first, as Stripe lists them."""
    status, ends = found["status"], [item["current_period_end"] for item in found["items"]["data"]]
    return FoundSubscription(
        status="ended" if status in ENDED else STATUSES.get(status, "unpaid"),
        period_until=datetime.fromtimestamp(max(ends), UTC) if ends else None,
        cancel_at_period_end=bool(found.get("cancel_at_period_end") or found.get("cancel_at")),
        payments=[_captured(one) for one in reversed(list(invoices)) if _opens_a_period(one)],
    )


def _opens_a_period(invoice: Json) -> bool:
    """A moved day of payment brings an invoice of zero."""
    return bool(invoice["amount_paid"]) or invoice.get("billing_reason") != "subscription_update"


def _captured(invoice: Json) -> CapturedPayment:
    lasting = [line["period"] for line in invoice["lines"]["data"] if line["period"]["start"] < line["period"]["end"]]
    span = max(lasting, key=lambda one: one["end"] - one["start"], default=None)
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    return CapturedPayment(
        payment_key=invoice["id"],
        amount=invoice["amount_paid"],
        currency=invoice["currency"].upper(),
        livemode=invoice["livemode"],
        reference=(details.get("metadata") or {}).get(REFERENCE),
        refs=_refs(invoice),
        period_from=datetime.fromtimestamp(span["start"], UTC) if span else None,
        period_until=datetime.fromtimestamp(span["end"], UTC) if span else None,
    )


def _refs(invoice: Json) -> dict[str, str]:
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    ids = {
        "invoice": invoice["id"],
        "subscription": details.get("subscription"),
        "customer": invoice.get("customer"),
        "payment_intent": _intent((invoice.get("payments") or {}).get("data") or ()),
    }
    return {name: id_ for name, id_ in ids.items() if id_}


def _intent(payments: Iterable[Json]) -> str | None:
    intents = [(one.get("payment") or {}).get("payment_intent") for one in payments]
    return next((str(one) for one in intents if one), None)
