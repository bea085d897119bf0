"""What customers save with Stripe, and what is charged to it while they are away."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import stripe

from billing.providers import (
    REFERENCE,
    CapturedPayment,
    CardOrder,
    ChargeOrder,
    ChargeResult,
    FoundPayment,
    OpenedCard,
    SavedMandate,
)
from billing.providers.failures import NotFound
from billing.providers.money import UNLIKE_ISO_AT_STRIPE, check_amount
from billing.providers.stripe_calls import Json, answered, failure, first, plain
from billing.providers.stripe_shapes import locale_of, moment
from billing.providers.stripe_subscriptions import StripeSubscriptions
from keyturn.events import uuid7

OUR_CHARGE = "charge"  # in an intent's metadata


class StripeMandates(StripeSubscriptions):
    """What `StripeProvider` does with them."""

    async def _once(
        self, key: str, create: Callable[[str], Awaitable[Json]], find: Callable[[], Awaitable[Json | None]]
    ) -> Json:
        raise NotImplementedError

    async def saved_mandate(self, refs: Mapping[str, str]) -> SavedMandate | None:
        """Of a payment, or of a page on which a card alone was given."""
        if "setup_intent" in refs or "payment_intent" not in refs:
            made = await self._setup_of(refs)
        else:
            asked = self._client.payment_intents.retrieve_async(refs["payment_intent"])
            made = await answered("payment intent", asked)
        if made is None or made["status"] != "succeeded" or not (made.get("customer") and made.get("payment_method")):
            return None
        kept = made["object"] == "setup_intent" or made.get("setup_future_usage") == "off_session"
        return SavedMandate(made["customer"], made["payment_method"]) if kept else None

    async def _setup_of(self, refs: Mapping[str, str]) -> Json | None:
        params = {"expand": ["setup_intent"]}
        session = await answered("session", self._client.checkout.sessions.retrieve_async(refs["session"], params))
        made: Json | None = session.get("setup_intent")
        return made

    async def charged(self, order: ChargeOrder) -> ChargeResult | None:
        try:
            intent = await self._made_of(order)
        except stripe.StripeError as error:
            raise failure("looking for a charge", error) from None
        return charge_result(intent, order) if intent else None

    async def _made_of(self, order: ChargeOrder) -> Json | None:
        listed = await self._client.payment_intents.list_async({"customer": order.customer_id, "limit": 100})
        return await first(listed.auto_paging_iter(), OUR_CHARGE, order.key)

    async def charge(self, order: ChargeOrder) -> ChargeResult:
        check_amount(order.amount, order.currency, refused=UNLIKE_ISO_AT_STRIPE)
        params = charge_params(order)

        async def create(key: str) -> Json:
            try:
                return plain(await self._client.payment_intents.create_async(params, {"idempotency_key": key}))
            except stripe.CardError as error:
                intent = _intent_in(error)
                if intent is None:
                    raise
                return intent
            except stripe.InvalidRequestError as error:
                if error.code == "resource_missing" or error.param in {"customer", "payment_method"}:
                    return {"id": None, "status": "refused"}
                raise

        return charge_result(await self._once(f"charge-{order.key}", create, lambda: self._made_of(order)), order)

    async def open_card_page(self, order: CardOrder) -> OpenedCard | None:
        """A page that takes no money. Each is another one; what is given on the last counts."""
        if order.subscription_id:
            order = replace(order, customer_id=await self._customer_of(order.subscription_id))
        params = card_params(order)
        try:
            made = await self._client.checkout.sessions.create_async(params, {"idempotency_key": f"card-{uuid7()}"})
        except stripe.StripeError as error:
            raise failure("opening a page for a card", error) from None
        return OpenedCard(made["id"], made["url"])

    async def forget_mandate(self, mandate: SavedMandate) -> None:
        """What is detached can never be attached or charged again. Stripe refuses to detach it twice."""
        try:
            await self._client.payment_methods.detach_async(mandate.method_id)
        except stripe.InvalidRequestError as error:
            if await self._is_attached(mandate.method_id):
                raise failure("detaching a payment method", error) from None
        except stripe.StripeError as error:
            raise failure("detaching a payment method", error) from None

    async def _is_attached(self, method_id: str) -> bool:
        try:
            found = await answered("payment method", self._client.payment_methods.retrieve_async(method_id))
        except NotFound:
            return False
        return bool(found.get("customer"))

    async def _find_charged(self, intent_id: str) -> FoundPayment | None:
        """Money that we took ourselves has no session."""
        intent = await answered("payment intent", self._client.payment_intents.retrieve_async(intent_id))
        about = intent.get("metadata") or {}
        if OUR_CHARGE not in about or REFERENCE not in about:
            return None
        return FoundPayment(about[REFERENCE], intent["id"], _refs(intent) | {"attempt": about[OUR_CHARGE]})


def charge_params(order: ChargeOrder) -> Any:
    return {
        "amount": order.amount,
        "currency": order.currency.lower(),
        "customer": order.customer_id,
        "payment_method": order.method_id,
        "off_session": True,
        "confirm": True,
        "description": order.title,
        "metadata": {REFERENCE: str(order.purchase_id), OUR_CHARGE: order.key},
    }


def card_params(order: CardOrder) -> Any:
    about = {REFERENCE: str(order.purchase_id)}
    whose = {"customer": order.customer_id} if order.customer_id else {"customer_email": order.email}
    return {
        "mode": "setup",
        "currency": order.currency.lower(),
        "client_reference_id": str(order.purchase_id),
        "metadata": about,
        "setup_intent_data": {"metadata": about},
        "success_url": order.return_url,
        "cancel_url": order.return_url,
        "expires_at": moment(order.expires_at),
        "locale": locale_of(order.locale),
    } | (whose if order.customer_id else whose | {"customer_creation": "always"})


def charge_result(intent: Json, order: ChargeOrder) -> ChargeResult:
    status = intent["status"]
    if status == "succeeded":
        return ChargeResult("paid", intent["id"], payment=_captured(intent, order))
    if status == "processing":
        return ChargeResult("pending", intent["id"])
    if status == "refused":
        return ChargeResult("failed", None, code="mandate_gone")
    error = intent.get("last_payment_error") or {}
    asks = "authentication_required" if status == "requires_action" else None
    return ChargeResult("failed", intent["id"], code=asks or error.get("decline_code") or error.get("code") or status)


def _captured(intent: Json, order: ChargeOrder) -> CapturedPayment:
    return CapturedPayment(
        payment_key=intent["id"],
        amount=intent["amount_received"],
        currency=intent["currency"].upper(),
        livemode=intent["livemode"],
        reference=str(order.purchase_id),
        refs=_refs(intent),
    )


def _refs(intent: Json) -> dict[str, str]:
    ids = {"payment_intent": intent["id"], "charge": intent.get("latest_charge"), "customer": intent.get("customer")}
    return {name: id_ for name, id_ in ids.items() if id_}


def _intent_in(error: stripe.CardError) -> Json | None:
    """A declined charge is an intent all the same."""
    body = error.json_body if isinstance(error.json_body, dict) else {}
    intent = (body.get("error") or {}).get("payment_intent")
    return dict(intent) if intent else None
