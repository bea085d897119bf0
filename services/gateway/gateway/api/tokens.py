"""Operators: who am I, and who may use this API."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from gateway import operators as access
from gateway.api.asking import Deps, Reason
from gateway.operators import Admin, Viewer
from gateway.repository import operators
from gateway.repository.operators import Token
from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.errors import Problem

router = APIRouter(tags=["operators"])
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class NewToken(Reason):
    """`operator`: whose it is, a new one if the name is new; without it the caller's own."""

    name: Name
    role: Literal["viewer", "operator", "admin"] = "viewer"
    operator: Name | None = None
    days: int | None = Field(default=None, ge=1, le=3660)


@router.get("/api/me")
async def me(caller: Viewer) -> dict[str, Any]:
    return {"actor": caller.actor, "role": caller.role}


@router.get("/api/tokens")
async def tokens(_: Admin, deps: Deps) -> dict[str, Any]:
    async with deps.database.transaction("read_tokens") as tx:
        return {"items": [_shown(token) for token in await operators.tokens(tx)], "nextCursor": None}


@router.post("/api/tokens", status_code=201)
async def create(wanted: NewToken, caller: Admin, deps: Deps) -> dict[str, Any]:
    """The answer holds the token, once; it is kept nowhere."""
    token = access.new_token()
    async with deps.database.transaction("create_token") as tx:
        owner = wanted.operator or caller.actor
        expires = tx.now + timedelta(days=wanted.days) if wanted.days else None
        values = {"name": wanted.name, "role": wanted.role, "expires": expires}
        secret = {"hash": access.hashed(token), "hint": access.hint(token)}
        made = await operators.add_token(tx, await _operator(tx, owner), **values, **secret)
        told = {"name": wanted.name, "role": wanted.role, "operator": owner}
        acted(tx, caller, "token.created", f"token:{made}", reason=wanted.reason, after=told)
    return {"id": str(made), "token": token, **told}


@router.delete("/api/tokens/{token_id}")
async def revoke(token_id: UUID, why: Reason, caller: Admin, deps: Deps) -> dict[str, Any]:
    """Revoking twice is harmless, and recorded once."""
    async with deps.database.transaction("revoke_token") as tx:
        found = await operators.revoke_token(tx, token_id)
        if found is None:
            raise Problem(404, "token_not_found", "there is no such token")
        if found.revoked is None:
            told = {"name": found.name, "operator": found.operator}
            acted(tx, caller, "token.revoked", f"token:{token_id}", reason=why.reason, after=told)
    return {"id": str(token_id), "revoked": True}


async def _operator(tx: Transaction, name: str) -> UUID:
    known = await operators.operator_id(tx, name) or await operators.add_operator(tx, name)
    # Taken between the two by another request: it is there now.
    known = known or await operators.operator_id(tx, name)
    assert known is not None
    return known


def _shown(token: Token) -> dict[str, Any]:
    moments = {"created": token.created, "expires": token.expires}
    moments |= {"lastUsed": token.last_used, "revoked": token.revoked}
    plain = {"id": str(token.id), "name": token.name, "operator": token.operator, "role": token.role}
    shown = {f"{name}At": moment.isoformat() if moment else None for name, moment in moments.items()}
    return plain | {"hint": f"{token.hint}…"} | shown
