"""Turning templates into answers, with the headers that every page has."""

import hashlib
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from babel.numbers import format_currency, get_currency_precision
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from gateway import clients
from gateway.settings import origin
from keyturn.errors import Problem, Unavailable
from keyturn.http import CODES
from keyturn.log import get_logger

HERE = Path(__file__).parent
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ASSETS = {file.name: file.read_bytes() for file in sorted((HERE / "static").iterdir())}
# Part of each address: a new release is never shown with an old stylesheet.
VERSION = hashlib.sha256(b"".join(ASSETS.values())).hexdigest()[:12]

POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}

router = APIRouter(include_in_schema=False)
log = get_logger()


@router.get("/static/{version}/{name}")
async def static(version: str, name: str) -> Response:
    if name not in ASSETS:
        raise Problem(404, "not_found", "there is no such file")
    age = "public, max-age=31536000, immutable" if version == VERSION else "no-store"
    kind = KINDS[Path(name).suffix]
    return Response(ASSETS[name], media_type=kind, headers={"Cache-Control": age, "X-Content-Type-Options": "nosniff"})


def money(amount: int, currency: str) -> str:
    """An amount in minor units as people write it."""
    return format_currency(Decimal(amount).scaleb(-get_currency_precision(currency)), currency, locale="en")


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%-d %b %Y, %H:%M} UTC"


def human(name: str) -> str:
    text = name.replace("_", " ").replace("-", " ").replace(".", " ").strip()
    return text[:1].upper() + text[1:]


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = lambda name: f"/static/{VERSION}/{name}"
    made.filters |= {"moment": _moment, "human": human}
    return made


TEMPLATES = _environment()


def page(template: str, *, status: int = 200, policy: dict[str, str] | None = None, **values: Any) -> HTMLResponse:
    """`policy`: what this page needs beyond the strict policy."""
    directives = POLICY | (policy or {})
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in directives.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(TEMPLATES.get_template(template).render(values), status, headers)


def message(title: str, detail: str, status: int = 200) -> HTMLResponse:
    home = {"href": "/", "label": "To the start page"}
    return page("message.html", status=status, title=title, detail=detail, action=home)


class PageRoute(APIRoute):
    """A problem on a page is a page, and a form is taken from our own pages only."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if request.method == "POST" and not _from_us(request):
                return message("Please try again from our page", "That form came from somewhere else.", 403)
            try:
                return await handle(request)
            except Problem as problem:
                return _problem(problem)
            except RequestValidationError:
                return message("Something is missing", "Please go back and fill in the whole form.", 422)
            except Unavailable:
                return message(*_AWAY, status=503)
            except Exception:
                log.exception("page_failed", route=self.path)
                return message(*_AWAY, status=500)

        return guarded


def install_pages(app: FastAPI) -> None:
    """Whoever looks for a page that is not there gets a page; whoever asks the API, the problem document."""
    for kind in (Problem, HTTPException):
        app.add_exception_handler(kind, partial(_for_people, otherwise=app.exception_handlers[kind]))


async def _for_people(request: Request, error: Exception, *, otherwise: Callable[[Request, Exception], Any]) -> Any:
    looks = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if not looks or request.url.path.startswith("/api/"):
        return await otherwise(request, error)
    if isinstance(error, HTTPException):
        error = Problem(error.status_code, CODES.get(error.status_code, "request_refused"), error.detail)
    assert isinstance(error, Problem)
    return _problem(error)


_AWAY = (
    "Back in a moment",
    "A part of our system does not answer right now. Nothing is lost: please try again shortly.",
)
_TITLES = {404: "We cannot find that", 410: "That is over", 429: "One moment, please"}
_DETAILS = {
    "install_not_found": "There is no such order, or this browser cannot show that it is yours.",
    "setup_link_unknown": "This is not a link of ours. Perhaps a part of it is missing: open it from the mail again.",
    "not_found": "There is no page at this address.",
    "setup_link_just_sent": "A link was sent to you less than a minute ago. Look into your mailbox, and into its spam "
    "folder; if it is not there in a minute, ask for another one.",
    "sign_in_link_over": "This link was used, or has run out. Have a new one sent to you.",
    "rate_limited": "Too many requests came from your address. Please wait a moment and try again.",
}


def _problem(problem: Problem) -> HTMLResponse:
    if problem.status >= 500:
        return message(*_AWAY, status=problem.status)
    detail = _DETAILS.get(problem.code) or _sentence(problem.detail)
    answer = message(_TITLES.get(problem.status, "That did not work"), detail, problem.status)
    if after := problem.extra.get("retry_after"):
        answer.headers["Retry-After"] = str(after)
    return answer


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _from_us(request: Request) -> bool:
    public = request.app.state.deps.settings.public_url
    return clients.comes_from(request, (origin(public), origin(str(request.base_url))))
