"""A payment provider in memory: it remembers what was opened, paid and refunded, and fails when told to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Literal

from billing.providers import (
    CapturedPayment,
    CardOrder,
    ChargeResult,
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
    SavedMandate,
)
from billing.providers.failures import NotFound
from keyturn.clock import Clock, SystemClock
from keyturn.errors import GiveUp
from keyturn.events import PaymentCaptured, derived_id
from support.fake_mandates import FakeMandates
from support.fake_subscriptions import Collecting, FakeSubscriptions

_numbers = count(1)
PAGE = 2  # ids: so that there are several


class FakeProvider(FakeSubscriptions, FakeMandates):
    """Stripe or Razorpay by name; both work alike but for what a provider can close."""

    def __init__(
        self, name: Literal["stripe", "razorpay"], *, livemode: bool = False, clock: Clock | None = None
    ) -> None:
        self.name: Literal["stripe", "razorpay"] = name
        self.livemode = livemode
        self.clock = clock or SystemClock()
        self.opened: dict[str, OpenedCheckout] = {}  # by our key
        self.orders: dict[str, CheckoutOrder] = {}  # by the provider's id
        self.closed: set[str] = set()
        self.paid: dict[str, list[CapturedPayment]] = {}
        self.refunds: dict[str, RefundResult] = {}
        self.returned: Counter[str] = Counter()  # how much of a payment has gone back, by its key
        self.reversals: dict[str, FoundRefund | FoundDispute] = {}  # as they are now, by id
        self.made_at: dict[str, datetime] = {}
        self.collecting: dict[str, Collecting] = {}
        self.saves = False  # what customers pay with, where it is asked for
        self.pages: dict[str, CardOrder] = {}
        self.given: dict[str, SavedMandate] = {}
        self.declining: dict[str, str] = {}
        self.charges: dict[str, ChargeResult] = {}
        self.forgotten: list[str] = []
        self.calls: list[str] = []
        self.hold: asyncio.Event | None = None  # until then no refund is told of
        self._failing: Exception | None = None
        self._refusing: str | None = None
        self._losing: Exception | None = None

    @contextmanager
    def failing(self, error: Exception) -> Iterator[None]:
        self._failing = error
        try:
            yield
        finally:
            self._failing = None

    @contextmanager
    def refusing(self, call: str) -> Iterator[None]:
        self._refusing = call
        try:
            yield
        finally:
            self._refusing = None

    @contextmanager
    def losing(self, error: Exception | None) -> Iterator[None]:
        """What is asked for is done, and the answer lost."""
        self._losing = error
        try:
            yield
        finally:
            self._losing = None

    def left(self, payment_key: str) -> int:
        """What can still go back of a payment."""
        paid = (payment for payments in self.paid.values() for payment in payments)
        return sum(one.amount for one in paid if one.payment_key == payment_key) - self.returned[payment_key]

    def pay(
        self,
        provider_id: str,
        *,
        amount: int | None = None,
        currency: str | None = None,
        livemode: bool | None = None,
        with_reference: bool = True,
    ) -> CapturedPayment:
        """The customer pays; nobody is told."""
        order = self.orders[provider_id]
        number = next(_numbers)
        payment = CapturedPayment(
            payment_key=f"pay_{number}" if self.name == "razorpay" else provider_id,
            amount=order.amount if amount is None else amount,
            currency=currency or order.currency,
            livemode=self.livemode if livemode is None else livemode,
            reference=order.reference if with_reference else None,
            refs=self._refs(provider_id, number),
        )
        if order.recurring:
            payment = self.begin(provider_id, order, payment)
        if self.saves and order.save and not order.recurring and self.name == "stripe":
            self.given[f"pi_{number}"] = SavedMandate(f"cus_{number}", f"pm_{number}")
            payment = replace(payment, refs={**payment.refs, "customer": f"cus_{number}"})
        self.paid.setdefault(provider_id, []).append(payment)
        return payment

    def told(self, payment: CapturedPayment, effect: str = "captured") -> PaymentCaptured:
        """What the gateway publishes about it. Another `effect`: another notification of the same fact."""
        return PaymentCaptured(
            id=derived_id(self.name, payment.payment_key, effect),
            subject=f"{self.name}:{payment.payment_key}",
            time=datetime.now(UTC),
            provider=self.name,
            livemode=payment.livemode,
            reference=payment.reference,
            refs=dict(payment.refs),
            payment_key=payment.payment_key,
            amount=payment.amount,
            currency=payment.currency,
            period_from=payment.period_from,
            period_until=payment.period_until,
        )

    async def open_checkout(self, order: CheckoutOrder) -> OpenedCheckout:
        self._called("open_checkout")
        if order.key not in self.opened:
            number = next(_numbers)
            kind = "cs" if self.name == "stripe" else "sub" if order.recurring else "order"
            provider_id = f"{kind}_{number}"
            named = "subscription_id" if order.recurring else "order_id"
            client = {named: provider_id, "key_id": "rzp_test"} if self.name == "razorpay" else {}
            url = None if self.name == "razorpay" else f"https://pay.test/{provider_id}"
            self.opened[order.key] = OpenedCheckout(
                provider_id, url, client or {"session_id": provider_id}, order.expires_at
            )
            self.orders[provider_id] = order
        self._answers()
        return self.opened[order.key]

    async def captured(self, checkout: CheckoutRefs) -> list[CapturedPayment]:
        self._called("captured")
        return list(self.paid.get(checkout.provider_id, []))

    async def find(self, refs: Mapping[str, str]) -> FoundPayment | None:
        self._called("find")
        if collected := self._collected(refs):
            reference, payment = collected
            return FoundPayment(reference, payment.payment_key, payment.refs)
        for provider_id, payments in self.paid.items():
            for payment in payments:
                if set(refs.values()) & {*payment.refs.values(), payment.payment_key}:
                    order = self.orders.get(provider_id)  # what we charged has none
                    named = order.reference if order else payment.reference
                    return FoundPayment(named, payment.payment_key, payment.refs)
        return None

    async def expire(self, checkout: CheckoutRefs) -> Closing:
        self._called("expire")
        if self.paid.get(checkout.provider_id):
            return "paying"
        if self.name == "razorpay" and not self.orders[checkout.provider_id].recurring:
            return "payable"
        self.closed.add(checkout.provider_id)
        return "closed"

    async def refund(self, payment: PaymentRefs, amount: int | None, key: str) -> RefundResult:
        self._called("refund")
        if payment.payment_key == "refused":
            raise GiveUp("the provider refuses this refund")
        if key not in self.refunds:
            self.refunds[key] = self.give_back(payment.payment_key, amount or 0, payment.currency)
        self._answers()
        return self.refunds[key]

    def give_back(self, payment_key: str, amount: int, currency: str) -> RefundResult:
        """Never more than was paid, as any provider."""
        if amount > self.left(payment_key):
            raise GiveUp("more than is left of the payment")
        self.returned[payment_key] += amount
        made = RefundResult(f"re_{next(_numbers)}", amount, currency, "succeeded")
        self._keep(made.refund_id, FoundRefund(made.refund_id, amount, currency, "stands", self._ids(payment_key)))
        return made

    def send_back(self, refund_id: str) -> None:
        """The refund fails after all."""
        refund = self.reversals[refund_id]
        assert isinstance(refund, FoundRefund)
        self.reversals[refund_id] = replace(refund, status="failed")

    def dispute(self, payment: CapturedPayment, dispute_id: str | None = None) -> str:
        """The customer complains; nobody is told."""
        id_ = dispute_id or f"dp_{next(_numbers)}"
        refs = self._ids(payment.payment_key)
        self._keep(id_, FoundDispute(id_, "open", payment.amount, payment.currency, "fraudulent", 0, refs))
        return id_

    def decide(self, dispute_id: str, state: Literal["inquiry", "open", "won", "lost", "closed"]) -> None:
        dispute = self.reversals[dispute_id]
        assert isinstance(dispute, FoundDispute)
        deducted = dispute.amount if state == "lost" else 0
        self.reversals[dispute_id] = replace(dispute, state=state, deducted=deducted)

    async def made(self, kind: Reversal, since: datetime, until: datetime) -> AsyncIterator[list[str]]:
        self._called(f"made {kind}")
        of = FoundRefund if kind == "refund" else FoundDispute
        ids = [id_ for id_, one in self.reversals.items() if isinstance(one, of)]
        found = [id_ for id_ in reversed(ids) if since <= self.made_at[id_] <= until]
        for start in range(0, len(found), PAGE):
            yield found[start : start + PAGE]

    async def refund_now(self, refund_id: str) -> FoundRefund:
        self._called(f"refund_now {refund_id}")
        if self.hold:
            await self.hold.wait()
        found = self.reversals.get(refund_id)
        if found is None:
            raise NotFound(f"no refund {refund_id}")
        assert isinstance(found, FoundRefund)
        return found

    async def dispute_now(self, dispute_id: str) -> FoundDispute:
        self._called(f"dispute_now {dispute_id}")
        found = self.reversals.get(dispute_id)
        if found is None:
            raise NotFound(f"no dispute {dispute_id}")
        assert isinstance(found, FoundDispute)
        return found

    def _keep(self, id_: str, made: FoundRefund | FoundDispute) -> None:
        self.reversals[id_], self.made_at[id_] = made, self.clock.now()

    def _ids(self, payment_key: str) -> Mapping[str, str]:
        """By which a refund or dispute names its payment: never our reference, or the checkout."""
        paid = [one for payments in self.paid.values() for one in payments if one.payment_key == payment_key]
        refs = paid[0].refs if paid else {"payment_intent": payment_key}
        return {kind: value for kind, value in refs.items() if kind not in {"session", "order"}}

    def verify_return(self, checkout: CheckoutRefs, proof: ReturnProof) -> bool:
        if self.name == "razorpay":
            return proof.signature == f"signed:{checkout.provider_id}|{proof.payment_id}"
        return proof.session_id == checkout.provider_id

    async def close(self) -> None:
        pass

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if what == self._refusing:
            raise GiveUp(f"{what} is refused")
        if self._failing:
            raise self._failing

    def _answers(self) -> None:
        if self._losing:
            raise self._losing

    def _refs(self, provider_id: str, number: int) -> dict[str, str]:
        if self.name == "razorpay":
            kind = "subscription" if self.orders[provider_id].recurring else "order"
            return {kind: provider_id, "payment": f"pay_{number}"}
        return {"session": provider_id, "payment_intent": f"pi_{number}", "charge": f"ch_{number}"}
