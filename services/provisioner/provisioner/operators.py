"""What operators do to an install. The action, its line in the history and OperatorActed commit together."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from keyturn.database import Transaction
from keyturn.errors import Problem
from keyturn.events import OperatorActed
from keyturn.internal import Caller
from provisioner.domain import Install
from provisioner.engine.jobs import JOB
from provisioner.repository import installs, jobs

Act = Literal["retry", "suspend", "resume", "delete"]
OwnReason = Literal["operator", "abuse"]


@dataclass(frozen=True)
class Order:
    """What is to be done, and why. `own`: for which of our reasons an install is held down or let go."""

    act: Act
    reason: str
    own: OwnReason = "operator"


async def obey(tx: Transaction, install_id: UUID, order: Order, caller: Caller) -> Install:
    """Raises `Problem`. Suspend and resume touch our own reasons alone: billing's stay billing's."""
    install = await installs.locked(tx, install_id)
    if install is None:
        raise Problem(404, "install_unknown", "there is no such install")
    if install.state == "deleted":
        raise Problem(409, "install_deleted", "this install has been deleted")
    before = _level(install)
    changed = await _apply(tx, install, order.act, order.own)
    if changed:
        install.revision += 1
        tx.schedule(JOB, str(install.id), subject=str(install.id))
        await installs.note(tx, install.id, f"operator_{order.act}", actor=caller.actor, reason=order.reason)
        tx.publish(
            OperatorActed(
                subject=str(install.id),
                time=tx.now,
                actor=caller.actor,
                role=caller.role,
                action=f"install.{order.act}",
                target=f"install {install.id}",
                reason=order.reason,
                before=before,
                after=_level(install),
            )
        )
    return install


async def _apply(tx: Transaction, install: Install, act: Act, own: OwnReason) -> bool:
    match act:
        case "suspend" if own not in install.own_reasons:
            install.own_reasons = [*install.own_reasons, own]
            return True
        case "resume" if own in install.own_reasons:
            install.own_reasons = [reason for reason in install.own_reasons if reason != own]
            return True
        case "delete" if not install.removal_asked:
            install.removal_asked, install.delete_after = True, None
            return True
        case "retry":
            job = await jobs.open_job(tx, install.id)
            if job is None and install.failed_revision is None and not await _orphans(tx, install):
                raise Problem(409, "nothing_to_retry", "nothing of this install has failed or waits")
            install.failed_revision = None
            return True
    return False


async def _orphans(tx: Transaction, install: Install) -> bool:
    return any(record.state == "orphan" for record in await installs.records(tx, install.id))


def _level(install: Install) -> dict[str, object]:
    return {"state": install.state, "wanted": install.level, "reasons": install.suspended_for}
