"""The payment page that the sandbox's checkout.js opens for an order, and a page with everything on the account."""

import hashlib
import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from sandbox.control import page
from sandbox.razorpay import paying, subscribing
from sandbox.razorpay.account import RazorpayAccount
from sandbox.razorpay.errors import RazorpayProblem


def signature(key_secret: str, signed: str) -> str:
    return hmac.new(key_secret.encode(), signed.encode(), hashlib.sha256).hexdigest()


def proof(account: RazorpayAccount, key_secret: str, payment: dict[str, Any]) -> dict[str, str]:
    """The three values for the shop's `handler` or `callback_url`. Of a subscription's first payment the ids are signed
    the other way round."""
    if subscription := account.objects.get(payment["invoice_id"] or "", {}).get("subscription_id"):
        return of_subscription(key_secret, payment["id"], subscription)
    signed = f"{payment['order_id']}|{payment['id']}"
    return {
        "razorpay_payment_id": payment["id"],
        "razorpay_order_id": payment["order_id"],
        "razorpay_signature": signature(key_secret, signed),
    }


def of_subscription(key_secret: str, payment_id: str, subscription_id: str) -> dict[str, str]:
    signed = signature(key_secret, f"{payment_id}|{subscription_id}")
    return {
        "razorpay_payment_id": payment_id,
        "razorpay_subscription_id": subscription_id,
        "razorpay_signature": signed,
    }


def wanted(account: RazorpayAccount, id_: str) -> dict[str, Any]:
    """What an order or a subscription asks for, as its page shows it. Raises `RazorpayProblem`."""
    if not id_.startswith("sub_"):
        return account.get(id_, "order")
    subscription = account.get(id_, "subscription")
    item = account.objects[subscription["plan_id"]]["item"]
    amount = item["amount"] + account.hidden[id_]["addons"]
    status = "created" if subscription["status"] == "created" else "paid"
    return {"id": id_, "amount": amount, "currency": item["currency"], "status": status}


def router(account: RazorpayAccount, key_id: str, key_secret: str) -> APIRouter:
    routes = APIRouter()

    @routes.get("/checkout/{order_id}", response_class=HTMLResponse)
    async def look(order_id: str, key: str = "", title: str = "", email: str = "", callback_url: str = "") -> Response:
        if key and key != key_id:
            return page("gone.html", what="The key is not one of this account.")
        try:
            order = wanted(account, order_id)
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
        if order_id.startswith("sub_"):
            payment = subscribing.pay(account, order_id, outcome)
        else:
            payment = paying.pay(account, order_id, outcome, email=email)
        if payment["status"] != "failed":
            return page("razorpay_done.html", callback_url=callback_url, answer=proof(account, key_secret, payment))
        failure = {"code": payment["error_code"], "description": payment["error_description"]}
        failure |= {"reason": payment["error_reason"], "metadata": {"payment_id": payment["id"], "order_id": order_id}}
        order = wanted(account, order_id)
        values = {"title": title, "email": email, "callback_url": callback_url}
        return page("razorpay_order.html", order=order, failed=True, failure=failure, **values)

    @routes.get("/", response_class=HTMLResponse)
    async def overview() -> HTMLResponse:
        orders, payments = account.all("order")[:200], account.all("payment")[:200]
        return page("razorpay_overview.html", orders=orders, payments=payments)

    return routes
