"""The application of the stand-in for Razorpay."""

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import Response

from sandbox.control import install_control
from sandbox.razorpay import api, cards, control, pages
from sandbox.razorpay.edge import Edge
from sandbox.razorpay.errors import RazorpayProblem

if TYPE_CHECKING:
    from sandbox.razorpay.sandbox import RazorpaySandbox


def build(sandbox: "RazorpaySandbox") -> FastAPI:
    """The API and checkout.js below /v1, the payment pages, and the control API."""
    app = FastAPI(title="Razorpay, in the sandbox", openapi_url=None)
    app.add_exception_handler(RazorpayProblem, _answer)
    install_control(app, sandbox, "Razorpay")
    app.include_router(control.router(sandbox))
    app.include_router(cards.router(sandbox.account, sandbox.key_id, sandbox.key_secret))
    app.include_router(pages.router(sandbox.account, sandbox.key_id, sandbox.key_secret))
    edge = Edge(sandbox.account, sandbox.key_id, sandbox.key_secret, sandbox.faults)
    app.router.routes.extend(api.router(sandbox.account, edge).routes)
    return app


async def _answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, RazorpayProblem)
    return error.response()
