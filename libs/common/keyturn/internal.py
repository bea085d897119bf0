"""Calls between services: the gateway signs who asks and why, for one service and sixty seconds.

Ed25519, so that a service can check a token and cannot make one.
"""

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import Depends, Request

from keyturn import tracing
from keyturn.errors import Problem
from keyturn.http import new_client

ISSUER = "gateway"
LIFETIME = 60  # seconds
LEEWAY = 5  # seconds that two machines' clocks may differ
ALGORITHM = "EdDSA"

Role = Literal["public", "customer", "viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may


@dataclass(frozen=True)
class Caller:
    """The person or program for whom the gateway asks. `reason`: why an operator does it."""

    actor: str
    role: Role
    reason: str | None = None

    def may(self, minimum: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(minimum)


class Signer:
    """The gateway's side; only it holds the seed."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def from_seed(cls, seed: str) -> Self:
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed, validate=True)))
        except ValueError:
            raise ValueError("the signing key must be 32 bytes in base64") from None

    def public_key(self) -> str:
        """What the other services get as INTERNAL_PUBLIC_KEY."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode()

    def sign(self, audience: str, caller: Caller, *, now: float | None = None) -> str:
        """A token for one service. Signatures live by the machine's time, not by the movable clock."""
        issued = int(time.time() if now is None else now)
        claims = {"iss": ISSUER, "aud": audience, "iat": issued, "exp": issued + LIFETIME}
        claims |= {"sub": caller.actor, "role": caller.role, "reason": caller.reason}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


class Verifier:
    """The other services' side. Without a key it refuses everything."""

    def __init__(self, public_keys: str, audience: str) -> None:
        self._keys = [_public_key(text) for text in public_keys.replace(",", " ").split()]
        self._audience = audience

    def verify(self, token: str) -> Caller:
        """Who asks. Raises `Problem` 401: one answer, whatever is wrong."""
        for key in self._keys:
            if (claims := self._claims(token, key)) is not None:
                return Caller(actor=claims["sub"], role=claims["role"], reason=claims.get("reason"))
        raise _unauthenticated()

    def _claims(self, token: str, key: Ed25519PublicKey) -> dict[str, Any] | None:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "aud", "iss", "sub"]},
            )
        except jwt.InvalidTokenError:
            return None
        short = claims["exp"] - claims["iat"] <= LIFETIME
        return claims if short and claims.get("role") in ROLES else None


@dataclass(frozen=True)
class Demands:
    """A dependency: the `Caller`, who has at least this role. `docs/routes.md` reads every route's role from it."""

    role: Role

    async def __call__(self, request: Request) -> Caller:
        """Raises `Problem` 401 or 403."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthenticated()
        verifier: Verifier = request.app.state.verifier
        found = verifier.verify(token)
        if not found.may(self.role):
            raise Problem(403, "forbidden", f"this needs the role {self.role}")
        return found


Public = Annotated[Caller, Depends(Demands("public"))]
Customer = Annotated[Caller, Depends(Demands("customer"))]
Viewer = Annotated[Caller, Depends(Demands("viewer"))]
Operator = Annotated[Caller, Depends(Demands("operator"))]
Admin = Annotated[Caller, Depends(Demands("admin"))]


class InternalClient:
    """Asks one service. What it answers as a problem is raised here as the same problem."""

    def __init__(
        self,
        base_url: str,
        audience: str,
        signer: Signer,
        *,
        timeout: float = 10,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._audience = audience
        self._signer = signer
        self._http = new_client(base_url=base_url, timeout=timeout, transport=transport)

    async def request(
        self,
        method: str,
        path: str,
        caller: Caller,
        *,
        json: Any = None,
        params: Mapping[str, str | int | None] | None = None,
        within: float | None = None,
    ) -> Any:
        """The answer's JSON. Raises the other side's `Problem`, or 503 `<audience>_unavailable`; that also after
        `within` seconds, where somebody waits who can go on without the answer."""
        asked = {key: value for key, value in (params or {}).items() if value is not None}
        token = self._signer.sign(self._audience, caller)
        headers = {"authorization": f"Bearer {token}", "traceparent": tracing.traceparent()}
        try:
            async with asyncio.timeout(within):
                answer = await self._http.request(method, path, json=json, params=asked, headers=headers)
            document = answer.json() if answer.content else None
        except (httpx.HTTPError, ValueError, TimeoutError):
            raise self._unavailable() from None
        if answer.is_success:
            return document
        raise self._problem(answer.status_code, document)

    async def ping(self) -> None:
        """Raises where the service does not answer at all."""
        (await self._http.get("/healthz")).raise_for_status()

    async def close(self) -> None:
        await self._http.aclose()

    def _problem(self, status: int, document: Any) -> Problem:
        if not isinstance(document, dict) or not isinstance(document.get("code"), str) or status < 400:
            return self._unavailable()
        known = ("type", "title", "status", "code", "detail")
        extra = {key: value for key, value in document.items() if key not in known}
        return Problem(status, document["code"], str(document.get("detail", "")), **extra)

    def _unavailable(self) -> Problem:
        return Problem(503, f"{self._audience}_unavailable", f"{self._audience} does not answer now; try again")


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise ValueError("INTERNAL_PUBLIC_KEY must be 32 bytes in base64") from None


def _unauthenticated() -> Problem:
    return Problem(401, "unauthenticated", "only the gateway may ask, with a token that it signed")
