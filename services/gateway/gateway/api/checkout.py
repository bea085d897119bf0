"""Buying: open a purchase, come back from the provider's page, and ask whether a name is free."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import JSONResponse, RedirectResponse

from gateway import checkout, limits
from gateway.api import proofs
from gateway.api.shapes import (
    CheckoutAnswer,
    CheckoutRequest,
    CouponAnswer,
    CouponRequest,
    RazorpayProof,
    SubdomainAnswer,
    SubdomainRequest,
)
from gateway.deps import GatewayDeps
from gateway.journeys import uuid
from keyturn.errors import Problem
from keyturn.service import get_deps

router = APIRouter(tags=["checkout"])
Deps = Annotated[GatewayDeps, Depends(get_deps)]
Key = Annotated[str | None, Header(alias="idempotency-key")]


@router.post("/api/checkout", dependencies=[limits.CHECKOUT], response_model_exclude_none=True)
async def post_checkout(
    order: CheckoutRequest, request: Request, response: Response, deps: Deps, key: Key = None
) -> CheckoutAnswer:
    return await _open(order, request, response, deps, key)


@router.post("/api/checkout/create-session", dependencies=[limits.CHECKOUT], response_model_exclude_none=True)
@router.post("/api/create-checkout", dependencies=[limits.CHECKOUT], response_model_exclude_none=True)
async def post_session(
    order: CheckoutRequest, request: Request, response: Response, deps: Deps, key: Key = None
) -> CheckoutAnswer:
    """The older paths, from times when there was Stripe alone."""
    return await _open(order.through("stripe"), request, response, deps, key)


@router.post("/api/check-coupon", dependencies=[limits.COUPON], response_model_exclude_none=True)
async def check_coupon(asked: CouponRequest, deps: Deps) -> CouponAnswer:
    """What it would cost with this code; refused as the checkout would refuse it."""
    body = asked.chosen() | {"coupon_code": asked.coupon_code}
    found = await deps.billing.request("POST", "/internal/coupons/check", checkout.VISITOR, json=body)
    return CouponAnswer.model_validate(found)


@router.post("/api/check-subdomain", dependencies=[limits.STATUS], response_model_exclude_none=True)
async def check_subdomain(asked: SubdomainRequest, deps: Deps) -> SubdomainAnswer:
    body = {"kind": "subdomain", "name": asked.subdomain}
    found = await deps.provisioner.request("POST", "/internal/names/check", checkout.VISITOR, json=body)
    return SubdomainAnswer(
        subdomain=found["name"],
        available=found["status"] == "free",
        status=found["status"],
        suggestion=found.get("suggestion"),
        message=found.get("detail"),
    )


@router.get("/checkout/return", dependencies=[limits.STATUS], status_code=303, response_class=RedirectResponse)
async def come_back(
    request: Request, deps: Deps, purchase: str = "", session_id: str = "", to: str | None = None
) -> RedirectResponse:
    """From Stripe's page. Billing asks Stripe once; whatever comes of it, the customer gets to see the status."""
    known = uuid(purchase)
    if known is None:
        raise proofs.unknown()
    if to is not None:
        checkout.check_return_url(deps, to)
    response = RedirectResponse(to or checkout.status_url(deps, known), 303)
    if session_id and await checkout.confirm(deps, known, {"session_id": session_id}):
        proofs.give_cookie(request, response, deps, known)
    return response


@router.post(
    "/api/checkout/razorpay/confirm",
    dependencies=[limits.CHECKOUT],
    responses={303: {"description": "From the form: on to the status"}},
)
async def confirm_razorpay(request: Request, deps: Deps) -> Response:
    """From Razorpay's page: its script posts JSON and gets JSON, its form (`callback_url`) is sent on to the status."""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    given: Any = dict(await request.form()) | dict(request.query_params) if is_form else await _json(request)
    try:
        proof = RazorpayProof.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from None
    known = uuid(proof.purchase_id)
    if known is None:
        raise proofs.unknown()
    said = proof.model_dump(include={"razorpay_payment_id", "razorpay_signature"})
    status = await checkout.confirm(deps, known, said)
    url = checkout.status_url(deps, known)
    answer = RedirectResponse(url, 303) if is_form else _confirmed(status, url)
    if status:
        proofs.give_cookie(request, answer, deps, known)
    return answer


async def _open(
    order: CheckoutRequest, request: Request, response: Response, deps: GatewayDeps, key: str | None
) -> CheckoutAnswer:
    if order.coupon_code:
        await limits.COUPON_CODES(request)
    return _opened(await checkout.open_purchase(deps, order, key), request, response, deps)


def _opened(opened: checkout.Opened, request: Request, response: Response, deps: GatewayDeps) -> CheckoutAnswer:
    proofs.give_cookie(request, response, deps, opened.purchase_id)
    response.headers["cache-control"] = "no-store"
    return CheckoutAnswer.model_validate(
        opened.answer
        | {
            "purchase_id": str(opened.purchase_id),
            "access_token": deps.access.sign(opened.purchase_id, "access", opened.opened),
            "status_url": checkout.status_url(deps, opened.purchase_id),
        }
    )


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError):
        raise Problem(400, "invalid_json", "the body is not valid JSON") from None


def _confirmed(status: str | None, url: str) -> JSONResponse:
    """Without a status nothing is known yet: the webhook or the reconciler will tell."""
    return JSONResponse({"success": status is not None, "status": status or "pending", "statusUrl": url})
