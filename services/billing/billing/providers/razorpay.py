"""Razorpay behind the port: an order or a subscription a checkout, and refunds.

The official SDK is synchronous, so each call runs in a thread. Orders have no idempotency key: the receipt, which is
our key, is looked up before another order is made. Refunds have one.
"""

import asyncio
import hashlib
import hmac
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, Literal

import razorpay

from billing.providers import (
    REFERENCE,
    CapturedPayment,
    CardOrder,
    ChargeOrder,
    ChargeResult,
    CheckoutOrder,
    CheckoutRefs,
    Closing,
    FoundDispute,
    FoundPayment,
    FoundRefund,
    OpenedCard,
    OpenedCheckout,
    PaymentRefs,
    RefundResult,
    ReturnProof,
    Reversal,
    SavedMandate,
)
from billing.providers.failures import NotFound
from billing.providers.money import check_amount
from billing.providers.razorpay_session import RazorpaySession
from billing.providers.razorpay_subscriptions import RazorpaySubscriptions, is_subscription
from keyturn.errors import GiveUp

Json = dict[str, Any]
CONNECT_SECONDS = 3.0
PAGE = 100
INQUIRIES = frozenset({"fraud", "retrieval"})  # phases in which the issuer only asks
# Captured by Razorpay within minutes of being authorised; what is not captured goes back after five days.
CAPTURE = {
    "capture": "automatic",
    "capture_options": {"automatic_expiry_period": 12, "manual_expiry_period": 7200, "refund_speed": "normal"},
}


class RazorpayProvider(RazorpaySubscriptions):
    """Through the official SDK, without its retries: those would make a second order."""

    name: Literal["razorpay"] = "razorpay"

    def __init__(
        self, key_id: str, key_secret: str, *, api_base: str = "https://api.razorpay.com", timeout: float = 8.0
    ) -> None:
        self.livemode = key_id.startswith("rzp_live_")
        self._key_id = key_id
        self._key_secret = key_secret
        self._api_base = api_base.rstrip("/")
        self._timeout = (CONNECT_SECONDS, timeout)
        self._threads = threading.local()  # requests' sessions are not made for several threads
        self._sessions: list[RazorpaySession] = []

    async def open_checkout(self, order: CheckoutOrder) -> OpenedCheckout:
        check_amount(order.amount, order.currency)
        if order.recurring:
            return await self._open_subscription(order)
        made = await self._order_of(order.key) or await self._create(order)
        client = {"order_id": made["id"], "key_id": self._key_id}
        return OpenedCheckout(made["id"], None, client, None, {"order": made["id"]})

    async def _order_of(self, receipt: str) -> Json | None:
        found = await self._call(lambda api, how: api.order.all({"receipt": receipt}, **how))
        orders: list[Json] = [one for one in found["items"] if one["receipt"] == receipt]
        return min(orders, key=lambda one: (one["created_at"], one["id"]), default=None)

    async def _create(self, order: CheckoutOrder) -> Json:
        values = {
            "amount": order.amount,
            "currency": order.currency,
            "receipt": order.key,
            "notes": {REFERENCE: order.reference},
            "partial_payment": False,
            "payment": CAPTURE,
        }
        return await self._call(lambda api, how: api.order.create(values, **how))

    async def captured(self, checkout: CheckoutRefs) -> list[CapturedPayment]:
        id_ = checkout.provider_id
        if is_subscription(id_):
            return list((await self.subscription_now(id_)).payments[:1])  # whatever follows is no checkout's
        found = await self._call(lambda api, how: api.order.payments(id_, {}, **how))
        reference = str(checkout.purchase_id)
        return [self._captured(one, reference) for one in found["items"] if _is_captured(one)]

    def _captured(self, payment: Json, reference: str) -> CapturedPayment:
        refs = {"payment": payment["id"], "order": payment["order_id"]}
        return CapturedPayment(
            payment["id"], int(payment["amount"]), payment["currency"], self.livemode, reference, refs
        )

    async def find(self, refs: Mapping[str, str]) -> FoundPayment | None:
        try:
            return await self._find(refs)
        except NotFound:
            return None

    async def _find(self, refs: Mapping[str, str]) -> FoundPayment | None:
        payment_id, order_id, payment = refs.get("payment"), refs.get("order"), None
        if payment_id is not None and (order_id is None or "invoice" in refs):
            payment = await self._call(lambda api, how: api.payment.fetch(payment_id, {}, **how))
            order_id = payment["order_id"]
        if found := await self._find_collected(refs, payment):
            return found
        if order_id is None:
            return None
        order = await self._call(lambda api, how: api.order.fetch(order_id, {}, **how))
        notes = order["notes"] if isinstance(order["notes"], dict) else {}  # empty ones come as a list
        reference = notes.get(REFERENCE)
        known = {"order": order_id} | ({"payment": payment_id} if payment_id else {})
        return FoundPayment(reference, payment_id, known) if reference else None

    async def expire(self, checkout: CheckoutRefs) -> Closing:
        """Razorpay closes no orders: one that is not paid can be paid for ever."""
        id_ = checkout.provider_id
        if is_subscription(id_):
            return await self._end_unpaid(checkout)
        order = await self._call(lambda api, how: api.order.fetch(id_, {}, **how))
        return "paying" if order["status"] == "paid" else "payable"

    async def refund(self, payment: PaymentRefs, amount: int | None, key: str) -> RefundResult:
        id_ = payment.payment_key
        values: Json = {"speed": "normal", "receipt": key[:40], "notes": {"refund": key}}
        if amount is not None:
            values["amount"] = amount
        headers = {"X-Refund-Idempotency": key}
        made = await self._call(lambda api, how: api.payment.refund(id_, values, headers=headers, **how))
        status: Literal["pending", "succeeded", "failed"] = "pending"
        if made["status"] in {"processed", "failed"}:
            status = "succeeded" if made["status"] == "processed" else "failed"
        return RefundResult(made["id"], int(made["amount"]), made["currency"], status)

    async def made(self, kind: Reversal, since: datetime, until: datetime) -> AsyncIterator[list[str]]:
        """Newest first, counted from the newest: what is made meanwhile moves the rest on, and some come twice. That
        the list of disputes takes a time is not documented, so its answer is looked through."""
        first, last, skip = int(since.timestamp()), int(until.timestamp()), 0
        more = True
        while more:
            page = await self._page(kind, {"from": first, "to": last, "count": PAGE, "skip": skip})
            yield [one["id"] for one in page if first <= one["created_at"] <= last]
            more = len(page) == PAGE and page[-1]["created_at"] >= first
            skip += PAGE

    async def _page(self, kind: Reversal, asked: Json) -> list[Json]:
        found = await self._call(lambda api, how: getattr(api, kind).all(asked, **how))
        return list(found["items"])

    async def refund_now(self, refund_id: str) -> FoundRefund:
        found = await self._call(lambda api, how: api.refund.fetch(refund_id, {}, **how))
        status: Literal["stands", "failed"] = "failed" if found["status"] == "failed" else "stands"
        refs = {"refund": refund_id, "payment": found["payment_id"]}
        return FoundRefund(refund_id, int(found["amount"]), found["currency"], status, refs)

    async def dispute_now(self, dispute_id: str) -> FoundDispute:
        found = await self._call(lambda api, how: api.dispute.fetch(dispute_id, {}, **how))
        state = _dispute_state(found)
        amount, deducted = int(found["amount"]), found.get("amount_deducted")
        if deducted is None:
            deducted = amount if state == "lost" else 0
        refs = {"dispute": dispute_id, "payment": found["payment_id"]}
        reason = found.get("reason_code")
        return FoundDispute(dispute_id, state, amount, found["currency"], reason, int(deducted), refs)

    async def saved_mandate(self, refs: Mapping[str, str]) -> SavedMandate | None:  # noqa: ARG002 - the port's shape
        """Above the limit of what runs unattended its customers have to confirm each debit: they pay by link."""
        return None

    async def charge(self, order: ChargeOrder) -> ChargeResult:
        raise GiveUp(f"Razorpay keeps no mandate to charge {order.key} to")

    async def charged(self, order: ChargeOrder) -> ChargeResult | None:  # noqa: ARG002 - the port's shape
        return None

    async def use_card(self, subscription_id: str, saved: SavedMandate) -> None:  # noqa: ARG002 - the port's shape
        """Its own window does that."""
        raise GiveUp(f"Razorpay takes no card for {subscription_id} from us")

    async def open_card_page(self, order: CardOrder) -> OpenedCard | None:
        """Of what it collects: in its window, which charges what is overdue at once."""
        if order.subscription_id is None:
            return None
        client = {"subscription_id": order.subscription_id, "key_id": self._key_id, "subscription_card_change": True}
        return OpenedCard(client=client)

    async def forget_mandate(self, mandate: SavedMandate) -> None:
        """There is none."""

    def verify_return(self, checkout: CheckoutRefs, proof: ReturnProof) -> bool:
        if not proof.payment_id or not proof.signature:
            return False
        ids = [checkout.provider_id, proof.payment_id]
        signed = "|".join(reversed(ids) if is_subscription(checkout.provider_id) else ids).encode()
        expected = hmac.new(self._key_secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), proof.signature.encode())

    async def _call(self, call: Callable[[Any, Json], Any]) -> Json:
        """In a thread, with a time-out. A cancelled caller leaves the thread to end by that."""

        def run() -> Json:
            return dict(call(self._api(), {"timeout": self._timeout}))

        return await asyncio.to_thread(run)

    def _api(self) -> Any:
        if not hasattr(self._threads, "api"):
            session = RazorpaySession()
            self._sessions.append(session)
            auth = (self._key_id, self._key_secret)
            self._threads.api = razorpay.Client(session=session, auth=auth, base_url=self._api_base)
        return self._threads.api

    async def close(self) -> None:
        for session in self._sessions:
            session.close()


def _is_captured(payment: Json) -> bool:
    """`captured` has been seen as true and as "1"; a refunded payment was captured, unless it went back by itself."""
    return payment["status"] in {"captured", "refunded"} and payment["captured"] in {True, "1"}


def _dispute_state(dispute: Json) -> Literal["inquiry", "open", "won", "lost", "closed"]:
    """`closed` is what follows `won` or `lost`, or the end of an inquiry: what was deducted tells which."""
    status = dispute["status"]
    if status == "lost" or (status == "closed" and dispute.get("amount_deducted")):
        return "lost"
    if status in {"won", "closed"}:
        return "won" if status == "won" else "closed"
    return "inquiry" if dispute.get("phase") in INQUIRIES else "open"
