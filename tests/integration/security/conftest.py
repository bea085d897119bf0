"""The fixtures of the services that are attacked here."""

from integration.billing.conftest import billing
from integration.gateway.conftest import admin, gateway, start

__all__ = ["admin", "billing", "gateway", "start"]
