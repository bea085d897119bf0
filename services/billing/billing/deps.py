"""What billing's work and routes are given: made once in `app.py`, another set in tests."""

from dataclasses import dataclass, field

from billing.providers import PaymentProvider, Providers
from billing.settings import BillingSettings
from billing.taxes import CatalogTaxes, Taxes
from keyturn.clock import Clock
from keyturn.database import Database
from keyturn.errors import GiveUp


@dataclass(frozen=True)
class BillingDeps:
    database: Database
    clock: Clock
    settings: BillingSettings
    providers: Providers
    taxes: Taxes = field(default_factory=CatalogTaxes)

    def provider(self, name: str) -> PaymentProvider:
        """For work: dead at once where no key is set, and retried by an operator once one is."""
        try:
            return self.providers[name]
        except KeyError:
            raise GiveUp(f"no key for {name} is set") from None
