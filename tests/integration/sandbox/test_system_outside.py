"""The world outside as a process of its own: started for real, paid through by the SDKs, its webhooks and mails seen."""

import asyncio
import os
import smtplib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import razorpay
import stripe
from fastapi import FastAPI, Request

from sandbox.loopback import Loopback
from sandbox.ports import free_port
from support.waiting import WaitUntil

PUBLIC = {"stripe": "http://pay.example:9011", "razorpay": "http://pay.example:9012"}
KEYS = {
    "STRIPE_SECRET_KEY": "sk_test_outside",
    "STRIPE_WEBHOOK_SECRET": "whsec_outside",
    "RAZORPAY_KEY_ID": "rzp_test_outside",
    "RAZORPAY_KEY_SECRET": "outside",
    "RAZORPAY_WEBHOOK_SECRET": "outside-too",
}
ORDER: dict[str, Any] = {
    "mode": "payment",
    "success_url": "https://shop.example/thanks?session_id={CHECKOUT_SESSION_ID}",
    "client_reference_id": "purchase-1",
    "line_items": [
        {"quantity": 1, "price_data": {"currency": "eur", "unit_amount": 4900, "product_data": {"name": "Shop"}}}
    ],
}


@dataclass
class Running:
    ports: dict[str, int]
    heard: list[tuple[str, bytes, str]]  # path, body, signature

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    heard: list[tuple[str, bytes, str]] = []
    gateway, app = Loopback(), FastAPI()

    @app.post("/api/webhooks/{provider}")
    async def hear(provider: str, request: Request) -> None:
        names = "stripe-signature", "x-razorpay-signature"
        signature = next(request.headers[name] for name in names if name in request.headers)
        heard.append((provider, await request.body(), signature))

    await gateway.start(app)
    ports = {name: free_port() for name in ("stripe", "razorpay", "mailbox", "smtp")}
    environment = {
        **KEYS,
        **{f"SANDBOX_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        **{f"SANDBOX_{name.upper()}_URL": url for name, url in PUBLIC.items()},
        "PATH": os.environ["PATH"],
        "GATEWAY_URL": gateway.url,
        "SANDBOX_DATA": str(tmp_path),
    }
    command = [sys.executable, "-m", "sandbox.outside"]
    process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    try:
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30)
        assert line.startswith("ready:"), line + process.stdout.read()
        yield Running(ports, heard)
    finally:
        process.terminate()
        rest, _ = await asyncio.to_thread(process.communicate)
        await gateway.stop()
    assert (process.returncode, rest) == (0, "")


def heard_types(running: Running, provider: str) -> list[str]:
    bodies = [httpx.Response(200, content=body).json() for name, body, _ in running.heard if name == provider]
    return [body.get("type") or body["event"] for body in bodies]


async def test_stripe_sdk_opens_a_session_that_browsers_pay_at_the_public_address(
    running: Running, wait_until: WaitUntil
) -> None:
    client = stripe.StripeClient(KEYS["STRIPE_SECRET_KEY"], base_addresses={"api": running.url("stripe")})
    session = await asyncio.to_thread(client.v1.checkout.sessions.create, cast(Any, ORDER))
    assert session.url == f"{PUBLIC['stripe']}/c/pay/{session.id}"
    page = session.url.replace(PUBLIC["stripe"], running.url("stripe"))  # what publishing the port does
    async with httpx.AsyncClient() as browser:
        assert "49.00 EUR" in (await browser.get(page)).text
        assert (await browser.post(page, data={"outcome": "paid"})).status_code == 303
    await wait_until(lambda: "checkout.session.completed" in heard_types(running, "stripe"), 10)
    _, body, signature = next(one for one in running.heard if b'"checkout.session.completed"' in one[1])
    event = stripe.Webhook.construct_event(body, signature, KEYS["STRIPE_WEBHOOK_SECRET"])
    assert event["data"]["object"]["client_reference_id"] == "purchase-1"


async def test_razorpay_sdk_makes_an_order_that_is_paid_in_the_window_of_checkout_js(
    running: Running, wait_until: WaitUntil
) -> None:
    client = razorpay.Client(
        auth=(KEYS["RAZORPAY_KEY_ID"], KEYS["RAZORPAY_KEY_SECRET"]), base_url=running.url("razorpay")
    )
    order = await asyncio.to_thread(client.order.create, {"amount": 449900, "currency": "INR", "receipt": "purchase-1"})
    async with httpx.AsyncClient(base_url=running.url("razorpay")) as browser:
        assert (await browser.get("/v1/checkout.js")).is_success
        assert (await browser.post(f"/checkout/{order['id']}", data={"outcome": "paid"})).is_success
    await wait_until(lambda: "order.paid" in heard_types(running, "razorpay"), 10)
    _, body, signature = next(one for one in running.heard if b'"order.paid"' in one[1])
    client.utility.verify_webhook_signature(body.decode(), signature, KEYS["RAZORPAY_WEBHOOK_SECRET"])


async def test_mailbox_shows_what_was_sent_to_it(running: Running) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@sandbox.example", "ada@customers.example", "Your shop is ready"
    mail.set_content("Choose a password")

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", running.ports["smtp"], timeout=10) as server:
            server.send_message(mail)

    await asyncio.to_thread(send)
    async with httpx.AsyncClient(base_url=running.url("mailbox")) as browser:
        assert "Your shop is ready" in (await browser.get("/")).text


@pytest.mark.parametrize("missing", KEYS)
def test_a_missing_key_is_told_in_one_line(missing: str) -> None:
    environment = {name: value for name, value in KEYS.items() if name != missing} | {"PATH": os.environ["PATH"]}
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox.outside"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == f"setting {missing}: Field required\n"
