"""Wires billing together: the one place that knows every part."""

from collections.abc import Mapping
from dataclasses import dataclass

from billing.api import router
from billing.applying import apply_file
from billing.catalog import Catalog, read_catalog
from billing.deps import BillingDeps
from billing.handlers import HANDLERS, WORK
from billing.providers import PaymentProvider
from billing.providers.razorpay import RazorpayProvider
from billing.providers.stripe import StripeProvider
from billing.settings import BillingSettings
from keyturn.bus import Bus, connect_bus
from keyturn.clock import Clock
from keyturn.database import Database
from keyturn.errors import Unavailable
from keyturn.service import Service

NAME = "billing"


def build(
    settings: BillingSettings,
    *,
    clock: Clock | None = None,
    bus: Bus | None = None,
    providers: Mapping[str, PaymentProvider] | None = None,
) -> Service[BillingDeps]:
    """Raises `CatalogError` for a catalogue with faults: better no start than a wrong price."""
    clock = clock or settings.make_clock()
    catalog = read_catalog(settings.catalog)
    database = Database(settings.database_url, service=NAME, clock=clock)
    loading = CatalogLoading(database, catalog)
    found = providers_of(settings) if providers is None else providers
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=database,
        bus=bus or connect_bus(settings.bus_url, service=NAME, replica=settings.replica),
        deps=BillingDeps(database, clock, settings, found),
        handlers=HANDLERS,
        work=WORK,
        package=NAME,
        port=settings.port,
        routers=[router],
        pings={"catalog": loading.ping},
        background=[loading.run],
        closing=[provider.close for provider in found.values()],
    )


def providers_of(settings: BillingSettings) -> dict[str, PaymentProvider]:
    """Those for which a key is set."""
    found: dict[str, PaymentProvider] = {}
    if key := settings.stripe_secret_key.get_secret_value():
        found["stripe"] = StripeProvider(key, api_base=settings.stripe_api_base)
    if secret := settings.razorpay_key_secret.get_secret_value():
        found["razorpay"] = RazorpayProvider(settings.razorpay_key_id, secret, api_base=settings.razorpay_api_base)
    return found


@dataclass
class CatalogLoading:
    """Applies the file, once the database is migrated. Until then nothing can be sold, and we say so."""

    database: Database
    catalog: Catalog
    done: bool = False

    async def run(self) -> None:
        async with self.database.transaction("load_catalog") as tx:
            await apply_file(tx, self.catalog)
        self.done = True

    async def ping(self) -> None:
        if not self.done:
            raise Unavailable("the catalogue is not loaded yet")
