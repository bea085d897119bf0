"""What stands before every call of the API: the key pair, the idempotency of refunds, and the faults on demand."""

import asyncio
import base64
import hmac
import json
import re
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from sandbox.faults import CutOff, Faults, garbage, hang
from sandbox.razorpay.account import Kept, RazorpayAccount
from sandbox.razorpay.errors import RazorpayProblem, bad, broken

Call = Callable[[dict[str, Any]], dict[str, Any]]
REFUND_KEY = "x-refund-idempotency"


class Edge:
    """`handle` is called for every request below /v1."""

    def __init__(self, account: RazorpayAccount, key_id: str, key_secret: str, faults: Faults) -> None:
        self._pair = f"{key_id}:{key_secret}"
        self._faults = faults
        self._kept = account.kept

    async def handle(self, request: Request, call: Call) -> Response:
        """`call` gets the query's or the JSON body's values."""
        try:
            self._authenticate(request)
            return await self._faulty(request, call)
        except RazorpayProblem as problem:
            return problem.response()

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            pair = base64.b64decode(given, validate=True)
        except ValueError:
            pair = b""
        if scheme.lower() != "basic" or not hmac.compare_digest(pair, self._pair.encode()):
            raise RazorpayProblem(401, "Authentication failed")

    async def _faulty(self, request: Request, call: Call) -> Response:
        fault = self._faults.take(request.method, request.url.path)
        kind = fault.kind if fault else None
        if kind == "rate_limit":
            raise RazorpayProblem(429, "Request failed. Please try after sometime.")
        if kind == "error":
            raise broken()
        if kind == "garbage":
            return garbage()
        if kind == "hang":
            return await hang(request)
        made = await self._once(request, call, fault.seconds if fault and kind == "slow" else 0)
        if kind == "error_after":
            raise broken()
        if kind == "garbage_after":
            return garbage()
        if kind == "hang_after":
            return await hang(request)
        return CutOff() if kind == "drop" else JSONResponse(made)

    async def _once(self, request: Request, call: Call, seconds: float) -> dict[str, Any]:
        """Refunds are the only calls with an idempotency key: the same body again gets the first answer."""
        values = await _values(request)
        key = request.headers.get(REFUND_KEY)
        if key is None or not request.url.path.endswith("/refund"):
            await asyncio.sleep(seconds)
            return call(values)
        if not re.fullmatch(r"[A-Za-z0-9_-]{10,}", key):
            raise bad("The idempotency key must have at least 10 letters, digits, hyphens or underscores.")
        place = f"{request.url.path} {key}"
        kept = self._kept.get(place)
        if kept and kept.body != values:
            raise bad("Different request body sent for the same Idempotency Header")
        if kept and kept.answer is None:
            raise RazorpayProblem(409, "Request failed because another request is in progress with the same key")
        if kept and kept.answer is not None:
            return kept.answer
        self._kept[place] = kept = Kept(values)
        try:
            await asyncio.sleep(seconds)
            kept.answer = dict(call(values))
        finally:
            if kept.answer is None:
                del self._kept[place]
        return kept.answer


async def _values(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query_params)
    try:
        values = json.loads(await request.body() or b"{}")
    except ValueError:
        raise bad("The request body is not valid JSON.") from None
    if not isinstance(values, dict):
        raise bad("The request body must be an object.")
    return values
