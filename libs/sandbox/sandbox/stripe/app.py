"""The application of the stand-in for Stripe."""

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import Response

from sandbox.control import install_control
from sandbox.stripe import control, pages
from sandbox.stripe.api import Api
from sandbox.stripe.edge import Edge
from sandbox.stripe.errors import StripeProblem

if TYPE_CHECKING:
    from sandbox.stripe.sandbox import StripeSandbox


def build(sandbox: "StripeSandbox") -> FastAPI:
    """The API below /v1, the payment pages, and the control API."""
    app = FastAPI(title="Stripe, in the sandbox", openapi_url=None)
    app.add_exception_handler(StripeProblem, _answer)
    install_control(app, sandbox, "Stripe")
    app.include_router(control.router(sandbox))
    app.include_router(pages.router(sandbox.account))
    edge = Edge(sandbox.account, sandbox.secret_key, sandbox.faults)
    app.router.routes.extend(Api(sandbox.account, edge, sandbox.webhooks, sandbox.public_url).router().routes)
    return app


async def _answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, StripeProblem)
    return error.response()
