"""Customers of a price that a provider collects by itself."""

from datetime import timedelta
from typing import Any

from billing.applying import apply_catalog
from billing.catalog import parse_catalog
from keyturn.internal import Caller
from support.billing import CATALOG, World
from support.fake_subscriptions import Collecting
from support.subscriptions import Subscriber, orders

ADA = Caller(actor="ada", role="admin")
PRICES = {
    "EUR": "{cycle: monthly, currency: EUR, amount: 900",
    "INR": "{cycle: monthly, currency: INR, amount: 79900",
}


async def collect(billing: World, **more: str) -> None:
    """From now on the sample's monthly prices are collected by their providers. `more`: of a price, by its currency."""
    text = CATALOG.read_text()
    for currency, price in PRICES.items():
        assert price in text, currency
        said = f", {more[currency]}" if currency in more else ""
        text = text.replace(price, f"{price}, collection: provider{said}", 1)
    await apply_catalog(billing.deps, ADA, parse_catalog(text), "they collect")


def collecting(subscriber: Subscriber) -> Collecting:
    """What the provider has of it."""
    reference = subscriber.id
    return next(one for one in subscriber.provider.collecting.values() if one.order.reference == reference)


async def subscribes(billing: World, **changes: Any) -> Subscriber:
    """Ordered, paid and ready, and the provider was told."""
    subscriber = await orders(billing, **changes)
    await subscriber.pays()
    await subscriber.is_ready()
    await billing.work()
    return subscriber


async def renews(subscriber: Subscriber, *, told: bool = True, **paid: Any) -> None:
    """The provider charges the next period at its end, or late, and tells of it or not."""
    found = collecting(subscriber)
    subscriber.billing.clock.move(max(found.period_until - subscriber.billing.clock.now(), timedelta()))
    payment = subscriber.provider.renew(found.id, **paid)
    if told:
        await subscriber.billing.hear(subscriber.provider.told(payment))
        await subscriber.billing.work()
