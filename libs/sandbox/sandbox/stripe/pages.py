"""The hosted payment page that a session's `url` leads to, and a page with everything on the account."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from sandbox.control import page
from sandbox.stripe import paying, saving
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.errors import StripeProblem

Choice = Literal["paid", "declined", "delayed", "challenge", "fails_later"]
FAILS_LATER = "pm_card_chargeCustomerFail"


def _choose(
    account: StripeAccount, session: dict[str, Any], outcome: Literal["paid", "declined", "delayed", "fails_later"]
) -> None:
    card = FAILS_LATER if outcome == "fails_later" else saving.GOOD
    if session["mode"] == "setup":
        saving.give(account, session["id"], card)
    else:
        paying.pay(account, session["id"], "paid" if outcome == "fails_later" else outcome, card=card)


def router(account: StripeAccount) -> APIRouter:
    routes = APIRouter()

    def shown(session_id: str, *, declined: bool = False, challenge: bool = False) -> HTMLResponse:
        session = account.get(session_id, "checkout.session")
        lines = account.hidden[session_id]["line_items"]
        products = [account.objects[line["price"]["product"]] for line in lines]
        about = [product["description"] for product in products if product["description"]]
        shown = {"session": session, "lines": lines, "about": about}
        return page("stripe_session.html", **shown, declined=declined, challenge=challenge)

    @routes.get("/c/pay/{session_id}", response_class=HTMLResponse)
    async def look(session_id: str) -> Response:
        try:
            return shown(session_id)
        except StripeProblem:
            return page("gone.html", what="This payment page does not exist.")

    @routes.post("/c/pay/{session_id}", response_class=HTMLResponse)
    async def choose(session_id: str, outcome: Annotated[Choice, Form()]) -> Response:
        session = account.get(session_id, "checkout.session")
        if session["status"] != "open":
            return shown(session_id)
        if outcome == "challenge":
            return shown(session_id, challenge=True)
        _choose(account, session, outcome)
        if session["status"] == "open":
            return shown(session_id, declined=True)
        return RedirectResponse(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id), status_code=303)

    @routes.get("/", response_class=HTMLResponse)
    async def overview() -> HTMLResponse:
        sessions = account.all("checkout.session")[:200]
        return page("stripe_overview.html", sessions=sessions, refunds=account.all("refund")[:200])

    @routes.post("/settle/{session_id}")
    async def settle(session_id: str, succeeded: Annotated[bool, Form()]) -> RedirectResponse:
        paying.settle(account, session_id, succeeded=succeeded)
        return RedirectResponse("/", status_code=303)

    return routes
