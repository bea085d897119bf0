"""The payment page that the sandbox's checkout.js opens for an order, and a page with everything on the account."""

import hashlib
import hmac
from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from sandbox.control import page
from sandbox.razorpay import paying
from sandbox.razorpay.account import RazorpayAccount
from sandbox.razorpay.errors import RazorpayProblem


def signature(key_secret: str, order_id: str, payment_id: str) -> str:
    """What the browser brings back to the shop."""
    return hmac.new(key_secret.encode(), f"{order_id}|{payment_id}".encode(), hashlib.sha256).hexdigest()


def proof(key_secret: str, payment: dict[str, str]) -> dict[str, str]:
    """The three values for the shop's `handler` or `callback_url`."""
    return {
        "razorpay_payment_id": payment["id"],
        "razorpay_order_id": payment["order_id"],
        "razorpay_signature": signature(key_secret, payment["order_id"], payment["id"]),
    }


def router(account: RazorpayAccount, key_id: str, key_secret: str) -> APIRouter:
    routes = APIRouter()

    @routes.get("/checkout/{order_id}", response_class=HTMLResponse)
    async def look(order_id: str, key: str = "", title: str = "", email: str = "", callback_url: str = "") -> Response:
        if key and key != key_id:
            return page("gone.html", what="The key is not one of this account.")
        try:
            order = account.get(order_id, "order")
        except RazorpayProblem as problem:
            return page("gone.html", what=str(problem))
        values = {"title": title, "email": email, "callback_url": callback_url}
        return page("razorpay_order.html", order=order, failed=False, failure=None, **values)

    @routes.post("/checkout/{order_id}", response_class=HTMLResponse)
    async def choose(
        order_id: str,
        outcome: Annotated[paying.Outcome, Form()],
        callback_url: Annotated[str, Form()] = "",
        title: Annotated[str, Form()] = "",
        email: Annotated[str, Form()] = "",
    ) -> Response:
        payment = paying.pay(account, order_id, outcome, email=email)
        if payment["status"] != "failed":
            return page("razorpay_done.html", callback_url=callback_url, answer=proof(key_secret, payment))
        failure = {"code": payment["error_code"], "description": payment["error_description"]}
        failure |= {"reason": payment["error_reason"], "metadata": {"payment_id": payment["id"], "order_id": order_id}}
        order = account.get(order_id, "order")
        values = {"title": title, "email": email, "callback_url": callback_url}
        return page("razorpay_order.html", order=order, failed=True, failure=failure, **values)

    @routes.get("/", response_class=HTMLResponse)
    async def overview() -> HTMLResponse:
        orders, payments = account.all("order")[:200], account.all("payment")[:200]
        return page("razorpay_overview.html", orders=orders, payments=payments)

    return routes
