"""HTTP both ways: the one place where outgoing clients are made, and what every app answers when something is wrong.

Every error is an RFC 9457 problem document with a stable `code`. None repeats what the caller sent.
"""

import asyncio
import ssl
import sys
import time
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any

import httpx
from fastapi import FastAPI, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import Histogram
from pydantic import StringConstraints
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyturn import probes
from keyturn.errors import JSON, Problem, Unavailable
from keyturn.log import correlated, get_logger
from keyturn.tracing import trace, trace_id

# What carries httpx looks for this package several times a call; each time that it is not there takes a quarter of a
# millisecond. Who has it, has imported it by now.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type] # None: known not to be there

USER_AGENT = "Keyturn/0.1"
MEDIA_TYPE = "application/problem+json"
BODY_LIMIT = 1024 * 1024
BODY_WITHIN = 20.0  # seconds from the first byte of a body to its last
CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "content_too_large",
    415: "unsupported_media_type",
}

# Texts as a database takes them: why somebody does something; what a list is filtered by, or goes on from.
Words = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Named = Annotated[str | None, Query(max_length=500, pattern=r"^[^\x00]*$")]

# Reasons whose text is pydantic's own and quotes at most what we expect; of others only the kind is told.
PLAIN_REASONS = frozenset(
    {
        "missing", "string_type", "string_too_short", "string_too_long", "int_type", "int_parsing", "float_type",
        "float_parsing", "bool_type", "bool_parsing", "literal_error", "enum", "list_type", "dict_type", "greater_than",
        "greater_than_equal", "less_than", "less_than_equal", "too_long", "too_short", "uuid_parsing",
        "extra_forbidden",
    }
)  # fmt: skip

_SHAPE = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:keyturn:problem:<code>"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "stable, to be decided by"},
        "detail": {"type": "string", "description": "for people"},
    },
}
# What every route may answer besides its own, for the OpenAPI documents.
ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": f"{what}: a problem document", "content": {MEDIA_TYPE: {"schema": _SHAPE}}}
    for status, what in {"4XX": "What is wrong with the request", "5XX": "What failed"}.items()
}

REQUESTS = Histogram(
    "keyturn_http_request_seconds",
    "Time to answer a request, by route template",
    ["service", "method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)

log = get_logger()


def new_client(
    *,
    base_url: str = "",
    timeout: float = 10,
    headers: Mapping[str, str] | None = None,
    auth: httpx.Auth | None = None,
    verify: bool = True,
    transport: httpx.AsyncBaseTransport | None = None,
    connections: int = 50,
) -> httpx.AsyncClient:
    """A client for one outside system. It never follows redirects: a secret header must not wander off."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    trusted = _authorities() if verify else False
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=httpx.Timeout(timeout, connect=min(timeout, 5)),
        headers={"user-agent": USER_AGENT, **(headers or {})},
        auth=auth,
        follow_redirects=False,
        trust_env=False,
        transport=transport or httpx.AsyncHTTPTransport(retries=1, limits=limits, verify=trusted, trust_env=False),
    )


@cache
def _authorities() -> ssl.SSLContext:
    """Read once: for each client anew, they would take as long as all the rest of a service's start."""
    return httpx.create_ssl_context(trust_env=False)


def document(problem: Problem) -> dict[str, JSON]:
    """The problem as RFC 9457 wants it."""
    return {
        "type": f"urn:keyturn:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        **problem.extra,
    }


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response to a problem; `retry_after` (seconds) in its extras also becomes the header."""
    sent = dict(headers or {})
    if problem.status == 401:
        sent.setdefault("www-authenticate", "Bearer")
    if isinstance(after := problem.extra.get("retry_after"), int | float):
        sent.setdefault("retry-after", str(int(after)))
    return JSONResponse(jsonable_encoder(document(problem)), problem.status, sent, media_type=MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Whatever goes wrong in the app is answered with a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Unavailable, _on_unavailable)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return answer(error)


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "request_refused")
    return answer(Problem(error.status_code, code, error.detail), error.headers)


async def _on_unavailable(_: Request, __: Exception) -> JSONResponse:
    return answer(Problem(503, "unavailable", "a part of the system is away; try again", retry_after=1))


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    """Names the fields and what is wrong with them, never their values: a password may be among those."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return answer(Problem(400, "invalid_json", "the body is not valid JSON"))
    errors: list[JSON] = [_field(one) for one in found[:20]]
    return answer(Problem(422, "invalid_request", "the request has missing or wrong fields", errors=errors))


def _field(error: Mapping[str, Any]) -> dict[str, JSON]:
    where, *path = error["loc"] or ("body",)
    detail = error["msg"] if error["type"] in PLAIN_REASONS else "is not valid"
    if error["type"] == "model_attributes_type":  # most often the header was forgotten: the body is then a text to us
        detail = "must be a JSON object" if path else "must be a JSON object, sent as Content-Type: application/json"
    return {
        "in": str(where),
        "field": ".".join(str(part)[:64] for part in path),
        "code": error["type"],
        "detail": detail,
    }


class Boundary:
    """Around every request: correlation, trace, metrics, and the answer to what nobody caught."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
        with trace(header) as parent, correlated(service=self._service, trace_id=trace_id(parent)):
            await self._answered(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            log.exception("request_failed", method=scope["method"], route=_route(scope))
            if status:  # the answer has begun: the broken connection is all that can tell
                raise
            problem = Problem(500, "internal_error", "something went wrong on our side; it has been recorded")
            await answer(problem)(scope, receive, noting)
        finally:
            took = time.perf_counter() - began
            REQUESTS.labels(self._service, scope["method"], _route(scope), str(status)).observe(took)
            if status >= 400 and scope["path"] not in probes.PATHS:
                log.info("request_refused", method=scope["method"], route=_route(scope), status=status)


def _route(scope: Scope) -> str:
    """The template, not the path: paths may carry a setup token."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


class BodyLimit:
    """Refuses a body that is too large, by its stated length or as soon as it grows past the limit; and a slow one."""

    def __init__(
        self,
        app: ASGIApp,
        most: int = BODY_LIMIT,
        within: float = BODY_WITHIN,
        other: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`other`: what a path may have instead of `most`."""
        self._app = app
        self._most = most
        self._within = within
        self._other = other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._other.get(scope["path"], self._most)
        stated = dict(scope["headers"]).get(b"content-length", b"")
        if stated.isdigit() and int(stated) > most:
            await answer(_too_large(most))(scope, receive, send)
            return
        taken, ends = 0, asyncio.get_running_loop().time() + self._within
        whole = False  # what is received after the body is that the client has gone, however late

        async def counted() -> Message:
            nonlocal taken, whole
            try:
                async with asyncio.timeout_at(None if whole else ends):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the body did not come in time") from None
            whole = not message.get("more_body", False)
            taken += len(message.get("body", b""))
            if taken > most:
                raise HTTPException(413, _too_large(most).detail)
            return message

        await self._app(scope, counted, send)


def _too_large(most: int) -> Problem:
    return Problem(413, CODES[413], f"the body is larger than {most} bytes")
