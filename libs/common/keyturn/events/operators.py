"""What operators did. The service that acts publishes it in the same transaction; the gateway keeps the audit log."""

from typing import Any

from pydantic import Field

from keyturn.events.envelope import Event


class OperatorActed(Event, wire="operator.acted.v1", publisher="*"):
    """Who (`actor`, `role`) did what (`action`) to which thing (`target`), why, and what changed."""

    actor: str
    role: str
    action: str
    target: str
    reason: str | None = None
    before: dict[str, Any] = Field(default_factory=dict)
    after: dict[str, Any] = Field(default_factory=dict)
