"""What an operator did, told in the commit that does it: the gateway keeps the audit log."""

from collections.abc import Mapping
from typing import Any

from keyturn.database import Transaction
from keyturn.events import OperatorActed
from keyturn.internal import Caller


def acted(
    tx: Transaction,
    caller: Caller,
    action: str,
    target: str,
    *,
    subject: str | None = None,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Publish OperatorActed. `subject`: the purchase, where it is about one; else the target. `reason`: where it came
    with the request rather than with the caller."""
    tx.publish(
        OperatorActed(
            subject=subject or target,
            time=tx.now,
            actor=caller.actor,
            role=caller.role,
            action=action,
            target=target,
            reason=reason or caller.reason,
            before=dict(before or {}),
            after=dict(after or {}),
        )
    )
