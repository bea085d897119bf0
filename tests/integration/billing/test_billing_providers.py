"""Billing with the real adapters and the official SDKs, against the stand-ins over HTTP."""

from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any, Protocol

import pytest

from billing.providers import PaymentProvider
from billing.providers.razorpay import RazorpayProvider
from billing.providers.stripe import StripeProvider
from keyturn.clock import MovableClock
from keyturn.events import EntitlementChanged, PurchasePaid, PurchaseRefunded
from sandbox.razorpay import RazorpaySandbox
from sandbox.stripe import StripeSandbox
from support.billing import World, world

pytestmark = pytest.mark.servers


class DatabaseUrl(Protocol):
    def __call__(self, of: str, /) -> Awaitable[str]: ...


class Real:
    """Billing's world, and the stand-ins that customers pay at."""

    def __init__(self, billing: World, stripe: StripeSandbox, razorpay: RazorpaySandbox) -> None:
        self.billing = billing
        self._stripe, self._razorpay = stripe, razorpay

    def pay(self, bought: dict[str, Any]) -> None:
        """Nobody is told: the stand-ins send no webhook here."""
        if "order_id" in bought:
            self._razorpay.pay(bought["order_id"])
        else:
            self._stripe.pay(bought["session_id"])


@pytest.fixture
async def real(database_url: DatabaseUrl, clock: MovableClock) -> AsyncIterator[Real]:
    url = await database_url("billing")
    async with (
        StripeSandbox(secret_key="sk_test_billing") as stripe,
        RazorpaySandbox(key_id="rzp_test_billing", key_secret="rzp_secret_0123456789") as razorpay,
    ):
        adapters: dict[str, PaymentProvider] = {
            "stripe": StripeProvider("sk_test_billing", api_base=stripe.url, retries=0),
            "razorpay": RazorpayProvider("rzp_test_billing", "rzp_secret_0123456789", api_base=razorpay.url),
        }
        async with world(url, clock, adapters) as billing:
            yield Real(billing, stripe, razorpay)
        for adapter in adapters.values():
            await adapter.close()


@pytest.mark.parametrize("currency", ["EUR", "INR"])
async def test_a_purchase_is_bought_found_paid_and_refunded(real: Real, currency: str) -> None:
    billing = real.billing
    bought = await billing.buy(currency=currency)
    purchase = bought["purchase_id"]
    real.pay(bought)
    billing.clock.move(timedelta(minutes=2))
    await billing.reconcile()
    assert await billing.state_of(purchase) == "paid"
    (paid,) = await billing.published(PurchasePaid, purchase)
    assert (paid.amount, paid.currency, paid.found_by) == (bought["amount"], currency, "reconciler")
    await billing.ask("POST", f"/internal/purchases/{purchase}/refund", "admin", json={"reason": "x", "amount": 1000})
    await billing.ask("POST", f"/internal/purchases/{purchase}/refund", "admin", json={"reason": "x"})
    await billing.work()
    assert sorted(event.amount for event in await billing.published(PurchaseRefunded)) == [1000, paid.amount - 1000]
    assert await billing.state_of(purchase) == "refunded"
    wanted = [event.wanted for event in await billing.published(EntitlementChanged)]
    assert wanted == ["on", "ended"]


@pytest.mark.parametrize("currency", ["EUR", "INR"])
async def test_a_purchase_that_nobody_pays_expires(real: Real, currency: str) -> None:
    billing = real.billing
    bought = await billing.buy(currency=currency)
    billing.clock.move(timedelta(hours=24))
    await billing.reconcile()
    assert await billing.state_of(bought["purchase_id"]) == "expired"
    assert await billing.rows("SELECT 1 FROM work WHERE state = 'dead'") == []
