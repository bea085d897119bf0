"""Who may see a whole journey: whoever opened its checkout (access token or cookie; a ticket for its stream alone), its
customer who has signed in, or an operator.

Without proof everything answers as if the purchase did not exist.
"""

import re
from typing import Literal
from uuid import UUID

from fastapi import Request, Response

from gateway import operators, sessions
from gateway.access import COOKIE, LIFETIME, ends
from gateway.deps import GatewayDeps
from gateway.journeys import uuid
from keyturn.errors import Problem

Seer = Literal["nobody", "customer", "operator"]

MOST_COOKIES = 20  # in one browser: it sends them all with every request, and proxies refuse a long head
_COOKIE = re.compile(rf"{COOKIE}_[0-9a-f]{{32}}", re.ASCII)


async def seer(request: Request, deps: GatewayDeps, purchase_id: UUID, *, by_ticket: bool = False) -> Seer:
    """What the request proves about its sender and this purchase."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token if scheme.lower() == "bearer" else ""
    if bearer.startswith(operators.PREFIX):
        return "operator" if await operators.authenticate(deps.database, bearer) else "nobody"
    now = deps.clock.now()
    cookie = request.cookies.get(cookie_name(purchase_id), "") if sessions.may_act(request, deps) else ""
    tokens = (bearer, request.headers.get("x-access-token", ""), cookie)
    if any(token and deps.access.allows(token, purchase_id, "access", now) for token in tokens):
        return "customer"
    ticket = request.query_params.get("ticket", "") if by_ticket else ""
    if ticket and deps.access.allows(ticket, purchase_id, "ticket", now):
        return "customer"
    return "customer" if await sessions.owns(request, deps, purchase_id) else "nobody"


async def must_see(
    request: Request, deps: GatewayDeps, purchase_id: str, *, by_ticket: bool = False
) -> tuple[UUID, Seer]:
    """The purchase's id and who looks. Raises `Problem` 404 without proof, as for an id that does not exist."""
    known = uuid(purchase_id)
    found = await seer(request, deps, known, by_ticket=by_ticket) if known else "nobody"
    if known is None or found == "nobody":
        raise unknown()
    return known, found


async def must_own(request: Request, deps: GatewayDeps, purchase_id: str) -> UUID:
    """For what a customer does. An operator's token is no proof here: operators act under their role, audited."""
    known, found = await must_see(request, deps, purchase_id)
    if found != "customer":
        raise unknown()
    return known


def private(response: Response) -> None:
    """A dependency: no cache keeps the answer, and no link in it tells where it was clicked."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"


def unknown() -> Problem:
    return Problem(404, "install_not_found", "there is no such install, or this does not prove that it is yours")


def cookie_name(purchase_id: UUID) -> str:
    return f"{COOKIE}_{purchase_id.hex}"


def give_cookie(request: Request, response: Response, deps: GatewayDeps, purchase_id: UUID) -> None:
    """From now on this browser may see the purchase. Where it has too many, those that end first make room."""
    given, name = request.cookies, cookie_name(purchase_id)
    secure = deps.settings.public_url.startswith("https:")
    others = sorted((one for one in given if _COOKIE.fullmatch(one) and one != name), key=lambda one: ends(given[one]))
    for one in others[: 1 - MOST_COOKIES]:
        response.delete_cookie(one, httponly=True, secure=secure, samesite="lax")
    token = deps.access.sign(purchase_id, "access", deps.clock.now())
    age = int(LIFETIME["access"].total_seconds())
    response.set_cookie(name, token, max_age=age, httponly=True, secure=secure, samesite="lax")
