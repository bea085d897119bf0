"""What stands before every call of the API: the key, idempotency by Stripe's rules, and the faults on demand."""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.responses import Response

from sandbox.faults import CutOff, Fault, Faults, garbage, hang
from sandbox.stripe import errors
from sandbox.stripe.account import API_VERSION, Kept, StripeAccount
from sandbox.stripe.errors import StripeProblem

Call = Callable[[], Awaitable[Response]]
KEPT_SECONDS = 24 * 60 * 60


class Edge:
    """`handle` is called for every request below /v1."""

    def __init__(self, account: StripeAccount, secret_key: str, faults: Faults) -> None:
        self._account = account
        self._secret_key = secret_key
        self._faults = faults

    async def handle(self, request: Request, call: Call) -> Response:
        request_id = f"req_{secrets.token_hex(7)}"
        try:
            self._authenticate(request)
            fault = self._faults.take(request.method, request.url.path)
            response = await self._faulty(request, call, fault, request_id)
        except StripeProblem as problem:
            response = problem.response()
            if problem.status == 409:
                response.headers["stripe-should-retry"] = "true"
        response.headers["request-id"] = request_id
        response.headers["stripe-version"] = request.headers.get("stripe-version", API_VERSION)
        return response

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            given = base64.b64decode(given + "==").decode(errors="replace").partition(":")[0]
        elif scheme.lower() != "bearer":
            raise errors.unauthorized(None)
        if not hmac.compare_digest(given.encode(), self._secret_key.encode()):
            raise errors.unauthorized(given)

    async def _faulty(self, request: Request, call: Call, fault: Fault | None, request_id: str) -> Response:
        kind = fault.kind if fault else None
        if kind == "rate_limit":
            raise errors.rate_limited()
        if kind == "garbage":
            return garbage()
        if kind == "hang":
            return await hang(request)

        async def executed() -> Response:
            """The part whose result is kept under the key, be it a 500."""
            if fault and kind == "slow":
                await asyncio.sleep(fault.seconds)
            if kind == "error":
                raise errors.broken()
            response = await call()
            if kind == "error_after":
                raise errors.broken()
            return response

        response = await self._once(request, executed, request_id)
        if kind == "hang_after":
            return await hang(request)
        if kind == "drop":
            return CutOff()
        return garbage() if kind == "garbage_after" else response

    async def _once(self, request: Request, call: Call, request_id: str) -> Response:
        key = request.headers.get("idempotency-key")
        if request.method != "POST" or not key:
            return await self._run(call, request_id, None)
        if len(key) > 255:
            raise errors.invalid("Idempotency keys have up to 255 characters.")
        body = await request.body()
        fingerprint = hashlib.sha256(f"{request.url.path}\n".encode() + body).hexdigest()
        keys, now = self._account.kept, self._account.now()
        kept = keys.get(key)
        if kept and now - kept.at < KEPT_SECONDS:
            return self._again(key, kept, fingerprint)
        keys[key] = kept = Kept(fingerprint, now, request_id)
        try:
            response = await self._run(call, request_id, key)
        except StripeProblem as problem:
            if not problem.executed:
                del keys[key]  # a call that was refused before it began leaves no trace
                raise
            response = problem.response()
            response.headers["stripe-should-retry"] = "false"
        except BaseException:
            del keys[key]
            raise
        kept.status, kept.body = response.status_code, bytes(response.body).decode()
        return response

    def _again(self, key: str, kept: Kept, fingerprint: str) -> Response:
        if kept.fingerprint != fingerprint:
            raise errors.key_mismatch(key)
        if kept.body is None:
            raise errors.key_in_use(key)
        headers = {"idempotent-replayed": "true", "original-request": kept.request_id}
        return Response(kept.body, kept.status, headers, "application/json")

    async def _run(self, call: Call, request_id: str, key: str | None) -> Response:
        self._account.request = {"id": request_id, "idempotency_key": key}
        try:
            return await call()
        finally:
            self._account.request = {"id": None, "idempotency_key": None}
