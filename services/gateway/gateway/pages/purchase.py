"""The status page of a purchase: live for whoever opened it, and for whoever knows its e-mail address."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from gateway import limits
from gateway.api import installs, proofs
from gateway.api.subscriptions import open_card_page
from gateway.checkout import VISITOR
from gateway.deps import GatewayDeps
from gateway.domain import Journey
from gateway.journeys import uuid
from gateway.pages.paying import card_page, leads_on, pay_page
from gateway.pages.progress import progress_of
from gateway.pages.rendering import PageRoute, page
from keyturn.errors import Problem
from keyturn.internal import Caller
from keyturn.service import get_deps

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Deps = Annotated[GatewayDeps, Depends(get_deps)]
CUSTOMER = Caller(actor="customer", role="customer")
NO_CARD = "Nothing is to be paid now. Whenever something is, you choose how on the payment page."


@router.get("/purchases/{number}", dependencies=[limits.STATUS])
async def status(number: str, request: Request, deps: Deps) -> Response:
    """Without proof it asks for the address; it does so for any number, so that nobody learns which exist."""
    known = uuid(number)
    if known is None:
        raise proofs.unknown()
    if await proofs.seer(request, deps, known) == "nobody":
        return page("prove.html", number=number, email="", problem=None)
    return page("purchase.html", **await shown(deps, number), notice=None)


@router.post("/purchases/{number}", dependencies=[limits.SIGN_IN])
async def prove(number: str, request: Request, deps: Deps, email: Annotated[str, Form(max_length=320)]) -> Response:
    try:
        known = await installs.owned(deps, number, email)
    except Problem:
        wrong = "We know no such order with this address. Please check the address and the number."
        return page("prove.html", status=404, number=number, email=email, problem=wrong)
    answer = RedirectResponse(f"/purchases/{known}", 303)
    proofs.give_cookie(request, answer, deps, known)
    return answer


@router.get("/purchases/{number}/progress", dependencies=[limits.STATUS])
async def progress(number: str, request: Request, deps: Deps) -> Response:
    """The part of the page that changes."""
    await proofs.must_see(request, deps, number)
    return page("progress.html", **await shown(deps, number))


@router.post("/purchases/{number}/pay", dependencies=[limits.CHECKOUT])
async def pay(number: str, request: Request, deps: Deps) -> Response:
    """For who came back from the provider's page without paying, and for the next period."""
    known = await proofs.must_own(request, deps, number)
    answer = await deps.billing.request("POST", f"/internal/purchases/{known}/checkout", VISITOR)
    return pay_page(deps, known, answer)


@router.post("/purchases/{number}/link", dependencies=[limits.SIGN_IN])
async def new_link(number: str, request: Request, deps: Deps) -> Response:
    """A new setup link by mail; the old one stops working."""
    known = await proofs.must_own(request, deps, number)
    await deps.provisioner.request("POST", f"/internal/installs/{known}/reissue", CUSTOMER, json={})
    return page("purchase.html", **await shown(deps, number), notice="A new link is on its way to you.")


@router.post("/purchases/{number}/cancel", dependencies=[limits.CHECKOUT])
async def cancel(
    number: str, request: Request, deps: Deps, when: Annotated[Literal["now", "period_end"], Form()] = "period_end"
) -> Response:
    known = await proofs.must_own(request, deps, number)
    await deps.billing.request("POST", f"/internal/subscriptions/{known}/cancel", CUSTOMER, json={"when": when})
    ended = "It has ended." if when == "now" else "It is cancelled, and ends with what is paid."
    return page("purchase.html", **await shown(deps, number), notice=ended)


@router.post("/purchases/{number}/card", dependencies=[limits.CHECKOUT])
async def card(number: str, request: Request, deps: Deps) -> Response:
    """To a page of the provider that takes no money; where it has none, to the checkout of what is owed."""
    known = await proofs.must_own(request, deps, number)
    answer = await open_card_page(deps, known)
    if "amount" not in answer:
        return card_page(deps, known, answer)
    if not leads_on(answer):
        return page("purchase.html", **await shown(deps, number), notice=NO_CARD)
    return pay_page(deps, known, answer)


@router.post("/purchases/{number}/keep", dependencies=[limits.CHECKOUT])
async def keep(number: str, request: Request, deps: Deps) -> Response:
    known = await proofs.must_own(request, deps, number)
    await deps.billing.request("POST", f"/internal/subscriptions/{known}/keep", CUSTOMER, json={})
    return page("purchase.html", **await shown(deps, number), notice="It goes on.")


@router.post("/purchases/{number}/pause", dependencies=[limits.CHECKOUT])
async def pause(number: str, request: Request, deps: Deps) -> Response:
    known = await proofs.must_own(request, deps, number)
    await deps.billing.request("POST", f"/internal/subscriptions/{known}/pause", CUSTOMER, json={})
    return page("purchase.html", **await shown(deps, number), notice="It is paused.")


@router.post("/purchases/{number}/resume", dependencies=[limits.CHECKOUT])
async def resume(number: str, request: Request, deps: Deps) -> Response:
    known = await proofs.must_own(request, deps, number)
    await deps.billing.request("POST", f"/internal/subscriptions/{known}/resume", CUSTOMER, json={})
    return page("purchase.html", **await shown(deps, number), notice="It goes on.")


async def shown(deps: GatewayDeps, number: str) -> dict[str, Any]:
    known = uuid(number)
    journey = (await installs.read(deps, known) if known else None) or Journey(number)
    return {"number": number, "progress": progress_of(journey)}
