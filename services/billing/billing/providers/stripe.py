"""Stripe behind the port: Checkout Sessions, for one payment each or for a subscription, and refunds.

Stripe keeps the first result of an idempotency key, a 500 included. So each create carries a key of ours; when its
result is unclear we look for the object by our key in its metadata; and only when Stripe repeats a kept 500 and there
is no such object, a next key is used.
"""

import hmac
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import stripe
from httpx import Timeout

from billing.providers import (
    REFERENCE,
    CapturedPayment,
    CheckoutOrder,
    CheckoutRefs,
    Closing,
    FoundDispute,
    FoundPayment,
    FoundRefund,
    OpenedCheckout,
    PaymentRefs,
    RefundResult,
    ReturnProof,
    Reversal,
)
from billing.providers.failures import NotFound, PriceRefused
from billing.providers.money import UNLIKE_ISO_AT_STRIPE, check_amount
from billing.providers.stripe_calls import Json, answered, failure, first, kept_500, plain, surely_not_made
from billing.providers.stripe_mandates import StripeMandates
from billing.providers.stripe_shapes import (
    captured_in,
    found_dispute,
    found_refund,
    moment,
    opened,
    refund_result,
    session_params,
    setup_params,
)
from keyturn.errors import GiveUp

API_VERSION = "2026-10-28.endive"
CONNECT_SECONDS = 3.0
KEYS_TRIED = 3
OUR_KEY = "checkout"  # in a session's metadata; `refund` in a refund's


class StripeProvider(StripeMandates):
    """Through the official SDK, asynchronously, with a time-out that a waiting customer can bear."""

    name: Literal["stripe"] = "stripe"

    def __init__(
        self, secret_key: str, *, api_base: str = "https://api.stripe.com", timeout: float = 8.0, retries: int = 1
    ) -> None:
        stripe.enable_telemetry = False
        os.environ.setdefault("STRIPE_SUPPRESS_NOTICES", "true")  # the SDK would print them
        logging.getLogger("stripe").setLevel(logging.WARNING)  # below that it logs customers' data
        self.livemode = secret_key.startswith(("sk_live_", "rk_live_"))
        self._http = stripe.HTTPXClient(timeout=Timeout(timeout, connect=CONNECT_SECONDS), allow_sync_methods=False)
        self._client = stripe.StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base},
            max_network_retries=retries,
            http_client=self._http,
        ).v1

    async def open_checkout(self, order: CheckoutOrder) -> OpenedCheckout:
        if not order.card_alone:
            check_amount(order.amount, order.currency, refused=UNLIKE_ISO_AT_STRIPE)
        params = setup_params(order) if order.card_alone else session_params(order, await self._coupon_for(order))

        async def create(key: str) -> Json:
            sessions = self._client.checkout.sessions
            try:
                return plain(await sessions.create_async(params, {"idempotency_key": key}))
            except stripe.InvalidRequestError as error:
                if order.prepared and (error.param or "").startswith(("line_items", "mode")):
                    raise PriceRefused(order.prepared, str(error.user_message or error.code)) from None
                raise

        async def find() -> Json | None:
            since = moment(order.expires_at - timedelta(hours=24, minutes=5))
            listed = await self._client.checkout.sessions.list_async({"created": {"gte": since}, "limit": 100})
            return await first(listed.auto_paging_iter(), OUR_KEY, order.key)

        session = await self._once(f"checkout-{order.key}", create, find)
        if order.prepared and not order.card_alone:
            await self._check_prepared(order.prepared, session, order)
        return opened(session)

    async def _check_prepared(self, price: str, session: Json, order: CheckoutOrder) -> None:
        """A price of another amount than the catalogue's would be paid, and then fit no purchase."""
        comes_to = session["amount_total"], session["currency"].upper()
        told = "with it {} {} are due, not {} {} (minor units)".format(*comes_to, order.amount, order.currency)
        if comes_to == (order.amount, order.currency):
            if not order.recurring or await self._recurs_as(price, order.cycle):
                return
            told = f"it is not {order.cycle}"
        await self.expire(CheckoutRefs(order.purchase_id, order.attempt, session["id"]))
        raise PriceRefused(price, told)

    async def captured(self, checkout: CheckoutRefs) -> list[CapturedPayment]:
        session = await self._session(checkout.provider_id)
        payment = captured_in(session)
        return [payment] if payment else []

    async def find(self, refs: Mapping[str, str]) -> FoundPayment | None:
        try:
            session = await self._found_session(refs)
            if session is None:
                return await self._find_collected(refs)
        except NotFound:
            return None
        reference = (session.get("metadata") or {}).get(REFERENCE)
        if reference is None:
            return None
        payment = captured_in(session)
        known = payment.refs if payment else {"session": session["id"]}
        return FoundPayment(reference, payment.payment_key if payment else None, known)

    async def _found_session(self, refs: Mapping[str, str]) -> Json | None:
        if "session" in refs:
            return await self._session(refs["session"])
        intent = await self._intent_in(refs)
        if intent is None:
            return None
        asked = self._client.checkout.sessions.list_async({"payment_intent": intent, "limit": 1})
        found = (await answered("sessions of an intent", asked))["data"]
        return await self._session(found[0]["id"]) if found else None

    async def _intent_in(self, refs: Mapping[str, str]) -> str | None:
        intent = refs.get("payment_intent")
        if intent is None and "charge" in refs:
            charge = await answered("charge", self._client.charges.retrieve_async(refs["charge"]))
            intent = charge.get("payment_intent")
        return intent

    async def _session(self, session_id: str) -> Json:
        sessions = self._client.checkout.sessions
        return await answered("session", sessions.retrieve_async(session_id, {"expand": ["payment_intent"]}))

    async def expire(self, checkout: CheckoutRefs) -> Closing:
        try:
            await self._client.checkout.sessions.expire_async(checkout.provider_id)
        except stripe.InvalidRequestError:  # no longer open: paid, being paid, or expired before
            session = await self._session(checkout.provider_id)
            return "paying" if session["status"] == "complete" else "closed"
        except stripe.StripeError as error:
            raise failure("expiring a session", error) from None
        return "closed"

    async def refund(self, payment: PaymentRefs, amount: int | None, key: str) -> RefundResult:
        intent = payment.refs.get("payment_intent") or await self._intent_of(payment)
        params: Any = {"payment_intent": intent, "metadata": {"refund": key}}
        if amount is not None:
            params["amount"] = amount

        async def create(idempotency_key: str) -> Json:
            return plain(await self._client.refunds.create_async(params, {"idempotency_key": idempotency_key}))

        async def find() -> Json | None:
            listed = await self._client.refunds.list_async({"payment_intent": intent, "limit": 100})
            return await first(listed.auto_paging_iter(), "refund", key)

        return refund_result(await self._once(f"refund-{key}", create, find))

    async def _intent_of(self, payment: PaymentRefs) -> str:
        if invoice := payment.refs.get("invoice"):
            found = await self._intent_of_invoice(invoice)
        else:
            session = await self._session(payment.refs.get("session", payment.payment_key))
            found = (session["payment_intent"] or {}).get("id")
        if found is None:
            raise GiveUp("Stripe: this payment has no payment intent that could be refunded")
        return str(found)

    async def made(self, kind: Reversal, since: datetime, until: datetime) -> AsyncIterator[list[str]]:
        lists: Any = {"refund": self._client.refunds, "dispute": self._client.disputes}[kind]
        params = {"created": {"gte": moment(since), "lte": moment(until)}, "limit": 100}
        more = True
        while more:
            page = await answered(f"list of {kind}s", lists.list_async(params))
            yield [one["id"] for one in page["data"]]
            more = page["has_more"]
            params |= {"starting_after": page["data"][-1]["id"]} if more else {}

    async def refund_now(self, refund_id: str) -> FoundRefund:
        return found_refund(await answered("refund", self._client.refunds.retrieve_async(refund_id)))

    async def dispute_now(self, dispute_id: str) -> FoundDispute:
        return found_dispute(await answered("dispute", self._client.disputes.retrieve_async(dispute_id)))

    async def _once(
        self, key: str, create: Callable[[str], Awaitable[Json]], find: Callable[[], Awaitable[Json | None]]
    ) -> Json:
        """One object for one key, however often this is called and whatever became of earlier calls."""
        last: stripe.StripeError | None = None
        for number in range(1, KEYS_TRIED + 1):
            try:
                return await create(key if number == 1 else f"{key}-{number}")
            except stripe.StripeError as error:
                last = error
                if surely_not_made(error):
                    break
                if (found := await self._looked_up(find)) is not None:
                    return found
                if not kept_500(error):
                    break
        assert last is not None
        raise failure("creating", last) from None

    async def _looked_up(self, find: Callable[[], Awaitable[Json | None]]) -> Json | None:
        try:
            return await find()
        except stripe.StripeError as error:
            raise failure("looking for what was created", error) from None

    def verify_return(self, checkout: CheckoutRefs, proof: ReturnProof) -> bool:
        return hmac.compare_digest((proof.session_id or "").encode(), checkout.provider_id.encode())

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]
