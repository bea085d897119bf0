"""Customers who have signed in: a cookie of 256 random bits, whose SHA-256 is stored; and what a route demands of them.

A session ends when it was not used for a week, and a month after signing in. Its token is replaced as it is used.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from gateway import clients
from gateway.deps import GatewayDeps
from gateway.repository import journeys, sessions
from gateway.repository.sessions import Session
from gateway.settings import origin
from keyturn.database import Transaction
from keyturn.errors import Problem
from keyturn.service import get_deps

LIFE = timedelta(days=30)
IDLE = timedelta(days=7)
NEW_TOKEN_EVERY = timedelta(hours=1)
USE_NOTED_EVERY = timedelta(minutes=10)
READING = ("GET", "HEAD")


def new_token() -> str:
    return secrets.token_urlsafe(32)


def hashed(token: str) -> bytes:
    # A plain hash is enough: the token is 256 random bits, nobody guesses it from a list.
    return hashlib.sha256(token.encode()).digest()


def cookie_name(deps: GatewayDeps) -> str:
    """By its prefix a browser takes it from no neighbouring host: customers' installs may stand below our domain."""
    return "__Host-keyturn_session" if _secure(deps) else "keyturn_session"


@dataclass(frozen=True)
class Demands:
    """A dependency: the session of a signed-in customer. `docs/routes.md` reads it from the routes."""

    role: str = "customer"

    async def __call__(self, request: Request) -> Session:
        """Raises `Problem` 401."""
        found = await session_of(request, get_deps(request))
        if found is None:
            raise Problem(401, "not_signed_in", "sign in first: have a link sent to your e-mail address")
        return found


SignedIn = Annotated[Session, Depends(Demands())]


async def session_of(request: Request, deps: GatewayDeps) -> Session | None:
    token = request.cookies.get(cookie_name(deps), "")
    if not token or not may_act(request, deps):
        return None
    async with deps.database.transaction("find_session") as tx:
        return await _found(tx, token)


async def owns(request: Request, deps: GatewayDeps, purchase_id: UUID) -> bool:
    """Whether the purchase is the signed-in customer's."""
    token = request.cookies.get(cookie_name(deps), "")
    if not token or not may_act(request, deps):
        return False
    async with deps.database.transaction("find_session") as tx:
        session = await _found(tx, token)
        found = await journeys.find(tx, purchase_id)
    return bool(session and found and found.journey.customer_id == str(session.customer_id))


async def begin(tx: Transaction, customer_id: UUID) -> str:
    """The token of a new session."""
    token = new_token()
    await sessions.add(tx, hashed(token), customer_id, signed_in=tx.now, expires=tx.now + LIFE)
    return token


async def renewed(tx: Transaction, session: Session) -> str | None:
    """Another token, where this one has been used for a while."""
    if session.made > tx.now - NEW_TOKEN_EVERY:
        return None
    token = new_token()
    await sessions.add(
        tx, hashed(token), session.customer_id, signed_in=session.signed_in, expires=session.signed_in + LIFE
    )
    await sessions.replaced(tx, session)
    return token


def give_cookie(response: Response, deps: GatewayDeps, token: str) -> None:
    age = int(LIFE.total_seconds())
    name, secure = cookie_name(deps), _secure(deps)
    response.set_cookie(name, token, max_age=age, httponly=True, secure=secure, samesite="lax")


def take_cookie(response: Response, deps: GatewayDeps) -> None:
    response.delete_cookie(cookie_name(deps), httponly=True, secure=_secure(deps), samesite="lax")


async def _found(tx: Transaction, token: str) -> Session | None:
    session = await sessions.find(tx, hashed(token), idle=IDLE)
    if session and session.used < tx.now - USE_NOTED_EVERY:
        await sessions.note_use(tx, session)
    return session


def may_act(request: Request, deps: GatewayDeps) -> bool:
    """A browser sends the cookie with any form that points here: what changes something comes from our pages, or from
    those of a shop that may use the API."""
    allowed = {*deps.settings.origins, origin(str(request.base_url))}
    return request.method in READING or clients.comes_from(request, allowed)


def _secure(deps: GatewayDeps) -> bool:
    return deps.settings.public_url.startswith("https:")
