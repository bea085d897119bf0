"""The stand-in for Stripe as the runner and the tests hold it."""

import hashlib
import hmac
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from keyturn.clock import Clock
from sandbox.books import Entry
from sandbox.delivery import Rules
from sandbox.standin import StandIn
from sandbox.stripe import checkout, old_shapes, paying, renewing, returning, saving
from sandbox.stripe.account import Kept, StripeAccount
from sandbox.stripe.app import build

RULES = Rules(timeout=10.0, give_up=timedelta(days=3), disables=False, secret_of_event=False)


def sign(body: bytes, secrets: Sequence[str], event_id: str) -> dict[str, str]:
    """One `v1` for each secret while an endpoint's secret is being changed; each try has its own time."""
    del event_id
    now = int(time.time())  # signatures use real time
    parts = [hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest() for secret in secrets]
    return {"stripe-signature": ",".join([f"t={now}", *(f"v1={part}" for part in parts)])}


class StripeSandbox(StandIn):
    """`async with StripeSandbox(...) as stripe`: `stripe.url` is the API's base address. What people and banks do are
    its methods; each returns the object that it made or changed."""

    def __init__(
        self,
        *,
        secret_key: str,
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
        self.secret_key = secret_key
        livemode = secret_key.startswith(("sk_live_", "rk_live_"))
        self.account = StripeAccount(clock=self.clock, livemode=livemode, webhooks=self.webhooks)

    def app(self) -> FastAPI:
        return build(self)

    def tick(self) -> None:
        checkout.expire_old(self.account)
        renewing.pass_time(self.account)

    def tell_in_old_shapes(self) -> None:
        """As an endpoint is told that was made before 2025-03-31."""
        self.account.endpoint_version = old_shapes.OLD_VERSION
        self.account.shown = lambda thing: old_shapes.old(self.account, thing)

    def use_card(self, subscription_id: str, card: renewing.Card) -> dict[str, Any]:
        """What becomes of what a subscription charges from now on, and of what it could not."""
        return renewing.use_card(self.account, subscription_id, card)

    def cancel(self, subscription_id: str) -> dict[str, Any]:
        """By hand, in the dashboard."""
        return renewing.cancel(self.account, subscription_id)

    def pause(self, subscription_id: str) -> dict[str, Any]:
        """By its customer, in the portal."""
        return renewing.pause(self.account, subscription_id)

    def pay(
        self,
        session_id: str,
        outcome: paying.Outcome = "paid",
        *,
        amount: int | None = None,
        card: str = saving.GOOD,
    ) -> dict[str, Any]:
        return paying.pay(self.account, session_id, outcome, amount=amount, card=card)

    def give_card(self, session_id: str, card: str = saving.GOOD) -> dict[str, Any]:
        """On a page that takes no money."""
        return saving.give(self.account, session_id, card)

    def use_saved(self, customer_id: str, card: str) -> None:
        """What becomes of what this customer saved, from now on: one of `saving.CARDS`."""
        saving.use_saved(self.account, customer_id, card)

    def settle(self, session_id: str, *, succeeded: bool) -> dict[str, Any]:
        """What becomes of a delayed payment."""
        return paying.settle(self.account, session_id, succeeded=succeeded)

    def pay_foreign(self, amount: int, currency: str) -> dict[str, Any]:
        """Somebody pays another shop that uses the same account."""
        price = {"currency": currency, "unit_amount": str(amount), "product_data": {"name": "Other shop"}}
        params: dict[str, Any] = {
            "mode": "payment",
            "success_url": "https://other.example/thanks",
            "customer_email": "somebody@other.example",
            "metadata": {"order": "4711"},
            "line_items": [{"price_data": price, "quantity": "1"}],
        }
        return self.pay(checkout.create(self.account, params, self.public_url)["id"])

    def expire(self, session_id: str) -> dict[str, Any]:
        return checkout.expire(self.account, session_id)

    def charge_of(self, session_id: str) -> str:
        """The id of the latest charge of a session."""
        intent = self.account.objects[self.account.hidden[session_id]["intent"]]
        return str(intent["latest_charge"])

    def refund(self, charge_id: str, amount: int | None = None, *, pending: bool = False) -> dict[str, Any]:
        """By hand, in the dashboard."""
        return returning.refund(self.account, charge_id, amount, pending=pending)

    def fail_refund(self, refund_id: str) -> dict[str, Any]:
        return returning.fail_refund(self.account, refund_id)

    def dispute(self, charge_id: str, *, amount: int | None = None, inquiry: bool = False) -> dict[str, Any]:
        return returning.dispute(self.account, charge_id, amount=amount, inquiry=inquiry)

    def close_dispute(self, dispute_id: str, verdict: returning.Verdict) -> dict[str, Any]:
        return returning.close_dispute(self.account, dispute_id, verdict)

    def warn(self, charge_id: str) -> dict[str, Any]:
        return returning.warn(self.account, charge_id)

    def books(self) -> list[Entry]:
        """Every captured payment, by session or invoice, oldest first."""
        sessions = [s for s in self.account.all("checkout.session")[::-1] if s["payment_status"] == "paid"]
        first = [
            self._entry(one["invoice"] or one["id"], one["client_reference_id"], self.charge_of(one["id"]))
            for one in sessions
        ]
        taken = [
            self._entry(one["id"], one["metadata"].get("purchase_id"), one["latest_charge"])
            for one in self.account.all("payment_intent")[::-1]
            if one["status"] == "succeeded" and "charge" in one["metadata"]
        ]
        renewals = [self._renewal(one) for one in self.account.all("invoice")[::-1] if _is_paid_renewal(one)]
        return first + renewals + taken

    def _renewal(self, invoice: dict[str, Any]) -> Entry:
        payment = next(one for one in self.account.all("invoice_payment") if one["invoice"] == invoice["id"])
        intent = self.account.objects[payment["payment"]["payment_intent"]]
        reference = invoice["parent"]["subscription_details"]["metadata"].get("purchase_id")
        return self._entry(invoice["id"], reference, intent["latest_charge"])

    def _entry(self, payment_key: str, reference: str | None, charge_id: str) -> Entry:
        charge = self.account.objects[charge_id]
        lost = sum(
            dispute["amount"]
            for dispute in self.account.all("dispute")
            if dispute["charge"] == charge["id"] and dispute["status"] in {"lost", "needs_response", "under_review"}
        )
        return Entry(
            payment_key=payment_key,
            reference=reference,
            amount=charge["amount_captured"],
            currency=charge["currency"].upper(),
            refunded=charge["amount_refunded"],
            lost=lost,
        )

    def dump(self) -> dict[str, Any]:
        account = self.account
        kept = {key: vars(one) for key, one in account.kept.items() if one.body is not None}
        return {"objects": account.objects, "hidden": account.hidden, "events": account.events, "kept": kept}

    def load(self, state: dict[str, Any]) -> None:
        account = self.account
        account.objects, account.hidden, account.events = state["objects"], state["hidden"], state["events"]
        account.kept = {key: Kept(**one) for key, one in state["kept"].items()}
        for session in account.all("checkout.session"):
            if session["status"] == "open":
                session["url"] = f"{self.public_url}/c/pay/{session['id']}"  # should the port be another one now


def _is_paid_renewal(invoice: dict[str, Any]) -> bool:
    return bool(invoice["billing_reason"] == "subscription_cycle" and invoice["amount_paid"])
