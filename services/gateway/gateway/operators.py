"""Operators' tokens: 256 random bits, stored as their SHA-256; and what a route demands of whoever calls it."""

import hashlib
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from gateway.deps import GatewayDeps
from gateway.repository import operators
from keyturn.acting import acted
from keyturn.database import Database
from keyturn.errors import Problem
from keyturn.internal import Caller, Role
from keyturn.log import get_logger
from keyturn.service import get_deps

PREFIX = "kt_"
FIRST = "first"
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")

log = get_logger()


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hashed(token: str) -> bytes:
    # A plain hash is enough: the token is 256 random bits, nobody guesses it from a list.
    return hashlib.sha256(token.encode()).digest()


def hint(token: str) -> str:
    return token[: len(PREFIX) + 4]


@dataclass(frozen=True)
class Demands:
    """A dependency: the calling operator, who has at least this role. A test reads the roles of all routes from it."""

    role: Role

    async def __call__(self, request: Request) -> Caller:
        """Raises `Problem` 401 without a valid token, 403 with one that may not."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.startswith(PREFIX):
            raise _unauthenticated()
        deps: GatewayDeps = get_deps(request)
        found = await authenticate(deps.database, token)
        if found is None:
            raise _unauthenticated()
        if not found.may(self.role):
            raise Problem(403, "forbidden", f"this needs the role {self.role}; the token has {found.role}")
        return found


async def authenticate(database: Database, token: str) -> Caller | None:
    """Whose token this is, or None."""
    async with database.transaction("authenticate") as tx:
        known = await operators.valid_token(tx, hashed(token))
    return Caller(actor=known.operator, role=cast("Role", known.role)) if known else None


Viewer = Annotated[Caller, Depends(Demands("viewer"))]
Operator = Annotated[Caller, Depends(Demands("operator"))]
Admin = Annotated[Caller, Depends(Demands("admin"))]


def because(caller: Caller, reason: str) -> Caller:
    """The caller with why they do it, for the audit log of the service that acts."""
    return replace(caller, reason=reason)


async def make_first_operator(database: Database, file: Path) -> None:
    """Where there is no operator, makes one and writes an admin token to `file`, readable to its owner alone."""
    async with database.transaction("first_operator") as tx:
        if await operators.any_operator(tx):
            return
        operator = await operators.add_operator(tx, FIRST)
        if operator is None:
            return  # another replica is first
        token = new_token()
        await operators.add_token(tx, operator, name=FIRST, role="admin", hash=hashed(token), hint=hint(token))
        caller = Caller(actor="system", role="admin", reason="there was no operator")
        acted(tx, caller, "operator.created", f"operator:{FIRST}")
        # Before the commit: a token that nobody can read would lock everybody out, a file too many locks nobody out.
        _write(file, token)
    log.info("first operator token written", file=str(file))


def _write(file: Path, token: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(token + "\n")
    draft.replace(file)


def _unauthenticated() -> Problem:
    return Problem(401, "unauthenticated", "this needs a valid operator token")
