"""An install and its setup links: their states, and what follows from what is wanted. Its jobs: `records.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from provisioner.errors import ImpossibleTransitionError

Wanted = Literal["on", "suspended", "ended"]
InstallState = Literal[
    "pending", "provisioning", "setup_pending", "active", "suspended", "failed", "deleting", "deleted"
]
# `extend`: what is optional, after the install is ready; `repair`: ensure again what was found dead.
Action = Literal["provision", "change_plan", "extend", "repair", "suspend", "resume", "delete"]

# `provisioning ⇄ suspended`: held before it was ever ready. From `deleting` back: entitled again while the data is
# still kept.
INSTALL: Mapping[InstallState, frozenset[InstallState]] = {
    "pending": frozenset({"provisioning", "deleting"}),
    "provisioning": frozenset({"setup_pending", "active", "failed", "suspended", "deleting"}),
    "setup_pending": frozenset({"active", "suspended", "deleting"}),
    "active": frozenset({"suspended", "deleting"}),
    "suspended": frozenset({"active", "setup_pending", "provisioning", "deleting"}),
    "failed": frozenset({"provisioning", "suspended", "deleting"}),
    "deleting": frozenset({"provisioning", "suspended", "deleted"}),
    "deleted": frozenset(),
}


@dataclass(eq=False)
class Install:
    """`version` is the entitlement's; `revision` grows with every change of what is wanted, by billing or by us.

    `reasons` are billing's, `own_reasons` ours (operator, abuse): it is suspended while either holds one.
    `applied`: the terms that its resources have now; None where some of them are gone. `failed_revision`: where a job
    gave up, so that only a later wish, or an operator, starts another. `settled`: no job has left things half done.
    `seen`: which writing of its row this is, for whoever writes it without having held it.
    """

    id: UUID
    state: InstallState
    state_since: datetime
    version: int
    revision: int
    wanted: Wanted
    reasons: list[str]
    own_reasons: list[str]
    product: str
    plan: str
    blueprint: str
    parameters: dict[str, str]
    limits: dict[str, Any]
    contact: dict[str, Any]
    delete_after: datetime | None
    created_at: datetime
    removal_asked: bool = False
    applied: dict[str, Any] | None = None
    failed_revision: int | None = None
    settled: bool = True
    repair: bool = False
    optional_open: bool = False
    subdomain: str | None = None
    url: str | None = None
    admin_url: str | None = None
    ready_at: datetime | None = None
    activated_at: datetime | None = None
    deleted_at: datetime | None = None
    seen: int | None = None

    def move_to(self, state: InstallState, now: datetime) -> bool:
        """False where it is there already. Raises `ImpossibleTransitionError`."""
        if state == self.state:
            return False
        if state not in INSTALL[self.state]:
            raise ImpossibleTransitionError("install", self.state, state)
        self.state, self.state_since = state, now
        return True

    @property
    def terms(self) -> dict[str, Any]:
        """What its resources are made from."""
        return {
            "blueprint": self.blueprint,
            "plan": self.plan,
            "limits": self.limits,
            "parameters": self.parameters,
        }

    @property
    def level(self) -> Wanted:
        """What is wanted by billing and by us together."""
        if self.wanted == "ended" or self.removal_asked:
            return "ended"
        return "suspended" if self.wanted == "suspended" or self.own_reasons else "on"

    @property
    def suspended_for(self) -> list[str]:
        billing = (self.reasons or ["billing"]) if self.wanted == "suspended" else []
        return sorted({*billing, *self.own_reasons})

    def keeps_data_until(self, now: datetime) -> datetime | None:
        """When the data of an ended install may go; None where it may go now. What was never ready holds none."""
        kept = self.ready_at and self.delete_after and self.delete_after > now
        return self.delete_after if kept else None


def next_action(install: Install) -> Action | None:
    """What has to be done so that the install becomes what is wanted; None where it is that already."""
    if install.state == "deleted":
        return None
    if install.level == "ended":
        return "delete"
    if install.failed_revision == install.revision:
        return None
    return _to_suspended(install) if install.level == "suspended" else _to_on(install)


def _to_suspended(install: Install) -> Action | None:
    """What has not been begun is not begun; what failed and was undone has nothing to suspend."""
    nothing = install.state == "pending" or (install.state == "failed" and install.ready_at is None)
    return None if nothing or (install.state == "suspended" and install.settled) else "suspend"


def _to_on(install: Install) -> Action | None:
    if install.state == "suspended" and install.ready_at and install.applied is not None:
        return "resume"
    if install.state not in {"active", "setup_pending"}:
        return "provision"
    if install.applied != install.terms:
        return "change_plan"
    if install.repair:
        return "repair"
    return "extend" if install.optional_open else None


LinkState = Literal["open", "completing", "used", "expired", "replaced"]
LINK: Mapping[LinkState, frozenset[LinkState]] = {
    "open": frozenset({"completing", "expired", "replaced"}),
    "completing": frozenset({"used", "open", "replaced"}),
    "used": frozenset(),
    "expired": frozenset({"replaced"}),
    "replaced": frozenset(),
}


@dataclass(eq=False)
class SetupLink:
    """`attempt` grows with every claim: an answer to an older claim is not written over a newer one's."""

    id: UUID
    install_id: UUID
    number: int
    token_hash: str
    state: LinkState
    created_at: datetime
    expires_at: datetime
    attempt: int = 0
    claimed_until: datetime | None = None
    operation: dict[str, Any] | None = None
    detail: str | None = None
    used_at: datetime | None = None

    def seen(self, now: datetime) -> LinkState:
        """Its state at this time. A claim that ran out (its process died) has left the link open."""
        state = self.state
        if state == "completing" and self.operation is None and self.claimed_until and self.claimed_until <= now:
            state = "open"
        return "expired" if state == "open" and self.expires_at <= now else state

    def move_to(self, state: LinkState) -> None:
        if state != self.state and state not in LINK[self.state]:
            raise ImpossibleTransitionError("setup link", self.state, state)
        self.state = state
