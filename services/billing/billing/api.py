"""Billing's HTTP: the gateway is its only caller, and somebody waits for each answer."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from billing import (
    cancelling,
    cards,
    catalog_routes,
    changing,
    coupon_routes,
    credit_routes,
    customer_routes,
    invoice_routes,
    operating,
    pausing,
    pushing,
    run_routes,
    views,
)
from billing.buying import CheckoutRequest, Choice, Key, Line, Url, offered, one_spelling
from billing.checkout import open_again, open_purchase
from billing.deps import BillingDeps
from billing.domain import PaymentState, PurchaseState
from billing.errors import purchase_unknown
from billing.pages import LONGEST, cursor_of, place_of
from billing.providers import OpenedCard, ReturnProof
from billing.repository.invoices import list_invoices, read_shop
from billing.repository.mandates import charges_of, mandate_of
from billing.repository.offers import all_offers, terms
from billing.repository.payments import disputes_of, list_payments, payments_of, refunds_of, requests_of
from billing.repository.plan_changes import changes_of
from billing.repository.purchases import checkouts_of, entitlement_of, get_purchase, list_purchases, notices_of
from billing.repository.subscriptions import list_subscriptions, open_renewal, periods_of, subscription_of
from billing.returning import take_return
from billing.subscriptions import SubscriptionState
from keyturn.database import Transaction
from keyturn.http import Named, Words
from keyturn.internal import Admin, Customer, Operator, Public, Viewer
from keyturn.service import get_deps

router = APIRouter(prefix="/internal")
router.include_router(catalog_routes.router)
router.include_router(coupon_routes.router)
router.include_router(customer_routes.router)
router.include_router(invoice_routes.router)
router.include_router(invoice_routes.of_purchase)
router.include_router(credit_routes.router)
router.include_router(run_routes.router)
router.include_router(customer_routes.data)
Deps = Annotated[BillingDeps, Depends(get_deps)]
Limit = Annotated[int, Query(ge=1, le=LONGEST)]
JSON = dict[str, Any]
Reference = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]+$")
]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Return(_Body):
    """What the browser brought back. The order id it names is ignored: ours is the one stored."""

    session_id: Line | None = None
    razorpay_payment_id: Line | None = None
    razorpay_signature: Line | None = None


class Reason(_Body):
    reason: Words


class RefundOrder(Reason):
    amount: int | None = Field(default=None, ge=0, strict=True)
    credit: int | None = Field(default=None, ge=0, strict=True)

    @property
    def back(self) -> operating.Back:
        return operating.Back(self.amount, self.credit)


class MarkedPaid(Reason):
    amount: int | None = Field(default=None, ge=0)
    reference: Reference | None = None


class Decision(Reason):
    decision: Literal["match", "foreign"]
    purchase_id: UUID | None = None


class Cancellation(_Body):
    """`reason`: an operator's."""

    when: cancelling.When = "period_end"
    reason: Words | None = None


class CardPage(_Body):
    return_url: Url


class Keeping(_Body):
    """As above."""

    reason: Words | None = None


class WantedPlan(_Body):
    plan_id: Key = Field(min_length=1)


class AcceptedQuote(Keeping):
    quote_id: UUID


@router.post("/checkouts")
async def post_checkout(body: CheckoutRequest, deps: Deps, _: Public) -> JSON:
    return views.opening(await open_purchase(deps, body))


@router.post("/checkouts/terms")
async def post_terms(body: Choice, deps: Deps, _: Public) -> JSON:
    """Of what would be bought: by which blueprint it is made, with which limits."""
    async with deps.database.transaction("read_terms") as tx:
        found = await terms(tx, (await offered(tx, body)).plan)
    return {"blueprint": found.blueprint, "limits": found.limits}


@router.post("/purchases/{purchase_id}/checkout")
async def post_another_checkout(purchase_id: UUID, deps: Deps, _: Public) -> JSON:
    return views.opening(await open_again(deps, purchase_id))


@router.post("/purchases/{purchase_id}/return")
async def post_return(purchase_id: UUID, body: Return, deps: Deps, _: Public) -> JSON:
    proof = ReturnProof(body.session_id, body.razorpay_payment_id, body.razorpay_signature)
    return {"status": (await take_return(deps, purchase_id, proof)).state}


@router.get("/products")
async def get_products(deps: Deps, _: Public) -> JSON:
    """And where customers are taxed by their country: which there are, and which one it is taken to be without that."""
    async with deps.database.transaction("read_products") as tx:
        selling = await read_shop(tx)
        return {"items": views.products(await all_offers(tx)), "tax": views.taxing(*selling)}


@router.get("/purchases")
async def get_purchases(
    deps: Deps,
    _: Viewer,
    status: PurchaseState | None = None,
    email: Named = None,
    cursor: Named = None,
    limit: Limit = 50,
) -> JSON:
    spelling = one_spelling(email) if email else None
    after = place_of(cursor)
    async with deps.database.transaction("read_purchases") as tx:
        found = await list_purchases(tx, state=status, email=spelling, after=after, limit=limit)
    following = cursor_of(found[-1].opened_at, found[-1].id) if len(found) == limit else None
    return views.page([views.purchase(one) for one in found], following)


@router.get("/purchases/{purchase_id}")
async def get_one_purchase(purchase_id: UUID, deps: Deps, _: Viewer) -> JSON:
    async with deps.database.transaction("read_purchase") as tx:
        return await _whole(tx, purchase_id)


@router.post("/purchases/{purchase_id}/mark-paid")
async def post_mark_paid(purchase_id: UUID, body: MarkedPaid, deps: Deps, caller: Operator) -> JSON:
    receipt = operating.Receipt(body.reason, body.amount, body.reference)
    return {"status": (await operating.mark_paid(deps, caller, purchase_id, receipt)).state}


@router.post("/purchases/{purchase_id}/refund", status_code=202)
async def post_refund(purchase_id: UUID, body: RefundOrder, deps: Deps, caller: Admin) -> JSON:
    return views.asked_back(await operating.refund(deps, caller, purchase_id, body.back, body.reason))


@router.get("/subscriptions")
async def get_subscriptions(
    deps: Deps, _: Viewer, status: SubscriptionState | None = None, cursor: Named = None, limit: Limit = 50
) -> JSON:
    after = place_of(cursor)
    async with deps.database.transaction("read_subscriptions") as tx:
        found = await list_subscriptions(tx, state=status, after=after, limit=limit)
    following = cursor_of(found[-1].began_at, found[-1].purchase_id) if len(found) == limit else None
    return views.page([views.subscription(one) for one in found], following)


@router.post("/subscriptions/{purchase_id}/cancel")
async def post_cancellation(purchase_id: UUID, body: Cancellation, deps: Deps, caller: Customer) -> JSON:
    return views.subscription(await cancelling.cancel(deps, caller, purchase_id, body.when, body.reason))


@router.post("/subscriptions/{purchase_id}/keep")
async def post_keeping(purchase_id: UUID, body: Keeping, deps: Deps, caller: Customer) -> JSON:
    return views.subscription(await cancelling.keep(deps, caller, purchase_id, body.reason))


@router.post("/subscriptions/{purchase_id}/pause")
async def post_pause(purchase_id: UUID, body: Keeping, deps: Deps, caller: Customer) -> JSON:
    return views.subscription(await pausing.pause(deps, caller, purchase_id, body.reason))


@router.post("/subscriptions/{purchase_id}/resume")
async def post_resumption(purchase_id: UUID, body: Keeping, deps: Deps, caller: Customer) -> JSON:
    return views.subscription(await pausing.resume(deps, caller, purchase_id, body.reason))


@router.get("/subscriptions/{purchase_id}/plans")
async def get_plans(purchase_id: UUID, deps: Deps, _: Customer) -> JSON:
    """Which it could change to, and why not where it cannot."""
    return views.choice(await changing.choice(deps, purchase_id))


@router.post("/subscriptions/{purchase_id}/plan/quote")
async def post_quote(purchase_id: UUID, body: WantedPlan, deps: Deps, _: Customer) -> JSON:
    change, following = await changing.quote(deps, purchase_id, body.plan_id)
    return views.plan_change(change) | following.said


@router.post("/subscriptions/{purchase_id}/plan")
async def post_plan(purchase_id: UUID, body: AcceptedQuote, deps: Deps, caller: Customer) -> JSON:
    change, opened = await changing.accept(deps, caller, purchase_id, body.quote_id, body.reason)
    return views.plan_change(change) | ({"checkout": views.opening(opened)} if opened else {})


@router.post("/subscriptions/{purchase_id}/plan/push")
async def post_plan_push(purchase_id: UUID, body: Reason, deps: Deps, caller: Operator) -> JSON:
    return views.plan_change(await pushing.push_on(deps, caller, purchase_id, body.reason))


@router.post("/subscriptions/{purchase_id}/plan/call-off")
async def post_plan_calling_off(purchase_id: UUID, body: Reason, deps: Deps, caller: Operator) -> JSON:
    return views.plan_change(await pushing.call_off(deps, caller, purchase_id, body.reason))


@router.post("/subscriptions/{purchase_id}/card")
async def post_card(purchase_id: UUID, body: CardPage, deps: Deps, _: Customer) -> JSON:
    opened = await cards.open_card_page(deps, purchase_id, body.return_url)
    return views.card(opened) if isinstance(opened, OpenedCard) else views.opening(opened)


@router.get("/payments")
async def get_payments(
    deps: Deps, _: Viewer, state: PaymentState | None = None, cursor: Named = None, limit: Limit = 50
) -> JSON:
    after = place_of(cursor)
    async with deps.database.transaction("read_payments") as tx:
        found = await list_payments(tx, state=state, after=after, limit=limit)
    following = cursor_of(found[-1].recorded_at, found[-1].id) if len(found) == limit else None
    return views.page([views.payment(one) for one in found], following)


@router.post("/payments/{payment_id}/refund", status_code=202)
async def post_payment_refund(payment_id: UUID, body: RefundOrder, deps: Deps, caller: Admin) -> JSON:
    return views.asked_back(await operating.refund_payment(deps, caller, payment_id, body.back, body.reason))


@router.post("/payments/{payment_id}/decide")
async def post_decision(payment_id: UUID, body: Decision, deps: Deps, caller: Operator) -> JSON:
    match = body.decision == "match"
    decided = await operating.decide_payment(
        deps, caller, payment_id, match=match, purchase_id=body.purchase_id, reason=body.reason
    )
    return views.payment(decided)


async def _whole(tx: Transaction, purchase_id: UUID) -> JSON:
    found = await get_purchase(tx, purchase_id)
    if found is None:
        raise purchase_unknown()
    payments = await payments_of(tx, purchase_id)
    subscription = await subscription_of(tx, purchase_id)
    saved = await mandate_of(tx, purchase_id)
    ids = [payment.id for payment in payments]
    return {
        **views.purchase(found),
        "checkouts": [views.checkout(one) for one in await checkouts_of(tx, purchase_id)],
        "payments": [views.payment(one) for one in payments],
        "refunds": [views.refund(one) for one in await refunds_of(tx, ids)],
        "refund_requests": [views.refund_request(one) for one in await requests_of(tx, ids)],
        "disputes": [views.dispute(one) for one in await disputes_of(tx, ids)],
        "subscription": views.subscription(subscription, await open_renewal(tx, purchase_id)) if subscription else None,
        "plan_changes": [views.plan_change(one) for one in await changes_of(tx, purchase_id)],
        "mandate": views.mandate(saved) if saved else None,
        "charges": [views.charge(one) for one in await charges_of(tx, purchase_id)],
        "periods": [views.period(one) for one in await periods_of(tx, purchase_id)],
        "invoices": [views.invoice(one) for one in await list_invoices(tx, purchase_id=purchase_id, limit=100)],
        "entitlement": views.entitlement(await entitlement_of(tx, purchase_id)),
        "notices": await notices_of(tx, purchase_id),
    }
