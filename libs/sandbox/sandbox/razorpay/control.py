"""What a test, the demo or a curious person makes the outside world do: pay, answer late, refund, dispute."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import Field

from sandbox.control import Asked
from sandbox.razorpay import paying, returning, subscribing
from sandbox.razorpay.account import Quirk

if TYPE_CHECKING:
    from sandbox.razorpay.sandbox import RazorpaySandbox


class PayAsked(Asked):
    outcome: paying.Outcome = "paid"
    notes: dict[str, str] = Field(default_factory=dict)


class ForeignAsked(Asked):
    amount: int = 49900
    currency: str = "INR"


class RefundAsked(Asked):
    amount: int | None = None
    pending: bool = False


class DisputeAsked(Asked):
    amount: int | None = None
    phase: str = "chargeback"


class CardAsked(Asked):
    card: subscribing.Card


class VerdictAsked(Asked):
    verdict: returning.Verdict


def router(sandbox: "RazorpaySandbox") -> APIRouter:  # noqa: C901 - a list of routes
    routes = APIRouter(prefix="/_control/razorpay")

    @routes.post("/orders/{order_id}/pay")
    async def pay(order_id: str, asked: PayAsked) -> dict[str, Any]:
        """The payment, and what the browser would bring back to the shop."""
        payment = sandbox.pay(order_id, asked.outcome, notes=asked.notes)
        return {"payment": payment, "return": sandbox.proof(payment["id"])}

    @routes.post("/subscriptions/{subscription_id}/card")
    async def card(subscription_id: str, asked: CardAsked) -> dict[str, Any]:
        return sandbox.use_card(subscription_id, asked.card)

    @routes.post("/payments/{payment_id}/authorise")
    async def authorise(payment_id: str) -> dict[str, Any]:
        return sandbox.authorise_late(payment_id)

    @routes.post("/foreign")
    async def foreign(asked: ForeignAsked) -> dict[str, Any]:
        return sandbox.pay_foreign(asked.amount, asked.currency)

    @routes.post("/payments/{payment_id}/refund")
    async def refund(payment_id: str, asked: RefundAsked) -> dict[str, Any]:
        return sandbox.refund(payment_id, asked.amount, pending=asked.pending)

    @routes.post("/refunds/{refund_id}/fail")
    async def fail_refund(refund_id: str) -> dict[str, Any]:
        return sandbox.fail_refund(refund_id)

    @routes.post("/payments/{payment_id}/dispute")
    async def dispute(payment_id: str, asked: DisputeAsked) -> dict[str, Any]:
        return sandbox.dispute(payment_id, amount=asked.amount, phase=asked.phase)

    @routes.post("/disputes/{dispute_id}/close")
    async def close(dispute_id: str, asked: VerdictAsked) -> dict[str, Any]:
        return sandbox.close_dispute(dispute_id, asked.verdict)

    @routes.put("/quirks")
    async def quirks(asked: list[Quirk]) -> list[Quirk]:
        sandbox.account.quirks = set(asked)
        return asked

    @routes.get("/books")
    async def books() -> list[dict[str, Any]]:
        return [vars(entry) for entry in sandbox.books()]

    return routes
