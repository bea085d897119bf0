"""The routes below /v1 that Keyturn uses, as the official SDK calls them."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.routing import Route

from sandbox.control import TEMPLATES
from sandbox.razorpay import orders, paying, returning, subscribing
from sandbox.razorpay.account import RazorpayAccount
from sandbox.razorpay.edge import Edge
from sandbox.razorpay.errors import RazorpayProblem, bad, missing

Made = dict[str, Any]
Call = Callable[[Made, str], Made]


def router(account: RazorpayAccount, edge: Edge) -> APIRouter:
    def route(method: str, path: str, call: Call) -> Route:
        async def endpoint(request: Request) -> Response:
            id_ = request.path_params.get("id", "")
            return await edge.handle(request, lambda values: call(values, id_))

        return Route(f"/v1{path}", endpoint, methods=[method])

    async def script(_: Request) -> Response:
        return FileResponse(TEMPLATES / "checkout.js", media_type="text/javascript")

    def unknown(_: Made, __: str) -> Made:
        raise RazorpayProblem(404, "The requested URL was not found on the server.")

    routes = APIRouter()
    routes.routes.extend(
        [
            Route("/v1/checkout.js", script),
            route("POST", "/orders", lambda values, _: orders.create(account, values)),
            route("GET", "/orders", lambda values, _: _listed(account.all("order"), values, "receipt")),
            route("GET", "/orders/{id}", lambda _, id_: account.get(id_, "order")),
            route("GET", "/orders/{id}/payments", lambda _, id_: _payments(account, id_)),
            route("GET", "/payments", lambda values, _: _listed(account.all("payment"), values)),
            route("GET", "/payments/{id}", lambda _, id_: account.get(id_, "payment")),
            route("POST", "/payments/{id}/capture", lambda values, id_: _capture(account, id_, values)),
            route("POST", "/payments/{id}/refund", lambda values, id_: returning.create_refund(account, id_, values)),
            route("GET", "/payments/{id}/refunds", lambda values, id_: _refunds(account, id_, values)),
            route("GET", "/refunds", lambda values, _: _listed(account.all("refund"), values)),
            route("GET", "/refunds/{id}", lambda _, id_: account.get(id_, "refund")),
            route("POST", "/plans", lambda values, _: subscribing.create_plan(account, values)),
            route("GET", "/plans", lambda values, _: _listed(account.all("plan"), values)),
            route("GET", "/plans/{id}", lambda _, id_: account.get(id_, "plan")),
            route("POST", "/subscriptions", lambda values, _: subscribing.create(account, values)),
            route("GET", "/subscriptions", lambda values, _: _listed(account.all("subscription"), values, "plan_id")),
            route("GET", "/subscriptions/{id}", lambda _, id_: account.get(id_, "subscription")),
            route("POST", "/subscriptions/{id}/cancel", lambda values, id_: subscribing.cancel(account, id_, values)),
            route("POST", "/subscriptions/{id}/pause", lambda _, id_: subscribing.pause(account, id_)),
            route("POST", "/subscriptions/{id}/resume", lambda _, id_: subscribing.resume(account, id_)),
            route("GET", "/invoices", lambda values, _: _listed(account.all("invoice"), values, "subscription_id")),
            route("GET", "/invoices/{id}", lambda _, id_: account.get(id_, "invoice")),
            route("GET", "/disputes", lambda values, _: _disputes(account, values)),
            route("GET", "/disputes/{id}", lambda _, id_: account.get(id_, "dispute")),
            *(route(method, "/{rest:path}", unknown) for method in ("GET", "POST", "PATCH", "DELETE")),
        ]
    )
    return routes


def _collection(found: list[Made]) -> Made:
    return {"entity": "collection", "count": len(found), "items": found}


def _listed(found: list[Made], values: Made, *filters: str) -> Made:
    count, skip = int(values.get("count", 10)), int(values.get("skip", 0))
    if not 1 <= count <= 100:
        raise bad("The count may not be greater than 100.", "count")
    for name in filters:
        if name in values:
            found = [one for one in found if one[name] == values[name]]
    found = [one for one in found if int(values.get("from", 0)) <= one["created_at"] <= int(values.get("to", 2**40))]
    return _collection(found[skip : skip + count])


def _payments(account: RazorpayAccount, order_id: str) -> Made:
    account.get(order_id, "order")
    return _collection(account.payments_of(order_id))


def _refunds(account: RazorpayAccount, payment_id: str, values: Made) -> Made:
    if payment_id not in account.objects:
        raise missing()
    return _listed([one for one in account.all("refund") if one["payment_id"] == payment_id], values)


def _disputes(account: RazorpayAccount, values: Made) -> Made:
    """No time is documented for this list: it takes none."""
    return _listed(account.all("dispute"), {name: values[name] for name in ("count", "skip") if name in values})


def _capture(account: RazorpayAccount, payment_id: str, values: Made) -> Made:
    return paying.capture(account, payment_id, values.get("amount"), values.get("currency"))
