"""Razorpay's subscriptions behind the port: a plan and a subscription for each checkout, made when it is opened.

They have no idempotency key, so what an earlier call made is looked for by our key in its notes. A subscription runs
for a number of cycles: when they are over it is `completed`, and the next period is asked for by us.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.providers import (
    REFERENCE,
    CapturedPayment,
    CheckoutOrder,
    CheckoutRefs,
    Closing,
    CollectedStatus,
    FoundPayment,
    FoundSubscription,
    OpenedCheckout,
)
from keyturn.errors import GiveUp

Json = dict[str, Any]
OUR_KEY = "checkout"  # in the notes
LATELY = 100
# Of what it can do, what UPI and domestic cards are not registered "as presented" for is best; ten years of each.
CYCLES: Mapping[str, tuple[str, int, int]] = {
    "monthly": ("monthly", 1, 120),
    "quarterly": ("monthly", 3, 40),
    "yearly": ("yearly", 1, 10),
    "biennial": ("yearly", 2, 5),
    "triennial": ("yearly", 3, 3),
}
ENDED = frozenset({"cancelled", "completed", "expired"})
STATUSES: Mapping[str, CollectedStatus] = {
    "created": "active",
    "authenticated": "active",
    "active": "active",
    "pending": "past_due",
    "paused": "paused",
}


class RazorpaySubscriptions:
    """What `RazorpayProvider` does with them."""

    livemode: bool
    _key_id: str

    async def _call(self, call: Callable[[Any, Json], Any]) -> Json:
        raise NotImplementedError

    async def _open_subscription(self, order: CheckoutOrder) -> OpenedCheckout:
        made = await self._subscription_of(order) or await self._create_subscription(order)
        client = {"subscription_id": made["id"], "key_id": self._key_id}
        return OpenedCheckout(made["id"], None, client, None, {"subscription": made["id"]})

    async def _subscription_of(self, order: CheckoutOrder) -> Json | None:
        since = int((order.expires_at - timedelta(hours=24)).timestamp())
        skip, more = 0, True
        while more:
            page = await self._subscriptions({"from": since, "count": LATELY, "skip": skip})
            if found := next((one for one in page if _notes(one).get(OUR_KEY) == order.key), None):
                return found
            skip, more = skip + LATELY, len(page) == LATELY
        return None

    async def _subscriptions(self, asked: Json) -> list[Json]:
        return list((await self._call(lambda api, how: api.subscription.all(asked, **how)))["items"])

    async def _create_subscription(self, order: CheckoutOrder) -> Json:
        recurring = order.recurring
        if recurring is None or recurring.off:
            raise GiveUp("Razorpay takes nothing off what it collects by itself")
        period, interval, times = CYCLES[order.cycle]
        notes = {REFERENCE: order.reference, OUR_KEY: order.key}
        item = {"name": order.title, "amount": recurring.amount, "currency": order.currency}
        wanted = {"period": period, "interval": interval, "item": item, "notes": notes}
        plan = await self._call(lambda api, how: api.plan.create(wanted, **how))
        values: Json = {"plan_id": plan["id"], "total_count": times, "customer_notify": False, "notes": notes}
        if order.setup_fee:
            fee = {"name": f"{order.title}: set-up fee", "amount": order.setup_fee, "currency": order.currency}
            values["addons"] = [{"item": fee}]
        return await self._call(lambda api, how: api.subscription.create(values, **how))

    async def subscription_now(self, subscription_id: str) -> FoundSubscription:
        found = await self._call(lambda api, how: api.subscription.fetch(subscription_id, {}, **how))
        asked = {"subscription_id": subscription_id, "count": LATELY}
        invoices = (await self._call(lambda api, how: api.invoice.all(asked, **how)))["items"]
        paid = sorted((one for one in invoices if one["status"] == "paid"), key=lambda one: one["billing_start"])
        return FoundSubscription(
            status="ended" if found["status"] in ENDED else STATUSES.get(found["status"], "unpaid"),
            period_until=_moment(found.get("current_end")),
            cancel_at_period_end=None,
            payments=[self._paid(one, found) for one in paid],
            completed=found["status"] == "completed",
        )

    def _paid(self, invoice: Json, subscription: Json) -> CapturedPayment:
        ids = {"payment": "payment_id", "order": "order_id", "invoice": "id", "customer": "customer_id"}
        refs = {kind: invoice[name] for kind, name in ids.items() if invoice.get(name)}
        return CapturedPayment(
            payment_key=invoice["payment_id"],
            amount=int(invoice["amount_paid"]),
            currency=invoice["currency"],
            livemode=self.livemode,
            reference=_notes(subscription).get(REFERENCE),
            refs=refs | {"subscription": subscription["id"]},
            period_from=_moment(invoice.get("billing_start")),
            period_until=_moment(invoice.get("billing_end")),
        )

    async def end_subscription(self, subscription_id: str, *, at_period_end: bool) -> None:
        """What has ended, or is to end already, is refused."""
        values = {"cancel_at_cycle_end": at_period_end}
        try:
            await self._call(lambda api, how: api.subscription.cancel(subscription_id, values, **how))
        except GiveUp:
            found = await self._call(lambda api, how: api.subscription.fetch(subscription_id, {}, **how))
            if found["status"] not in ENDED:
                raise

    async def keep_subscription(self, subscription_id: str) -> bool:  # noqa: ARG002 - nothing can be taken back
        return False

    async def charge_next_at(self, subscription_id: str, moment: datetime) -> bool:  # noqa: ARG002 - nor moved
        return False

    async def _end_unpaid(self, checkout: CheckoutRefs) -> Closing:
        """One that nobody paid can be ended; whoever gave a mandate is about to be charged."""
        id_ = checkout.provider_id
        found = await self._call(lambda api, how: api.subscription.fetch(id_, {}, **how))
        if found["status"] == "created":
            await self.end_subscription(id_, at_period_end=False)
            return "closed"
        return "closed" if found["status"] in ENDED and not found.get("paid_count") else "paying"

    async def _find_collected(self, refs: Mapping[str, str], payment: Json | None) -> FoundPayment | None:
        """By the invoice of a payment, or by the subscription itself."""
        subscription_id = refs.get("subscription")
        if payment and payment.get("invoice_id"):
            invoice_id = payment["invoice_id"]
            invoice = await self._call(lambda api, how: api.invoice.fetch(invoice_id, {}, **how))
            subscription_id = invoice.get("subscription_id") or subscription_id
        if subscription_id is None:
            return None
        wanted = subscription_id
        found = await self._call(lambda api, how: api.subscription.fetch(wanted, {}, **how))
        reference = _notes(found).get(REFERENCE)
        known = {"subscription": wanted} | ({"payment": payment["id"]} if payment else {})
        return FoundPayment(reference, payment["id"] if payment else None, known) if reference else None


def _notes(thing: Json) -> Json:
    """Empty ones come as a list."""
    return thing["notes"] if isinstance(thing.get("notes"), dict) else {}


def _moment(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def is_subscription(provider_id: str) -> bool:
    return provider_id.startswith("sub_")
