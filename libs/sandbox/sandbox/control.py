"""The control API that both stand-ins have besides the provider's own: faults, weather, deliveries, and their page.

It asks for no credentials: a stand-in is reached from its own machine only and holds nobody's money.
"""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from sandbox.delivery import Endpoint, Order, Weather
from sandbox.faults import FaultKind
from sandbox.standin import StandIn

TEMPLATES = Path(__file__).parent / "pages"
PAGES = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
ZERO_DECIMALS = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)


def money(amount: int, currency: str) -> str:
    """For the pages only: 49.00 USD."""
    code = currency.upper()
    return f"{amount} {code}" if code in ZERO_DECIMALS else f"{amount / 100:,.2f} {code}"


PAGES.filters["money"] = money


def page(name: str, **values: Any) -> HTMLResponse:
    """A page from `pages/`."""
    return HTMLResponse(PAGES.get_template(name).render(**values))


class Asked(BaseModel):
    """The body of a control call; a word that means nothing is refused, or a test would pass for nothing."""

    model_config = ConfigDict(extra="forbid")


class FaultAsked(Asked):
    kind: FaultKind
    match: str = ""
    times: int = 1
    seconds: float = 1.0


class WeatherAsked(Asked):
    losses: float = 0.0
    duplicates: float = 0.0
    copies: int = 1
    delay: float = 0.0


class EndpointAsked(Asked):
    url: str
    secrets: list[str]


class ReleaseAsked(Asked):
    order: str | list[str] = "as_sent"


def install_control(app: FastAPI, standin: StandIn, name: str) -> None:
    """Adds `/_control/…` and `/deliveries` to a stand-in's application."""
    app.include_router(_faults(standin), prefix="/_control")
    app.include_router(_webhooks(standin), prefix="/_control")
    app.include_router(_deliveries_page(standin, name))


def _faults(standin: StandIn) -> APIRouter:
    router = APIRouter()

    @router.post("/faults", status_code=204)
    async def add(asked: FaultAsked) -> Response:
        standin.faults.add(asked.kind, asked.match, times=asked.times, seconds=asked.seconds)
        return Response(status_code=204)

    @router.get("/faults")
    async def waiting() -> list[dict[str, Any]]:
        return [vars(fault) for fault in standin.faults.waiting]

    @router.delete("/faults", status_code=204)
    async def clear() -> Response:
        standin.faults.clear()
        return Response(status_code=204)

    return router


def _webhooks(standin: StandIn) -> APIRouter:
    router, webhooks = APIRouter(), standin.webhooks

    @router.put("/weather", status_code=204)
    async def weather(asked: WeatherAsked) -> Response:
        webhooks.weather = Weather(**asked.model_dump())
        return Response(status_code=204)

    @router.put("/endpoints", status_code=204)
    async def endpoints(asked: list[EndpointAsked]) -> Response:
        webhooks.endpoints[:] = [Endpoint(one.url, one.secrets) for one in asked]
        return Response(status_code=204)

    @router.post("/endpoints/enable", status_code=204)
    async def enable() -> Response:
        webhooks.enable()
        return Response(status_code=204)

    @router.post("/webhooks/hold", status_code=204)
    async def hold() -> Response:
        webhooks.hold()
        return Response(status_code=204)

    @router.post("/webhooks/release", status_code=204)
    async def release(asked: ReleaseAsked) -> Response:
        if isinstance(asked.order, str) and asked.order not in {"as_sent", "reversed", "shuffled"}:
            raise HTTPException(422, "order: as_sent, reversed, shuffled, or a list of event types")
        order: Order = asked.order
        await webhooks.release(order)
        return Response(status_code=204)

    @router.get("/deliveries")
    async def deliveries() -> list[dict[str, Any]]:
        return [delivery.shown() for delivery in webhooks.log]

    @router.post("/deliveries/{delivery_id}/resend", status_code=202)
    async def resend(delivery_id: int) -> Response:
        return Response(status_code=202 if webhooks.resend(delivery_id) else 404)

    return router


def _deliveries_page(standin: StandIn, name: str) -> APIRouter:
    router = APIRouter()

    @router.get("/deliveries", response_class=HTMLResponse)
    async def log() -> HTMLResponse:
        return page("deliveries.html", provider=name, deliveries=list(standin.webhooks.log)[:-201:-1])

    @router.post("/deliveries", response_class=RedirectResponse)
    async def resend(request: Request, delivery: Annotated[int, Form()]) -> RedirectResponse:
        standin.webhooks.resend(delivery)
        return RedirectResponse(request.url.path, status_code=303)

    return router
