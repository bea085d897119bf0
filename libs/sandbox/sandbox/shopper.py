"""A customer, as far as machines can tell: buys, pays at the provider's page, reads the mail, chooses a password.

It knows only what a customer's browser and mailbox know; the demo, the tests and the benchmarks buy through it.
"""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from sandbox.mailbox import Mailbox
from sandbox.razorpay import RazorpaySandbox
from sandbox.stripe import StripeSandbox

LINK = re.compile(r"https?://\S+/setup/[\w-]+")


@dataclass
class Bought:
    """One opened checkout, as the shop answered it."""

    purchase_id: str
    access_token: str
    provider: str
    checkout_id: str
    email: str
    answer: dict[str, Any] = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.access_token}"}


class Shopper:
    """`client` has the gateway's address as its base URL."""

    def __init__(
        self, client: httpx.AsyncClient, stripe: StripeSandbox, razorpay: RazorpaySandbox, mailbox: Mailbox
    ) -> None:
        self._client, self._stripe, self._razorpay, self._mailbox = client, stripe, razorpay, mailbox

    async def order(self, email: str, *, key: str | None = None, **order: Any) -> Bought:
        """Opens a checkout; repeated with the same key, the same one. Raises `httpx.HTTPStatusError` where the shop
        refuses it."""
        headers = {"idempotency-key": key} if key else {}
        answer = await self._client.post("/api/checkout", json={"email": email, **order}, headers=headers)
        opened = checked(answer).json()
        checkout = opened.get("sessionId") or opened.get("orderId") or opened.get("subscriptionId") or ""
        provider = opened.get("provider") or ""
        return Bought(opened["purchaseId"], opened["accessToken"], provider, checkout, email, opened)

    async def renew(self, bought: Bought) -> Bought:
        """From the link in the mail, weeks later: proves whose it is by the address, and opens a checkout for what is
        owed."""
        path = f"/api/install/{bought.purchase_id}"
        proven = checked(await self._client.post(f"{path}/access", json={"email": bought.email})).json()
        headers = {"authorization": f"Bearer {proven['accessToken']}"}
        opened = checked(await self._client.post(f"{path}/checkout", headers=headers)).json()
        checkout = opened.get("sessionId") or opened.get("orderId") or opened.get("subscriptionId") or ""
        token = opened["accessToken"]
        return replace(bought, access_token=token, checkout_id=checkout, answer=opened)

    def pay(self, bought: Bought) -> dict[str, Any]:
        """At the provider's page. The provider tells the shop by webhook."""
        if bought.provider == "stripe":
            return self._stripe.pay(bought.checkout_id)
        return self._razorpay.pay(bought.checkout_id)

    async def watch(self, purchase_id: str, headers: dict[str, str], after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The journey's events after that one, past and to come; for whom, the headers say."""
        url, headers = f"/api/journeys/{purchase_id}/events", {**headers, "last-event-id": str(after)}
        async with self._client.stream("GET", url, headers=headers, timeout=None) as stream:
            name = ""
            async for line in stream.aiter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data" and name == "journey":
                    yield json.loads(value)

    async def status(self, bought: Bought) -> dict[str, Any]:
        """The customer's view of the install."""
        answer = await self._client.get(f"/api/install/{bought.purchase_id}", headers=bought.headers)
        return dict(checked(answer).json())

    def setup_link(self, bought: Bought) -> str | None:
        """The newest setup link in the customer's mailbox, if one has come."""
        mails = self._mailbox.to(bought.email)
        links = [link for mail in mails for link in LINK.findall(mail.text)]
        return links[-1] if links else None

    async def set_password(self, link: str, password: str) -> dict[str, Any]:
        token = link.rsplit("/", 1)[-1]
        body = {"password": password, "confirmPassword": password}
        return dict(checked(await self._client.post(f"/api/setup/{token}", json=body)).json())

    async def logs_in(self, url: str, email: str, password: str) -> bool:
        """Whether the instance itself takes the password."""
        try:
            answer = await self._client.post(f"{url.rstrip('/')}/login", json={"email": email, "password": password})
        except httpx.TransportError:
            return False
        return answer.status_code == 200


def checked(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is a good one. Raises `httpx.HTTPStatusError` with what the other side said."""
    if answer.is_error:
        raise httpx.HTTPStatusError(answer.text[:500], request=answer.request, response=answer)
    return answer
