"""Another card for a subscription, in the window that checkout.js opens with `subscription_card_change`."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from sandbox.control import page
from sandbox.razorpay import subscribing
from sandbox.razorpay.account import RazorpayAccount
from sandbox.razorpay.errors import bad
from sandbox.razorpay.pages import of_subscription


def change_card(account: RazorpayAccount, subscription_id: str) -> str:
    """The customer gives another card in the window, which the bank takes. The payment that the window brings back: of
    what was overdue, else one of no money."""
    subscription = account.get(subscription_id, "subscription")
    if subscription["status"] not in {"authenticated", "active", "pending", "halted"}:
        raise bad(f"The card of a subscription that is {subscription['status']} cannot be changed.")
    paid = subscription["paid_count"]
    subscribing.use_card(account, subscription_id, "good")
    if subscription["paid_count"] == paid:
        return account.new_id("pay")
    return str(next(one["id"] for one in account.all("payment") if one["captured"]))


def router(account: RazorpayAccount, key_id: str, key_secret: str) -> APIRouter:
    routes = APIRouter()

    @routes.get("/card/{subscription_id}", response_class=HTMLResponse)
    async def look_at_card(subscription_id: str, key: str = "", callback_url: str = "") -> Response:
        if (key and key != key_id) or subscription_id not in account.objects:
            return page("gone.html", what="There is no such subscription on this account.")
        return page("razorpay_card.html", callback_url=callback_url, failure=None)

    @routes.post("/card/{subscription_id}", response_class=HTMLResponse)
    async def give_card(
        subscription_id: str,
        card: Annotated[subscribing.Card, Form()],
        callback_url: Annotated[str, Form()] = "",
    ) -> Response:
        """A card that is refused changes nothing."""
        if card == "declined":
            failure = {"code": "BAD_REQUEST_ERROR", "description": "The bank refuses this card.", "metadata": {}}
            return page("razorpay_card.html", callback_url=callback_url, failure=failure)
        payment_id = change_card(account, subscription_id)
        answer = of_subscription(key_secret, payment_id, subscription_id)
        return page("razorpay_done.html", callback_url=callback_url, answer=answer)

    return routes
