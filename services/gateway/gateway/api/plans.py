"""Another plan for what a customer has: quoted first, then accepted and charged as quoted. Billing decides."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from gateway import checkout, limits
from gateway.api import proofs
from gateway.api.asking import Deps, Reason, tell
from gateway.api.camel import camel
from gateway.api.shapes import CheckoutAnswer, PlanKey, Shape
from gateway.deps import GatewayDeps
from gateway.operators import Operator, because
from keyturn.internal import Caller

router = APIRouter(tags=["subscriptions"])
CUSTOMER = Caller(actor="customer", role="customer")
Mine = [limits.CHECKOUT, Depends(proofs.private)]


class WantedPlan(Shape):
    """A plan of the same product, by its name or documented number."""

    plan_id: PlanKey


class Acceptance(Shape):
    quote_id: UUID


class OperatorsAcceptance(Reason):
    quoteId: UUID  # noqa: N815 - as it is sent


@router.post("/api/install/{install_id}/plan/quote", dependencies=Mine)
async def post_quote(install_id: str, wanted: WantedPlan, request: Request, deps: Deps) -> Any:
    """What the change costs (`charge`) or gives back (`credit`) now, for the time that is paid; good for 15 minutes."""
    known = await proofs.must_own(request, deps, install_id)
    return camel(await deps.billing.request("POST", _path(known, "/quote"), CUSTOMER, json=wanted.model_dump()))


@router.post("/api/install/{install_id}/plan", dependencies=Mine)
async def post_plan(install_id: str, accepted: Acceptance, request: Request, deps: Deps) -> Any:
    """Where something is to be paid, in the `checkout` that comes with the answer, the install follows after that."""
    known = await proofs.must_own(request, deps, install_id)
    body = accepted.model_dump(mode="json")
    answer: dict[str, Any] = await deps.billing.request("POST", _path(known), CUSTOMER, json=body)
    opened = answer.pop("checkout", None)
    return camel(answer) | ({"checkout": _opened(deps, known, opened)} if opened else {})


@router.post("/api/subscriptions/{purchase_id}/plan/quote", tags=["operators"])
async def quote(purchase_id: UUID, wanted: WantedPlan, caller: Operator, deps: Deps) -> Any:
    return camel(await deps.billing.request("POST", _path(purchase_id, "/quote"), caller, json=wanted.model_dump()))


@router.post("/api/subscriptions/{purchase_id}/plan", tags=["operators"])
async def change(purchase_id: UUID, accepted: OperatorsAcceptance, caller: Operator, deps: Deps) -> Any:
    """Where something is to be paid, the customer does that at a checkout for what is owed, within an hour."""
    body = {"quote_id": str(accepted.quoteId), "reason": accepted.reason}
    return await tell(deps.billing, _path(purchase_id), because(caller, accepted.reason), body)


@router.post("/api/subscriptions/{purchase_id}/plan/push", tags=["operators"])
async def push(purchase_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    """The install does not follow, since its job waits for somebody: it is tried anew."""
    return await tell(deps.billing, _path(purchase_id, "/push"), because(caller, why.reason), why.model_dump())


@router.post("/api/subscriptions/{purchase_id}/plan/call-off", tags=["operators"])
async def call_off(purchase_id: UUID, why: Reason, caller: Operator, deps: Deps) -> Any:
    """The old plan and the money come back."""
    return await tell(deps.billing, _path(purchase_id, "/call-off"), because(caller, why.reason), why.model_dump())


def _path(purchase_id: UUID, more: str = "") -> str:
    return f"/internal/subscriptions/{purchase_id}/plan{more}"


def _opened(deps: GatewayDeps, purchase_id: UUID, answer: dict[str, Any]) -> Any:
    token = deps.access.sign(purchase_id, "access", deps.clock.now())
    more = {"access_token": token, "status_url": checkout.status_url(deps, purchase_id)}
    made = CheckoutAnswer.model_validate(answer | more)
    return made.model_dump(mode="json", by_alias=True, exclude_none=True)
