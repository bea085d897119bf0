"""Another plan: chosen, quoted, and accepted as quoted. Nothing happens before that."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response

from gateway import limits
from gateway.api import proofs
from gateway.deps import GatewayDeps
from gateway.domain import Coming
from gateway.pages.paying import pay_page
from gateway.pages.prices import each, then_of
from gateway.pages.purchase import CUSTOMER, shown
from gateway.pages.rendering import PageRoute, human, money, page
from gateway.pages.shop import limit_said
from gateway.pages.words import CYCLES
from keyturn.clock import moment_of
from keyturn.errors import Problem
from keyturn.service import get_deps

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Deps = Annotated[GatewayDeps, Depends(get_deps)]
AGAIN = {
    "quote_expired": "What we offered holds for a quarter of an hour, and that is over. Please choose once more.",
    "quote_outdated": "Something has changed since. Please choose once more.",
    "quote_unknown": "We do not know what you want to accept. Please choose once more.",
}
FOLLOWS = "Your install is being changed. We write to you when it is done."


@router.get("/purchases/{number}/plan", dependencies=[limits.STATUS])
async def plans(number: str, request: Request, deps: Deps) -> Response:
    return await _plans(deps, await proofs.must_own(request, deps, number))


@router.post("/purchases/{number}/plan/quote", dependencies=[limits.CHECKOUT])
async def quote(number: str, request: Request, deps: Deps, plan: Annotated[str, Form(max_length=63)] = "") -> Response:
    known = await proofs.must_own(request, deps, number)
    if not plan:
        return await _plans(deps, known, Problem(422, "invalid_request", "Please choose a plan."))
    try:
        quoted = await deps.billing.request("POST", _path(known, "plan/quote"), CUSTOMER, json={"plan_id": plan})
    except Problem as problem:
        return await _plans(deps, known, problem, plan)
    names = {one["id"]: one["name"] for one in (await _on_offer(deps, known))["items"]}
    return page("quote.html", number=str(known), **_quoted(quoted, names))


@router.post("/purchases/{number}/plan", dependencies=[limits.CHECKOUT])
async def accept(number: str, request: Request, deps: Deps, quote: Annotated[UUID, Form()]) -> Response:
    """Sent twice it is accepted once. Where something is to be paid, it leads to the payment page."""
    known = await proofs.must_own(request, deps, number)
    try:
        answer = await deps.billing.request("POST", _path(known, "plan"), CUSTOMER, json={"quote_id": str(quote)})
    except Problem as problem:
        return await _plans(deps, known, problem)
    if opened := answer.get("checkout"):
        return pay_page(deps, known, opened)
    return page("purchase.html", **await shown(deps, number), notice=FOLLOWS)


async def _plans(deps: GatewayDeps, known: UUID, problem: Problem | None = None, chosen: str = "") -> Response:
    """`problem`: what the customer can mend by choosing again."""
    if problem and (problem.status >= 500 or problem.status == 429):
        raise problem
    said = await _on_offer(deps, known)
    offers = [_offer(one, said) for one in said["items"] if not one["current"]]
    has = next((one["name"] for one in said["items"] if one["current"]), human(said["plan"]))
    return page(
        "plans.html",
        status=problem.status if problem else 200,
        number=str(known),
        problem=AGAIN.get(problem.code, problem.detail) if problem else None,
        why_not=said["why_not"],
        open=_waiting(said["open"]) if said["open"] else None,
        offers=offers,
        chosen=chosen or (offers[0]["id"] if offers else ""),
        current=has,
    )


async def _on_offer(deps: GatewayDeps, known: UUID) -> dict[str, Any]:
    return dict(await deps.billing.request("GET", _path(known, "plans"), CUSTOMER))


def _offer(one: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    price = {"price": money(one["amount"], said["currency"]), "cycle": CYCLES.get(said["cycle"], said["cycle"])}
    more = {"limits": [limit_said(name, value) for name, value in (one["limits"] or {}).items()]}
    return {"id": one["id"], "name": one["name"]} | price | more


def _waiting(change: dict[str, Any]) -> dict[str, Any]:
    charge = money(change["charge"], change["currency"])
    return {"plan": change["plan"], "charge": charge, "until": moment_of(change["expires_at"])}


def _quoted(quoted: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    currency = quoted["currency"]

    def told(name: str) -> str | None:
        return money(quoted[name], currency) if quoted[name] else None

    coming = Coming(quoted["cycle"], quoted["next_price"], quoted["full_price"], quoted["discounted"])
    always = coming.discounted == "always" or not coming.discounted
    following = each(coming.cycle, coming.next_price, currency) if always else then_of(coming, currency)
    return {
        "quote": quoted["quote_id"],
        "before": names.get(quoted["from_plan"], human(quoted["from_plan"])),
        "after": names.get(quoted["plan"], human(quoted["plan"])),
        "charge": told("charge"),
        "credit": told("credit"),
        "tax": told("tax_added"),
        "cost": money(quoted["cost"], currency),
        "unused": money(quoted["unused"], currency),
        "nothing": money(0, currency),
        "following": following,
        "paid_until": moment_of(quoted["paid_until"]),
        "expires_at": moment_of(quoted["expires_at"]),
    }


def _path(known: UUID, act: str) -> str:
    return f"/internal/subscriptions/{known}/{act}"
