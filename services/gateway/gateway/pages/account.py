"""Signing in by a mailed link, and what a signed-in customer has. Its forms are those of the status page, which
takes the session as proof."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import TypeAdapter, ValidationError

from gateway import limits, sessions, signing_in
from gateway.accounts import CUSTOMER, Owned, account_of, want_erasure
from gateway.api import exports
from gateway.api.account import sign_out_of
from gateway.deps import GatewayDeps
from gateway.pages.progress import progress_of
from gateway.pages.rendering import PageRoute, money, page
from gateway.repository.sessions import Session
from keyturn.clock import moment_of
from keyturn.errors import Problem
from keyturn.service import get_deps

router = APIRouter(prefix="/account", route_class=PageRoute, include_in_schema=False)
Deps = Annotated[GatewayDeps, Depends(get_deps)]
SENT = "If we know this address, a mail with a link is on its way to it."
EMAIL: TypeAdapter[str] = TypeAdapter(signing_in.Email)


@router.get("", dependencies=[limits.STATUS])
async def account(
    request: Request, deps: Deps, cursor: Annotated[str | None, Query(max_length=200)] = None
) -> Response:
    session = await sessions.session_of(request, deps)
    if session is None:
        return _sign_in()
    found = await account_of(deps, session, cursor)
    shown: dict[str, Any] = {
        "email": found.email,
        "credit": [money(one["balance"], one["currency"]) for one in found.credit],
        "purchases": [_purchase(one) for one in found.purchases],
        "more": found.cursor,
        "first": cursor is None,
        "erasure_wanted": found.erasure_wanted,
    }
    answer = page("account.html", **shown)
    await _renew(answer, deps, session)
    return answer


@router.post("", dependencies=[limits.SIGN_IN])
async def ask_for_link(deps: Deps, email: Annotated[str, Form(max_length=320)]) -> Response:
    """The same for every address."""
    try:
        wanted = EMAIL.validate_python(email)
    except ValidationError:
        return _sign_in(email, problem="Please check the e-mail address.", status=422)
    await signing_in.ask_for_link(deps, wanted)
    return _sign_in(wanted, notice=SENT)


@router.get("/enter/{token}", dependencies=[limits.SETUP])
async def look(token: str) -> Response:  # noqa: ARG001 - the form goes to the same address
    """Changes nothing, and says nothing about the link: mail programs look at what they are sent."""
    return page("enter.html")


@router.post("/enter/{token}", dependencies=[limits.SETUP])
async def enter(token: str, deps: Deps) -> Response:
    try:
        session = await signing_in.enter(deps, token)
    except Problem as problem:
        if problem.code != "sign_in_link_over":
            raise
        return _sign_in(problem="That link was used, or has run out. Have a new one sent to you.", status=410)
    answer = RedirectResponse("/account", 303)
    sessions.give_cookie(answer, deps, session)
    return answer


@router.get("/data", dependencies=[limits.EXPORT])
async def data(request: Request, deps: Deps) -> Response:
    """Everything that is kept about the customer, to take away."""
    session = await sessions.session_of(request, deps)
    return await exports.document(deps, CUSTOMER, session.customer_id) if session else _sign_in()


@router.post("/erasure", dependencies=[limits.STATUS])
async def erasure(request: Request, deps: Deps) -> Response:
    if session := await sessions.session_of(request, deps):
        await want_erasure(deps, session)
    return RedirectResponse("/account", 303)


@router.post("/leave", dependencies=[limits.STATUS])
async def leave(request: Request, deps: Deps) -> Response:
    answer = RedirectResponse("/account", 303)
    await sign_out_of(request, answer, deps)
    return answer


def _sign_in(email: str = "", *, problem: str | None = None, notice: str | None = None, status: int = 200) -> Response:
    return page("sign_in.html", status=status, email=email, problem=problem, notice=notice)


async def _renew(answer: Response, deps: GatewayDeps, session: Session) -> None:
    async with deps.database.transaction("renew_session") as tx:
        token = await sessions.renewed(tx, session)
    if token:
        sessions.give_cookie(answer, deps, token)


def _purchase(owned: Owned) -> dict[str, Any]:
    """What the page shows of one."""
    ordered = moment_of(owned.bought["created_at"])
    return {"number": owned.bought["id"], "at": ordered, "progress": progress_of(owned.journey)}
