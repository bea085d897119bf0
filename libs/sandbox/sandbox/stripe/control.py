"""What a test, the demo or a curious person makes the outside world do: pay, settle, refund, dispute, warn."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import Field

from sandbox.control import Asked
from sandbox.stripe import paying, renewing, returning, saving

if TYPE_CHECKING:
    from sandbox.stripe.sandbox import StripeSandbox


class PayAsked(Asked):
    outcome: paying.Outcome = "paid"
    amount: int | None = None
    card: str = saving.GOOD


class SavedAsked(Asked):
    card: str


class SettleAsked(Asked):
    succeeded: bool = True


class ForeignAsked(Asked):
    amount: int = 4900
    currency: str = "usd"


class RefundAsked(Asked):
    amount: int | None = None
    pending: bool = False


class DisputeAsked(Asked):
    amount: int | None = None
    inquiry: bool = False


class VerdictAsked(Asked):
    verdict: returning.Verdict


class CardAsked(Asked):
    card: renewing.Card


class EventAsked(Asked):
    type: str
    object: dict[str, Any]
    envelope: dict[str, Any] = Field(default_factory=dict)


def router(sandbox: "StripeSandbox") -> APIRouter:  # noqa: C901 - a list of routes
    routes, account = APIRouter(prefix="/_control/stripe"), sandbox.account

    @routes.post("/sessions/{session_id}/pay")
    async def pay(session_id: str, asked: PayAsked) -> dict[str, Any]:
        return sandbox.pay(session_id, asked.outcome, amount=asked.amount, card=asked.card)

    @routes.post("/sessions/{session_id}/card")
    async def give_card(session_id: str, asked: SavedAsked) -> dict[str, Any]:
        return sandbox.give_card(session_id, asked.card)

    @routes.post("/customers/{customer_id}/card")
    async def use_saved(customer_id: str, asked: SavedAsked) -> None:
        sandbox.use_saved(customer_id, asked.card)

    @routes.post("/sessions/{session_id}/settle")
    async def settle(session_id: str, asked: SettleAsked) -> dict[str, Any]:
        return sandbox.settle(session_id, succeeded=asked.succeeded)

    @routes.post("/foreign")
    async def foreign(asked: ForeignAsked) -> dict[str, Any]:
        return sandbox.pay_foreign(asked.amount, asked.currency)

    @routes.post("/subscriptions/{subscription_id}/card")
    async def card(subscription_id: str, asked: CardAsked) -> dict[str, Any]:
        return sandbox.use_card(subscription_id, asked.card)

    @routes.post("/subscriptions/{subscription_id}/cancel")
    async def cancel(subscription_id: str) -> dict[str, Any]:
        return sandbox.cancel(subscription_id)

    @routes.post("/subscriptions/{subscription_id}/pause")
    async def pause(subscription_id: str) -> dict[str, Any]:
        return sandbox.pause(subscription_id)

    @routes.post("/charges/{charge_id}/refund")
    async def refund(charge_id: str, asked: RefundAsked) -> dict[str, Any]:
        return sandbox.refund(charge_id, asked.amount, pending=asked.pending)

    @routes.post("/refunds/{refund_id}/fail")
    async def fail_refund(refund_id: str) -> dict[str, Any]:
        return sandbox.fail_refund(refund_id)

    @routes.post("/charges/{charge_id}/dispute")
    async def dispute(charge_id: str, asked: DisputeAsked) -> dict[str, Any]:
        return sandbox.dispute(charge_id, amount=asked.amount, inquiry=asked.inquiry)

    @routes.post("/disputes/{dispute_id}/close")
    async def close(dispute_id: str, asked: VerdictAsked) -> dict[str, Any]:
        return sandbox.close_dispute(dispute_id, asked.verdict)

    @routes.post("/charges/{charge_id}/warn")
    async def warn(charge_id: str) -> dict[str, Any]:
        return sandbox.warn(charge_id)

    @routes.post("/events")
    async def event(asked: EventAsked) -> dict[str, str]:
        return {"id": account.emit(asked.type, asked.object, **asked.envelope)}

    @routes.get("/books")
    async def books() -> list[dict[str, Any]]:
        return [vars(entry) for entry in sandbox.books()]

    return routes
