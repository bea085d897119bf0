"""What the gateway's routes and work are given."""

from dataclasses import dataclass

from gateway.access import Access
from gateway.live import LiveJourneys
from gateway.settings import GatewaySettings
from keyturn.clock import Clock
from keyturn.database import Database
from keyturn.internal import InternalClient


@dataclass(frozen=True)
class GatewayDeps:
    settings: GatewaySettings
    clock: Clock
    database: Database
    access: Access
    live: LiveJourneys
    billing: InternalClient
    provisioner: InternalClient
    notifier: InternalClient
