"""A payment provider in memory: it remembers what was opened, paid and refunded, and fails when told to."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Literal

from billing.providers import (
    CapturedPayment,
    CheckoutOrder,
    CheckoutRefs,
    Closing,
    FoundPayment,
    OpenedCheckout,
    PaymentRefs,
    RefundResult,
    ReturnProof,
)
from keyturn.errors import GiveUp
from keyturn.events import PaymentCaptured, derived_id

_numbers = count(1)


class FakeProvider:
    """Stripe or Razorpay by name; both work alike but for what a provider can close."""

    def __init__(self, name: Literal["stripe", "razorpay"], *, livemode: bool = False) -> None:
        self.name: Literal["stripe", "razorpay"] = name
        self.livemode = livemode
        self.opened: dict[str, OpenedCheckout] = {}  # by our key
        self.orders: dict[str, CheckoutOrder] = {}  # by the provider's id
        self.closed: set[str] = set()
        self.paid: dict[str, list[CapturedPayment]] = {}
        self.refunds: dict[str, RefundResult] = {}
        self.returned: Counter[str] = Counter()  # how much of a payment has gone back, by its key
        self.calls: list[str] = []
        self._failing: Exception | None = None
        self._losing: Exception | None = None

    @contextmanager
    def failing(self, error: Exception) -> Iterator[None]:
        self._failing = error
        try:
            yield
        finally:
            self._failing = None

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
        )

    async def open_checkout(self, order: CheckoutOrder) -> OpenedCheckout:
        self._called("open_checkout")
        if order.key not in self.opened:
            number = next(_numbers)
            provider_id = f"order_{number}" if self.name == "razorpay" else f"cs_{number}"
            client = {"order_id": provider_id, "key_id": "rzp_test"} if self.name == "razorpay" else {}
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
        for provider_id, payments in self.paid.items():
            for payment in payments:
                if set(refs.values()) & {*payment.refs.values(), payment.payment_key}:
                    reference = self.orders[provider_id].reference
                    return FoundPayment(reference, payment.payment_key, payment.refs)
        return None

    async def expire(self, checkout: CheckoutRefs) -> Closing:
        self._called("expire")
        if self.paid.get(checkout.provider_id):
            return "paying"
        if self.name == "razorpay":
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
        return RefundResult(f"re_{next(_numbers)}", amount, currency, "succeeded")

    def verify_return(self, checkout: CheckoutRefs, proof: ReturnProof) -> bool:
        if self.name == "razorpay":
            return proof.signature == f"signed:{checkout.provider_id}|{proof.payment_id}"
        return proof.session_id == checkout.provider_id

    async def close(self) -> None:
        pass

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if self._failing:
            raise self._failing

    def _answers(self) -> None:
        if self._losing:
            raise self._losing

    def _refs(self, provider_id: str, number: int) -> dict[str, str]:
        if self.name == "razorpay":
            return {"order": provider_id, "payment": f"pay_{number}"}
        return {"session": provider_id, "payment_intent": f"pi_{number}", "charge": f"ch_{number}"}
