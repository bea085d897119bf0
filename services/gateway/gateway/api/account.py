"""What customers see and do of their own once they have signed in by a mailed link. What each purchase lets them do
stands below `/api/install/{id}`, which takes their session as proof."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from gateway import limits, sessions, signing_in
from gateway.accounts import CUSTOMER, account_of, want_erasure
from gateway.api import exports, proofs, views
from gateway.api.asking import Cursor
from gateway.api.camel import camel
from gateway.checkout import status_url
from gateway.deps import GatewayDeps
from gateway.repository import sessions as stored
from gateway.sessions import SignedIn
from keyturn.service import get_deps

router = APIRouter(prefix="/api/account", tags=["account"], dependencies=[Depends(proofs.private)])
Deps = Annotated[GatewayDeps, Depends(get_deps)]
Few = Annotated[int, Query(ge=1, le=100)]
SUCCESS = {"success": True}


class Asking(BaseModel):
    email: signing_in.Email


class Link(BaseModel):
    token: str = Field(max_length=200, repr=False)


@router.post("/link", dependencies=[limits.SIGN_IN], status_code=202)
async def ask_for_link(wanted: Asking, deps: Deps) -> dict[str, bool]:
    """A mail with a link goes to the address if it is a customer's. The answer is the same for every address."""
    await signing_in.ask_for_link(deps, wanted.email)
    return SUCCESS


@router.post("/session", dependencies=[limits.SETUP], status_code=201)
async def sign_in(link: Link, response: Response, deps: Deps) -> dict[str, bool]:
    """With the token at the end of the link, once: the answer's cookie is the session."""
    sessions.give_cookie(response, deps, await signing_in.enter(deps, link.token))
    return SUCCESS


@router.delete("/session", dependencies=[limits.STATUS])
async def sign_out(request: Request, response: Response, deps: Deps) -> dict[str, bool]:
    """Who is not signed in is not signed in afterwards."""
    await sign_out_of(request, response, deps)
    return SUCCESS


@router.get("", dependencies=[limits.STATUS])
async def account(session: SignedIn, deps: Deps, cursor: Cursor = None, limit: Few = 20) -> dict[str, Any]:
    """The purchases, newest first: `install` is what `/api/install/{id}` says of each. `credit`, by currency, is taken
    off the next payments."""
    found = await account_of(deps, session, cursor, limit)
    items = [
        camel(one.bought) | {"install": views.customer(one.journey), "statusUrl": status_url(deps, one.purchase_id)}
        for one in found.purchases
    ]
    purchases = {"items": items, "nextCursor": found.cursor}
    return {"email": found.email, "name": found.name, "credit": found.credit, "purchases": purchases}


@router.get("/export", dependencies=[limits.EXPORT], response_class=StreamingResponse, responses=exports.RESPONSES)
async def export(session: SignedIn, deps: Deps) -> StreamingResponse:
    """Everything that is kept about the customer."""
    return await exports.document(deps, CUSTOMER, session.customer_id)


@router.post("/erasure", dependencies=[limits.STATUS], status_code=202)
async def ask_for_erasure(session: SignedIn, deps: Deps) -> dict[str, bool]:
    """An operator does it, once nothing runs any more."""
    await want_erasure(deps, session)
    return SUCCESS


async def sign_out_of(request: Request, response: Response, deps: GatewayDeps) -> None:
    if session := await sessions.session_of(request, deps):
        async with deps.database.transaction("sign_out") as tx:
            await stored.end(tx, session)
    sessions.take_cookie(response, deps)
