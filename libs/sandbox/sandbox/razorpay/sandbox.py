"""The stand-in for Razorpay as the runner and the tests hold it."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from keyturn.clock import Clock
from sandbox.books import Entry
from sandbox.delivery import Rules
from sandbox.razorpay import orders, pages, paying, returning, subscribing
from sandbox.razorpay.account import Kept, RazorpayAccount
from sandbox.razorpay.app import build
from sandbox.standin import StandIn

RULES = Rules(timeout=5.0, give_up=timedelta(hours=24), disables=True, secret_of_event=True)


def sign(body: bytes, secrets: Sequence[str], event_id: str) -> dict[str, str]:
    """With the current secret, which is the first; nothing but the body is signed, and every retry looks the same."""
    secret = secrets[0] if secrets else ""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-razorpay-signature": signature, "x-razorpay-event-id": event_id}


class RazorpaySandbox(StandIn):
    """`async with RazorpaySandbox(...) as razorpay`: `razorpay.url` is the API's base address. What people and banks
    do are its methods; each returns the object that it made or changed."""

    def __init__(
        self,
        *,
        key_id: str,
        key_secret: str,
        webhook_url: str | None = None,
        webhook_secrets: Sequence[str] = (),
        clock: Clock | None = None,
        state_file: Path | None = None,
        port: int | None = None,
        host: str = "127.0.0.1",
        public_url: str | None = None,
        seed: int = 0,
        rules: Rules = RULES,
    ) -> None:
        super().__init__(
            sign,
            rules,
            webhook_url=webhook_url,
            webhook_secrets=webhook_secrets,
            clock=clock,
            state_file=state_file,
            port=port,
            host=host,
            public_url=public_url,
            seed=seed,
        )
        self.key_id = key_id
        self.key_secret = key_secret
        self.account = RazorpayAccount(clock=self.clock, webhooks=self.webhooks)

    @property
    def script(self) -> str:
        """The address of checkout.js."""
        return f"{self.public_url}/v1/checkout.js"

    def app(self) -> FastAPI:
        return build(self)

    def tick(self) -> None:
        subscribing.pass_time(self.account)

    def use_card(self, subscription_id: str, card: subscribing.Card) -> dict[str, Any]:
        """What becomes of what a subscription charges from now on, and of what it could not."""
        return subscribing.use_card(self.account, subscription_id, card)

    def pay(
        self, order_id: str, outcome: paying.Outcome = "paid", *, notes: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """An order, or the first payment of a subscription."""
        if order_id.startswith("sub_"):
            return subscribing.pay(self.account, order_id, outcome)
        return paying.pay(self.account, order_id, outcome, notes=notes)

    def proof(self, payment_id: str) -> dict[str, str]:
        """What the browser brings back to the shop after this payment."""
        return pages.proof(self.account, self.key_secret, self.account.get(payment_id, "payment"))

    def authorise_late(self, payment_id: str) -> dict[str, Any]:
        """The bank answers after all about a payment that was told as failed."""
        return paying.authorise_late(self.account, payment_id)

    def pay_foreign(self, amount: int, currency: str) -> dict[str, Any]:
        """Somebody pays another shop that uses the same account."""
        order = {"amount": amount, "currency": currency, "receipt": "other-shop-4711"}
        return self.pay(orders.create(self.account, order)["id"])

    def refund(self, payment_id: str, amount: int | None = None, *, pending: bool = False) -> dict[str, Any]:
        """By hand, in the dashboard."""
        payment = self.account.get(payment_id, "payment")
        wanted = amount if amount is not None else payment["amount"] - payment["amount_refunded"]
        return returning.add_refund(self.account, payment, wanted, {}, pending=pending)

    def fail_refund(self, refund_id: str) -> dict[str, Any]:
        return returning.fail_refund(self.account, refund_id)

    def dispute(self, payment_id: str, *, amount: int | None = None, phase: str = "chargeback") -> dict[str, Any]:
        return returning.dispute(self.account, payment_id, amount=amount, phase=phase)

    def close_dispute(self, dispute_id: str, verdict: returning.Verdict) -> dict[str, Any]:
        return returning.close_dispute(self.account, dispute_id, verdict)

    def books(self) -> list[Entry]:
        """Every captured payment, oldest first."""
        return [self._entry(one) for one in self.account.all("payment")[::-1] if one["captured"]]

    def _entry(self, payment: dict[str, Any]) -> Entry:
        order = self.account.objects.get(payment["order_id"], {})
        invoice = self.account.objects.get(payment["invoice_id"] or "", {})
        subscription = self.account.objects.get(invoice.get("subscription_id", ""), {})
        named = (payment["notes"], order.get("notes"), subscription.get("notes"))
        ours = [one for one in named if isinstance(one, dict)]
        disputes = [one for one in self.account.all("dispute") if one["payment_id"] == payment["id"]]
        return Entry(
            payment_key=payment["id"],
            reference=next((one["purchase_id"] for one in ours if "purchase_id" in one), None),
            amount=payment["amount"],
            currency=payment["currency"],
            refunded=payment["amount_refunded"],
            lost=sum(one["amount_deducted"] for one in disputes),
        )

    def dump(self) -> dict[str, Any]:
        kept = {place: vars(one) for place, one in self.account.kept.items() if one.answer is not None}
        return {"objects": self.account.objects, "hidden": self.account.hidden, "kept": kept}

    def load(self, state: dict[str, Any]) -> None:
        self.account.objects, self.account.hidden = state["objects"], state["hidden"]
        self.account.kept.update({place: Kept(**one) for place, one in state["kept"].items()})
