"""What the provisioner's work and routes are given: made once in `app.py`, another set in tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.clock import Clock
from keyturn.database import Database
from keyturn.retry import RetryPolicy
from keyturn.sealing import KeyRing
from provisioner.blueprints import Blueprint
from provisioner.certificates.tools import CertificateTools
from provisioner.engine.pace import Paces
from provisioner.resources import Kinds
from provisioner.settings import ProvisionerSettings

if TYPE_CHECKING:
    from provisioner.engine.begun import Recorder

_RETRY = RetryPolicy(attempts=8, first=timedelta(seconds=1), cap=timedelta(minutes=5))
_REMOVAL = RetryPolicy(attempts=5, first=timedelta(seconds=1), cap=timedelta(minutes=1))


@dataclass(frozen=True)
class Policy:
    """How long and how often the engine tries."""

    retry: RetryPolicy = _RETRY
    removal: RetryPolicy = _REMOVAL
    capacity_every: timedelta = timedelta(seconds=30)
    side_by_side: int = 4
    link_lifetime: timedelta = timedelta(hours=24)
    link_pause: timedelta = timedelta(minutes=1)  # so that a customer's mailbox cannot be flooded with links
    claim: timedelta = timedelta(seconds=90)


@dataclass(frozen=True)
class ProvisionerDeps:
    database: Database
    clock: Clock
    settings: ProvisionerSettings
    keys: KeyRing
    mail_keys: KeyRing
    kinds: Kinds
    blueprints: Mapping[str, Blueprint]
    recorder: "Recorder"
    tls: CertificateTools
    policy: Policy = Policy()
    paces: Paces = field(default_factory=Paces)
