"""What a customer is entitled to now: the only event that the provisioner acts on."""

from typing import Literal

from pydantic import AwareDatetime, Field

from keyturn.events.envelope import Event
from keyturn.events.purchases import Contact

Wanted = Literal["on", "suspended", "ended"]
Limit = int | float | str | bool


class EntitlementChanged(Event, wire="entitlement.changed.v1", publisher="billing"):
    """A level, not an edge: an older `version` changes nothing, a newer one supersedes the job under way.

    `reasons` is billing's whole set (`nonpayment`, `dispute`, or why it ended). `delete_after`: with `ended`, when the
    data may go.
    """

    version: int = Field(ge=1)
    wanted: Wanted
    reasons: list[str] = Field(default_factory=list)
    product: str
    plan: str
    blueprint: str
    parameters: dict[str, str] = Field(default_factory=dict)
    limits: dict[str, Limit] = Field(default_factory=dict)
    contact: Contact
    delete_after: AwareDatetime | None = None
