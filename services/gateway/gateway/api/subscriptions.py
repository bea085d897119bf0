"""Recurring purchases: what their customers and operators may do. Billing decides."""

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from gateway import checkout, limits
from gateway.api import proofs
from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.api.camel import camel
from gateway.api.shapes import CheckoutAnswer
from gateway.deps import GatewayDeps
from gateway.operators import Operator, Viewer, because
from keyturn.internal import Caller

router = APIRouter(tags=["subscriptions"])
CUSTOMER = Caller(actor="customer", role="customer")
Private = Depends(proofs.private)
When = Literal["now", "period_end"]


class Cancelling(BaseModel):
    """Nothing is paid back: what is paid is used up, or (`now`) given up."""

    when: When = "period_end"


class Cancellation(Reason):
    when: When = "period_end"


@router.post(
    "/api/install/{install_id}/checkout",
    dependencies=[limits.CHECKOUT, Private],
    response_model_exclude_none=True,
)
async def post_checkout(install_id: str, request: Request, deps: Deps) -> CheckoutAnswer:
    """What is owed now, to be paid: the first payment again, or a renewal. Without `url` and `orderId`: nothing."""
    known = await proofs.must_own(request, deps, install_id)
    answer = await deps.billing.request("POST", f"/internal/purchases/{known}/checkout", checkout.VISITOR)
    token = deps.access.sign(known, "access", deps.clock.now())
    more = {"access_token": token, "status_url": checkout.status_url(deps, known)}
    return CheckoutAnswer.model_validate(answer | more)


@router.post("/api/install/{install_id}/card", dependencies=[limits.CHECKOUT, Private])
async def post_card(install_id: str, request: Request, deps: Deps) -> Any:
    """Where another card is given: `url`, a page that takes no money and leads back to the status page; or what
    Razorpay's window needs. Where the provider has none, the checkout of what is owed."""
    known = await proofs.must_own(request, deps, install_id)
    answer = await open_card_page(deps, known)
    return camel({name: answer.get(name) for name in CARD if name in answer})


async def open_card_page(deps: GatewayDeps, known: UUID) -> dict[str, Any]:
    back = {"return_url": checkout.status_url(deps, known)}
    return dict(await deps.billing.request("POST", f"/internal/subscriptions/{known}/card", CUSTOMER, json=back))


@router.post("/api/install/{install_id}/cancel", dependencies=[limits.CHECKOUT, Private])
async def post_cancelling(install_id: str, wanted: Cancelling, request: Request, deps: Deps) -> Any:
    known = await proofs.must_own(request, deps, install_id)
    path = f"/internal/subscriptions/{known}/cancel"
    return _mine(await deps.billing.request("POST", path, CUSTOMER, json=wanted.model_dump()))


@router.post("/api/install/{install_id}/keep", dependencies=[limits.CHECKOUT, Private])
async def post_keeping(install_id: str, request: Request, deps: Deps) -> Any:
    """Takes a cancellation back, as long as the end has not come."""
    known = await proofs.must_own(request, deps, install_id)
    return _mine(await deps.billing.request("POST", f"/internal/subscriptions/{known}/keep", CUSTOMER, json={}))


@router.post("/api/install/{install_id}/pause", dependencies=[limits.CHECKOUT, Private])
async def post_pause(install_id: str, request: Request, deps: Deps) -> Any:
    """The install rests, and what is paid is kept for later, at most until `resumesAt`."""
    known = await proofs.must_own(request, deps, install_id)
    return _mine(await deps.billing.request("POST", f"/internal/subscriptions/{known}/pause", CUSTOMER, json={}))


@router.post("/api/install/{install_id}/resume", dependencies=[limits.CHECKOUT, Private])
async def post_resumption(install_id: str, request: Request, deps: Deps) -> Any:
    known = await proofs.must_own(request, deps, install_id)
    return _mine(await deps.billing.request("POST", f"/internal/subscriptions/{known}/resume", CUSTOMER, json={}))


@router.get("/api/subscriptions", tags=["operators"])
async def subscriptions(
    caller: Viewer, deps: Deps, status: str | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Any:
    return await ask(deps.billing, "/internal/subscriptions", caller, status=status, cursor=cursor, limit=limit)


@router.post("/api/subscriptions/{purchase_id}/cancel", tags=["operators"])
async def cancel(purchase_id: UUID, wanted: Cancellation, caller: Operator, deps: Deps) -> Any:
    path = f"/internal/subscriptions/{purchase_id}/cancel"
    return await tell(deps.billing, path, because(caller, wanted.reason), wanted.model_dump())


@router.post("/api/subscriptions/{purchase_id}/keep", tags=["operators"])
async def keep(purchase_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    path = f"/internal/subscriptions/{purchase_id}/keep"
    return await tell(deps.billing, path, because(caller, why.reason), why.model_dump())


@router.post("/api/subscriptions/{purchase_id}/pause", tags=["operators"])
async def pause(purchase_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    path = f"/internal/subscriptions/{purchase_id}/pause"
    return await tell(deps.billing, path, because(caller, why.reason), why.model_dump())


@router.post("/api/subscriptions/{purchase_id}/resume", tags=["operators"])
async def resume(purchase_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    path = f"/internal/subscriptions/{purchase_id}/resume"
    return await tell(deps.billing, path, because(caller, why.reason), why.model_dump())


CARD = (
    "provider", "amount", "currency", "url", "order_id", "subscription_id", "subscription_card_change", "key_id",
    "prefill", "expires_at",
)  # fmt: skip
SEEN = ("status", "period_from", "period_until", "renews_at", "cancel_at_period_end", "resumes_at")


def _mine(answer: dict[str, Any]) -> Any:
    """As in the customer's status."""
    return camel({name: answer[name] for name in SEEN})
