"""The gateway's fixtures, for attacks on it."""

from integration.gateway.conftest import admin, gateway, start

__all__ = ["admin", "gateway", "start"]
