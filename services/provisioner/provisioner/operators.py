"""What operators do to an install. The action, its line in the history and OperatorActed commit together."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from keyturn.acting import acted
from keyturn.database import Transaction
from keyturn.errors import Problem
from keyturn.internal import Caller
from provisioner.domain import Install
from provisioner.engine.jobs import JOB
from provisioner.repository import installs, progress

Act = Literal["retry", "suspend", "resume", "delete"]
OwnReason = Literal["operator", "abuse"]


@dataclass(frozen=True)
class Order:
    """What is to be done, and why. `own`: for which of our reasons an install is held down or let go. `keep`: how long
    the data of a deleted install is kept, where billing has set no date; None: not at all."""

    act: Act
    reason: str
    own: OwnReason = "operator"
    keep: timedelta | None = None


async def obey(tx: Transaction, install_id: UUID, order: Order, caller: Caller) -> Install:
    """Raises `Problem`. Suspend and resume touch our own reasons alone: billing's stay billing's."""
    install = await installs.locked(tx, install_id)
    if install is None:
        raise Problem(404, "install_unknown", "there is no such install")
    if install.state == "deleted":
        raise Problem(409, "install_deleted", "this install has been deleted")
    before = _level(install)
    changed = await _apply(tx, install, order)
    if changed:
        install.revision += 1
        tx.schedule(JOB, str(install.id), subject=str(install.id))
        await installs.note(tx, install.id, f"operator_{order.act}", actor=caller.actor, reason=order.reason)
        acted(
            tx,
            caller,
            f"install.{order.act}",
            f"install {install.id}",
            subject=str(install.id),
            reason=order.reason,
            before=before,
            after=_level(install),
        )
    return install


async def _apply(tx: Transaction, install: Install, order: Order) -> bool:
    match order.act:
        case "suspend" if order.own not in install.own_reasons:
            install.own_reasons = [*install.own_reasons, order.own]
            return True
        case "resume":
            return _let_go(tx, install, order.own)
        case "delete":
            return _remove(tx, install, order.keep)
        case "retry":
            job = await progress.open_job(tx, install.id)
            if job is None and install.failed_revision is None and not await _orphans(tx, install):
                raise Problem(409, "nothing_to_retry", "nothing of this install has failed or waits")
            install.failed_revision = None
            return True
    return False


def _let_go(tx: Transaction, install: Install, own: OwnReason) -> bool:
    """Takes back our own suspension, and our own deletion as long as the data is kept."""
    kept = install.removal_asked and install.keeps_data_until(tx.now) is not None
    if kept:
        install.removal_asked = False
    held = own in install.own_reasons
    install.own_reasons = [reason for reason in install.own_reasons if reason != own]
    return kept or held


def _remove(tx: Transaction, install: Install, keep: timedelta | None) -> bool:
    """Rule 14. Asked twice, only `now` changes anything."""
    if install.removal_asked and (keep or install.delete_after is None):
        return False
    of_billing = install.delete_after if install.wanted == "ended" else None
    install.removal_asked = True
    install.delete_after = (of_billing or tx.now + keep) if keep is not None else None
    return True


async def _orphans(tx: Transaction, install: Install) -> bool:
    return any(record.state == "orphan" for record in (await progress.records(tx, install.id)).values())


def _level(install: Install) -> dict[str, object]:
    until = install.delete_after.isoformat() if install.delete_after else None
    return {"state": install.state, "wanted": install.level, "reasons": install.suspended_for, "delete_after": until}
